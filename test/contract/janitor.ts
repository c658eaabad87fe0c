/** Takes back the groups that a run made on an account where nothing else may be touched. */
import type { EC2 } from '@aws-sdk/client-ec2'
import { setTimeout as delay } from 'node:timers/promises'

/** On every group that the suite makes; its value names the run. */
export const RUN_TAG = 'kube-sg-contract'

/** Groups that refer to each other need rounds, and so do an account's late reads. */
const ROUNDS = 5

export interface Kept {
  readonly groupId: string
  readonly why: string
}

/**
 * Deletes these groups; whatever keeps one from going is tried again, without the rules of all that are left.
 * @param pause ms between two rounds
 * @returns those that could not be deleted
 */
export async function removeGroups(ec2: EC2, groupIds: readonly string[], pause: number): Promise<readonly Kept[]> {
  let left: readonly Kept[] = groupIds.map((groupId) => ({ groupId, why: 'not tried' }))
  for (let round = 1; left.length > 0 && round <= ROUNDS; round++) {
    if (round > 1) {
      await delay(pause)
      // What fails here the next delete tells.
      for (const { groupId } of left) await emptyGroup(ec2, groupId).catch(() => undefined)
    }
    const tried: (Kept | undefined)[] = []
    for (const { groupId } of left) tried.push(await removeGroup(ec2, groupId))
    left = tried.filter((kept) => kept !== undefined)
  }
  return left
}

async function removeGroup(ec2: EC2, groupId: string): Promise<Kept | undefined> {
  try {
    await ec2.deleteSecurityGroup({ GroupId: groupId })
    return undefined
  } catch (error) {
    const { name, message } = error as Error
    return name === 'InvalidGroup.NotFound' ? undefined : { groupId, why: `${name}: ${message}` }
  }
}

/** Its ingress rules may be what keeps another group. */
async function emptyGroup(ec2: EC2, groupId: string): Promise<void> {
  const { SecurityGroupRules = [] } = await ec2.describeSecurityGroupRules({
    Filters: [{ Name: 'group-id', Values: [groupId] }]
  })
  const ids = SecurityGroupRules.filter(({ IsEgress }) => IsEgress !== true).map(
    (rule) => rule.SecurityGroupRuleId ?? ''
  )
  if (ids.length > 0) await ec2.revokeSecurityGroupIngress({ GroupId: groupId, SecurityGroupRuleIds: ids })
}

export interface Tagged {
  readonly groupId: string
  readonly run: string
}

/** All groups of these VPCs that any run of the suite made. */
export async function findTagged(ec2: EC2, vpcIds: readonly string[]): Promise<readonly Tagged[]> {
  const found: Tagged[] = []
  let NextToken: string | undefined
  do {
    const page = await ec2.describeSecurityGroups({
      Filters: [
        { Name: 'tag-key', Values: [RUN_TAG] },
        { Name: 'vpc-id', Values: [...vpcIds] }
      ],
      MaxResults: 1000,
      ...(NextToken === undefined ? {} : { NextToken })
    })
    for (const { GroupId = '', Tags = [] } of page.SecurityGroups ?? [])
      found.push({ groupId: GroupId, run: Tags.find(({ Key }) => Key === RUN_TAG)?.Value ?? '' })
    NextToken = page.NextToken
  } while (NextToken !== undefined)
  return found
}

/** Names a run by its start, so that a later one can tell how old its groups are. */
export const nameRun = (startedAt: number, random: string): string =>
  `${String(Math.floor(startedAt / 1000))}-${random}`

/** Whether a run began so long before that it cannot be going on. */
export function isAbandoned(run: string, now: number): boolean {
  const seconds = /^(\d+)-/.exec(run)?.[1]
  return seconds !== undefined && now - Number(seconds) * 1000 > 6 * 3_600_000
}
