/**
 * Pods come and go while the leader is killed at random moments, the API server restarts, etcd forgets, both workers die, and EC2
 * throttles, lags and loses replies: at the end nothing is lost, and nothing was taken on the way that was wanted.
 *
 * KILLS says how often the leader is killed (10); SEED draws moments and lives again, as far as processes keep to it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import type { Fault } from '../../bed/simulator.ts'
import { gatherCrowd } from './crowd.ts'
import { compact } from './etcd.ts'
import { openYard, QUICK, ruleText } from './pods.ts'
import { leaders, WORKERS } from './workers.ts'

const KILLS = Number(process.env.KILLS ?? 10)
const SEED = Number(process.env.SEED ?? Date.now() % 2 ** 31)
/** Milliseconds before a call takes effect. */
const LATENCY = 100
t.setTimeout(300_000 + KILLS * 60_000)

/** mulberry32 */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

const bed = await startBed({ webhooks: 2, workers: 2, settings: { worker: QUICK } })
t.teardown(() => bed.stop())
const yard = await openYard(bed)

async function leader(): Promise<string> {
  let found: readonly string[] = []
  await yard.until('one worker to lead', async () => {
    found = await leaders(bed)
    return found.length === 1
  })
  return found[0] ?? ''
}

const fellBehind = async (): Promise<number> =>
  (await Promise.all(WORKERS.map((name) => bed.log(name)))).join('').split('fell behind; listing again').length - 1

/** Returns once EC2 has done something more that the workers asked for; or nothing for a while, which others look into. */
async function nextWrite(): Promise<void> {
  const { n: last = 0 } = (await bed.calls()).at(-1) ?? {}
  const isWrite = ({ action }: { action: string }): boolean => !action.startsWith('Describe')
  for (let tries = 0; tries < 200 && !(await bed.calls(last)).some(isWrite); tries++) await sleep(50)
}

const countOf = (calls: readonly { action: string; code: string }[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const { action, code } of calls) {
    const name = `${action} ${code}`.trim()
    counts[name] = (counts[name] ?? 0) + 1
  }
  return counts
}

t.test('nothing is lost and nothing wanted is taken, whoever dies and whatever EC2 does meanwhile', async (t) => {
  t.comment(`KILLS=${String(KILLS)} SEED=${String(SEED)}`)
  const random = seeded(SEED)
  const groups = [await yard.group(), await yard.group(), await yard.group()]
  const foreign = new Map<string, string>()
  for (const groupId of groups) {
    const office = { IpProtocol: 'tcp', FromPort: 443, ToPort: 443, IpRanges: [{ CidrIp: '192.0.2.0/24' }] }
    await yard.ec2.authorizeSecurityGroupIngress({ GroupId: groupId, IpPermissions: [office] })
    foreign.set(groupId, (await bed.rules(groupId))[0]?.ruleId ?? '')
  }
  await bed.settings({ latencyMs: LATENCY })
  const crowd = gatherCrowd(yard, groups, 15, seeded(SEED + 1))
  t.teardown(() => crowd.rest())
  const agree = async (): Promise<void> => {
    let [wanted, held]: readonly string[] = ['', '']
    await yard
      .until('EC2 to hold what living pods want', async () => {
        const rules = await Promise.all(
          groups.map(async (groupId) =>
            (await bed.rules(groupId)).flatMap((rule) =>
              rule.ruleId === foreign.get(groupId) ? [] : [`${groupId} ${ruleText(rule)}`]
            )
          )
        )
        wanted = JSON.stringify(await crowd.expected())
        held = JSON.stringify(rules.flat().sort())
        return wanted === held && (await crowd.held()).length === 0
      })
      .catch(async (error: unknown) => {
        throw new Error(`wanted: ${wanted}; there: ${held}; held: ${(await crowd.held()).join(' ')}`, { cause: error })
      })
  }

  const mischief: Readonly<Record<number, () => Promise<void>>> = {
    [Math.floor(KILLS * 0.25)]: restartApiServer,
    [Math.floor(KILLS * 0.5)]: forgetThePast,
    [Math.floor(KILLS * 0.75)]: killBoth
  }
  let relists = 0
  async function restartApiServer(): Promise<void> {
    await bed.ctl('kill', 'apiserver')
    await bed.ctl('start', 'apiserver')
  }
  async function forgetThePast(): Promise<void> {
    await leader()
    const before = await fellBehind()
    // Asleep, so that nobody tries while the API server starts. The leader ends when it wakes; the other goes on, from a past that is gone.
    for (const name of WORKERS) await bed.ctl('pause', name)
    await bed.ctl('kill', 'apiserver')
    await compact(bed)
    await bed.ctl('start', 'apiserver')
    for (const name of WORKERS) await bed.ctl('resume', name)
    await yard.until(
      'a worker to be told that it fell behind',
      async () => (relists = (await fellBehind()) - before) > 0
    )
  }
  async function killBoth(): Promise<void> {
    await Promise.all(WORKERS.map((name) => bed.ctl('kill', name)))
    await sleep(2000 * random())
    await Promise.all(WORKERS.map((name) => bed.ctl('start', name)))
  }
  const trouble = (): Fault =>
    [
      { action: '*', fault: 'throttle', times: 5 } as const,
      { action: 'AuthorizeSecurityGroupIngress', fault: 'dropReply', times: 2 } as const,
      { action: 'RevokeSecurityGroupIngress', fault: 'dropReply', times: 2 } as const,
      { action: '*', fault: 'internalError', times: 4, seed: Math.floor(random() * 1000) } as const,
      { action: '*', fault: 'reset', times: 3 } as const,
      { action: 'DescribeSecurityGroupRules', fault: 'stale', staleSeconds: 0.7, seconds: 4 } as const
    ][Math.floor(random() * 6)] ?? { action: '*', fault: 'throttle', times: 1 }

  for (let kill = 0; kill < KILLS; kill++) {
    await mischief[kill]?.()
    await bed.fault(trouble())
    const name = await leader()
    // Every other time in the middle of what it writes: each call takes LATENCY.
    if (kill % 2 === 0) await sleep(1500 * random())
    else await nextWrite()
    await sleep(2 * LATENCY * random())
    await bed.ctl('kill', name)
    await sleep(1500 * random())
    await bed.ctl('start', name)
  }
  await bed.clearFaults()
  await bed.settings({ latencyMs: 0 })
  await crowd.rest()
  await agree()
  await crowd.disperse()
  await agree()
  for (const groupId of groups) {
    t.same(
      (await bed.rules(groupId)).map(({ ruleId }) => ruleId),
      [foreign.get(groupId)],
      'the rule of others is untouched, and nothing else is left'
    )
  }
  const calls = await bed.calls()
  t.comment(`${String(crowd.made())} pods; calls to EC2: ${JSON.stringify(countOf(calls))}`)
  t.same(crowd.revokedInVain(calls), [], 'no wanted rule was revoked on the way')
  t.ok(relists > 0, 'a watch was refused for being too old (410)')
  t.ok(crowd.made() > KILLS, 'pods came all the while')
})
