/** The suite on a real account: says what it will do, does it, and takes back what it made, whatever happens. */
import { EC2 } from '@aws-sdk/client-ec2'
import type { EC2ClientConfig } from '@aws-sdk/client-ec2'
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import type { VpcKind } from './case.ts'
import { findTagged, isAbandoned, nameRun, removeGroups, RUN_TAG } from './janitor.ts'
import { renderOutcome, summarizeRun } from './report.ts'
import type { AccountSettings } from './settings.ts'
import { BadSettings, readAccountSettings } from './settings.ts'
import { casesOf, count, runSuite } from './suite.ts'
import type { Outcome, Target } from './suite.ts'
import { accountTarget } from './targets/account.ts'
import { TOPICS } from './topics.ts'

type Environment = Readonly<Record<string, string | undefined>>
type Tell = (line: string) => void

/** Throttled calls are repeated by the SDK; what EC2 refuses is not. */
const ATTEMPTS = 8

/**
 * @param stop ends the run early; what was made is removed all the same
 * @returns the exit code: 0 when all went as it should, 1 when something differs, could not be done or is left behind,
 *   130 when stopped
 */
export async function runOnAccount(environment: Environment, tell: Tell, stop: AbortSignal): Promise<number> {
  let janitor: EC2 | undefined
  try {
    const settings = readAccountSettings(environment)
    const config: EC2ClientConfig = { region: settings.region, maxAttempts: ATTEMPTS }
    janitor = new EC2(config)
    await checkCredentials(janitor)
    return await runWith(janitor, config, settings, tell, stop)
  } catch (error) {
    if (!(error instanceof BadSettings)) throw error
    tell(error.message)
    return 1
  } finally {
    janitor?.destroy()
  }
}

async function checkCredentials(ec2: EC2): Promise<void> {
  try {
    await ec2.config.credentials()
  } catch (error) {
    throw new BadSettings(
      'there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY ' +
        `(${(error as Error).message})`
    )
  }
}

async function runWith(
  janitor: EC2,
  config: EC2ClientConfig,
  settings: AccountSettings,
  tell: Tell,
  stop: AbortSignal
): Promise<number> {
  const { account, vpcs } = await readVpcs(janitor, settings)
  const run = nameRun(Date.now(), randomBytes(3).toString('hex'))
  const old = (await findTagged(janitor, settings.vpcIds)).filter(({ run: of }) => isAbandoned(of, Date.now()))
  const target = accountTarget({
    janitor,
    config,
    endpoint: settings.endpoint ?? janitor.config.endpointProvider({ Region: settings.region }).url.href,
    region: settings.region,
    vpcs,
    quota: settings.quota,
    readLag: settings.readLag,
    run,
    denied: settings.denied,
    stop
  })
  for (const line of plan(settings, target, account, run, old.length)) tell(line)
  if (settings.planOnly) return 0
  let outcomes: readonly Outcome[] = []
  try {
    await removeGroups(
      janitor,
      old.map(({ groupId }) => groupId),
      settings.readLag
    )
    outcomes = await runSuite(target, casesOf(TOPICS), {
      until: stop,
      tell: (outcome) => tell(renderOutcome(outcome))
    })
  } finally {
    if (stop.aborted) tell('stopped: removing what was made ...')
    if (!(await clearAway(janitor, settings, run, tell))) {
      outcomes = [...outcomes, LEFT_BEHIND]
      tell(renderOutcome(LEFT_BEHIND))
    }
  }
  tell(summarizeRun(outcomes))
  return stop.aborted ? 130 : count(outcomes).failed === 0 ? 0 : 1
}

const LEFT_BEHIND: Outcome = { name: 'clean-up', result: { kind: 'failed', why: 'groups are left behind' } }

async function readVpcs(
  ec2: EC2,
  { vpcIds, region }: AccountSettings
): Promise<{ readonly account: string; readonly vpcs: Readonly<Partial<Record<VpcKind, string>>> }> {
  const { Vpcs = [] } = await ec2.describeVpcs({ VpcIds: [...vpcIds] }).catch((error: unknown) => {
    const { name, message } = error as Error
    throw new BadSettings(`VPC_ID ${vpcIds.join(', ')} cannot be read in ${region}: ${name}: ${message}`)
  })
  const of = (isDefault: boolean) => Vpcs.find((vpc) => vpc.IsDefault === isDefault)?.VpcId
  const [def, other] = [of(true), of(false)]
  return {
    account: Vpcs[0]?.OwnerId ?? 'unknown',
    vpcs: { ...(def === undefined ? {} : { default: def }), ...(other === undefined ? {} : { other }) }
  }
}

function plan(settings: AccountSettings, target: Target, account: string, run: string, old: number): readonly string[] {
  const cases = casesOf(TOPICS)
  const applicable = cases.filter(({ needs = [] }) => needs.every((need) => target.capabilities.has(need)))
  return [
    `On account ${account}, Region ${settings.region}, VPC ${settings.vpcIds.join(' and ')}, this will`,
    `- run ${String(applicable.length)} of ${String(cases.length)} cases; the others need what this account does not offer`,
    `- make security groups named ${RUN_TAG}-${run}-N, tagged ${RUN_TAG}=${run}, a few at a time, at most ` +
      `${String(settings.quota)} IPv4 and ${String(settings.quota)} IPv6 rules in each; they cost nothing and are attached to nothing`,
    '- delete each group after its case, and all that is left at the end, also after a failure or Ctrl-C',
    ...(old === 0 ? [] : [`- delete ${String(old)} groups that runs of more than six hours ago left behind`]),
    '- write to no other group; read those of the VPC; send some requests with bad signatures and an unknown key',
    `- take some minutes: a read that must show no change is made ${String(settings.readLag / 1000)} s late (READ_LAG_SECONDS)`
  ]
}

/** By tag, so that also a group is found whose creation was never answered. @returns whether all are gone */
async function clearAway(
  janitor: EC2,
  { vpcIds, readLag, region }: AccountSettings,
  run: string,
  tell: Tell
): Promise<boolean> {
  await delay(readLag)
  try {
    const mine = (await findTagged(janitor, vpcIds)).filter((group) => group.run === run)
    const kept = await removeGroups(
      janitor,
      mine.map(({ groupId }) => groupId),
      readLag
    )
    for (const { groupId, why } of kept)
      tell(`left behind: ${groupId} (${why}); aws ec2 delete-security-group --region ${region} --group-id ${groupId}`)
    return kept.length === 0
  } catch (error) {
    const { name, message } = error as Error
    tell(
      `left behind: perhaps groups tagged ${RUN_TAG}=${run} in ${region}, for they could not be listed (${name}: ${message})`
    )
    return false
  }
}
