/** What EC2 can do to us, on a real control plane: nothing is lost, and the reason is on the pod. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import { FINALIZER, openYard, QUICK, STEADY } from './pods.ts'
import { FAILURES, WITHDRAWALS } from './rows/failures.ts'
import { playRows } from './scene.ts'

/** Seconds. */
const OUTAGE = Number(process.env.OUTAGE ?? 25)
// A busy machine takes its time; a test that waits in vain says for what.
t.setTimeout(900_000)
const bed = await startBed({ webhooks: 1, workers: 1, settings: { worker: { ...QUICK, ...STEADY, MAX_HOLD: '12s' } } })
t.teardown(() => bed.stop())
const yard = await openYard(bed)
const HTTPS = 'tcp 443-443'

t.jobs = 12
// The longest first. What follows them concerns all groups at once, and so is alone.
await playRows(t, bed, [...WITHDRAWALS, ...FAILURES])
t.jobs = 1
t.afterEach(() => bed.clearFaults())

t.test('EC2 says that a group is full before we think so: the second pod waits its turn', async (t) => {
  const group = await yard.group()
  await bed.settings({ rulesPerGroup: 1 })
  await yard.pod('early', group)
  await yard.granted(group, [HTTPS], 'early')
  await yard.pod('late', group)
  t.match(await yard.event('late', 'RuleQuotaExceeded'), 'number 1 of those that wait')
  await yard.granted(group, [HTTPS], 'early')
  await yard.delete('early')
  await yard.granted(group, [HTTPS], 'late')
  await yard.reason('late', 'RulesInEffect')
  await bed.settings({ rulesPerGroup: 60 })
  await yard.delete('late')
  await yard.empty(group)
})

for (const state of ['expired', 'unknown'] as const) {
  t.test(`credentials that are ${state}: pods that come and go are served once they are good again`, async (t) => {
    const group = await yard.group()
    await yard.pod(`leaver-${state}`, group)
    await yard.granted(group, [HTTPS], `leaver-${state}`)
    await bed.credentials({ accessKey: 'bed-worker', state })
    await yard.pod(`comer-${state}`, group)
    t.match(await yard.event(`comer-${state}`, 'EC2CredentialsRejected'), 'credentials')
    await yard.delete(`leaver-${state}`)
    await bed.credentials({ accessKey: 'bed-worker', state: null })
    await yard.granted(group, [HTTPS], `comer-${state}`)
    await yard.gone(`leaver-${state}`)
    await yard.delete(`comer-${state}`)
    await yard.empty(group)
  })
}

t.test('an account that permits nothing: pods that come and go are served once it does', async (t) => {
  const group = await yard.group()
  await yard.pod('leaver', group)
  await yard.granted(group, [HTTPS], 'leaver')
  await bed.policies({ accessKey: 'bed-worker', policy: { Version: '2012-10-17', Statement: [] } })
  await yard.pod('comer', group)
  t.match(await yard.event('comer', 'EC2AccessDenied'), 'IAM role')
  await yard.delete('leaver')
  await bed.policies({ accessKey: 'bed-worker', policy: null })
  await yard.granted(group, [HTTPS], 'comer')
  await yard.gone('leaver')
  await yard.delete('comer')
  await yard.empty(group)
})

t.test('an outage of EC2: ended pods are released at their deadline, and no storm follows', async (t) => {
  const GROUPS = 30
  const groups = await Promise.all(Array.from({ length: GROUPS }, () => yard.group()))
  const leavers = groups.slice(0, 5)
  for (const [n, group] of leavers.entries()) await yard.pod(`gone-${String(n)}`, group, { ports: 'tcp:80' })
  for (const [n, group] of leavers.entries()) await yard.granted(group, ['tcp 80-80'], `gone-${String(n)}`)
  await bed.settings({ buckets: 'on' })
  const { n: first = 0 } = (await bed.calls()).at(-1) ?? {}
  await bed.fault({ action: '*', fault: 'reset' })
  const begun = Date.now()
  for (const [n, group] of groups.entries()) await yard.pod(`new-${String(n)}`, group)
  for (const n of leavers.keys()) await yard.delete(`gone-${String(n)}`)
  t.match(await yard.event('new-0', 'EC2Unavailable'), 'EC2')
  t.ok((await yard.get('gone-0'))?.metadata?.finalizers?.includes(FINALIZER), 'held, for its rule is there')
  for (const n of leavers.keys()) {
    await yard.gone(`gone-${String(n)}`)
    t.match(await yard.event(`gone-${String(n)}`, 'FinalizerHoldExceeded'), 'released after MAX_HOLD')
  }
  await sleep(Math.max(0, begun + OUTAGE * 1000 - Date.now()))
  t.equal((await fetch(livez())).status, 200, 'an outage is no reason to start again')
  const { n: last = 0 } = (await bed.calls()).at(-1) ?? {}
  await bed.clearFaults()
  for (const [n, group] of groups.entries()) await yard.granted(group, [HTTPS], `new-${String(n)}`)
  const calls = (await bed.calls(first)).filter(({ accessKey }) => accessKey === 'bed-worker')
  const after = calls.filter(({ n }) => n > last)
  t.comment(`${String(calls.length - after.length)} calls during the outage, ${String(after.length)} after it`)
  t.same(
    calls.filter(({ code }) => code === 'RequestLimitExceeded'),
    [],
    'EC2 never had to throttle us'
  )
  const authorized = after.filter(({ action }) => action === 'AuthorizeSecurityGroupIngress')
  t.equal(authorized.length, GROUPS, 'each group was written once')
  t.ok(after.length < 4 * GROUPS, 'and no storm followed')
  t.equal((await bed.status()).find(({ name }) => name === 'worker-0')?.restarts, 0)
  await bed.settings({ buckets: 'off' })
  for (const n of groups.keys()) await yard.delete(`new-${String(n)}`)
  for (const group of groups) await yard.empty(group)
})

const livez = (): string => (bed.env.METRICS_WORKER_0 ?? '').replace('/metrics', '/livez')
