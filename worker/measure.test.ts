import { pino } from 'pino'
import { Registry } from 'prom-client'
import t from 'tap'
import { ruleKey } from '../shared/rules.ts'
import type { Rule } from '../shared/rules.ts'
import { createBrake } from './brake.ts'
import { rulesOf } from './desired.ts'
import type { Claim } from './desired.ts'
import { createFindings } from './findings.ts'
import { createGroupBook } from './groupBook.ts'
import type { GroupSummary } from './groupSummary.ts'
import { createMeasure } from './measure.ts'
import { createMetrics } from './metrics.ts'
import { IN_EFFECT } from './outcomes.ts'
import type { Outcome } from './outcomes.ts'
import { createPodCache } from './podCache.ts'
import { asking, GROUP, OTHER_GROUP, podOf } from './podFixture.ts'
import type { ObservedPod } from './pods.ts'

const useOf = (ipv4: number, ipv6: number, quota = 60): GroupSummary['use'] => ({
  ipv4: { used: ipv4, quota },
  ipv6: { used: ipv6, quota }
})

const EMPTY: GroupSummary = {
  inUse: true,
  use: useOf(0, 0),
  waiting: 0,
  orphans: new Set(),
  reliedOn: new Set()
}
const NO_QUEUES = { groups: { depth: 0, working: [] }, pods: { depth: 0, working: [] } }

/** The real parts around it, with a clock by hand. */
function scene() {
  const metrics = createMetrics(new Registry(), false)
  const cache = createPodCache({ groupsTouched: () => undefined, podTouched: () => undefined })
  const findings = createFindings()
  const logged: { level: number; msg: string; family?: string }[] = []
  const logger = pino({ level: 'debug' }, { write: (line) => void logged.push(JSON.parse(line) as (typeof logged)[0]) })
  const book = createGroupBook(10_000)
  let time = 0
  const measure = createMeasure({ metrics, cache, findings, book, brake: createBrake(), logger, wallClock: () => time })
  let unreadable = false
  metrics.shows(() => measure.state(NO_QUEUES, unreadable))
  const claimsOf = (pod: ObservedPod): Claim[] =>
    rulesOf(pod.declaration.requests, GROUP, pod.addresses).map((rule) => ({ rule, pod, authorizable: true }))
  return {
    cache,
    findings,
    measure,
    logged,
    claimsOf,
    at: (now: number) => (time = now),
    becomesUnreadable: () => (unreadable = true),
    granted: (pod: ObservedPod) => measure.granted(GROUP, claimsOf(pod)),
    tell: (pod: ObservedPod, outcome: Outcome) => findings.tell(GROUP, new Map([[pod.uid, outcome]]), time),
    /** Samples of the metric, as `label=value,... value`. */
    async read(name: string): Promise<string[]> {
      const found = await metrics.registry.getSingleMetric(name)?.get()
      return (found?.values ?? []).map(({ labels, value }) =>
        [...Object.entries(labels).map(([label, text]) => `${label}=${String(text)}`), String(value)].join(' ')
      )
    },
    /** Count and sum of a histogram. */
    async observed(name: string): Promise<number[]> {
      const values = ((await metrics.registry.getSingleMetric(name)?.get())?.values ?? []) as {
        metricName?: string
        value: number
      }[]
      return ['count', 'sum'].map((what) => values.find((one) => one.metricName === `${name}_${what}`)?.value ?? 0)
    }
  }
}

const LATENCY = 'kube_sg_grant_latency_seconds'

t.test('grant latency begins with the address, or the last edit, and is one for a pod and a call', async (t) => {
  const s = scene()
  s.cache.change(podOf('a', { addresses: [] }), 1000)
  s.cache.change(podOf('a', { declaration: asking('tcp:1,tcp:5') }), 2000)
  s.at(2250)
  s.granted(podOf('a', { declaration: asking('tcp:1,tcp:5') }))
  t.same(await s.observed(LATENCY), [1, 0.25])
  t.same(await s.read('kube_sg_rules_authorized_total'), ['2'])
  s.tell(podOf('a'), IN_EFFECT)
  s.cache.change(podOf('a', { declaration: asking('tcp:1,tcp:5,tcp:9') }), 5000)
  s.at(5500)
  s.granted(podOf('a', { declaration: asking('tcp:9') }))
  t.same(await s.observed(LATENCY), [2, 0.75])
  t.same(await s.read('kube_sg_drift_total'), ['kind=deleted 0', 'kind=foreign 0'], 'an edit is no drift')
})

t.test("the time that a person took is not ours; EC2's is", async (t) => {
  for (const [reason, count] of [
    ['RuleQuotaExceeded', 0],
    ['NotPermitted', 0],
    ['SecurityGroupNotOptedIn', 0],
    ['AddressConflict', 0],
    ['Throttled', 1],
    ['EC2Unavailable', 1],
    ['PermissionUnknown', 1]
  ] as const) {
    const s = scene()
    s.cache.change(podOf('a'), 0)
    s.tell(podOf('a'), { inEffect: false, reason, message: '' })
    s.at(60_000)
    s.granted(podOf('a'))
    t.equal((await s.observed(LATENCY))[0], count, reason)
  }
  const s = scene()
  s.granted(podOf('nobody knows it any more'))
  t.same(await s.observed(LATENCY), [0, 0])
})

t.test('a rule made again for a pod that had it and did not change is drift, and no latency', async (t) => {
  const s = scene()
  s.cache.change(podOf('a'), 0)
  s.at(100)
  s.granted(podOf('a'))
  s.tell(podOf('a'), IN_EFFECT)
  s.at(90_000)
  s.granted(podOf('a'))
  t.same(await s.read('kube_sg_drift_total'), ['kind=deleted 1', 'kind=foreign 0'])
  s.measure.told(GROUP, { ...EMPTY, reliedOn: new Set(s.claimsOf(podOf('a')).map(({ rule }) => ruleKey(rule))) })
  s.granted(podOf('a'))
  t.same(await s.read('kube_sg_drift_total'), ['kind=deleted 1', 'kind=foreign 1'])
  t.same(await s.observed(LATENCY), [1, 0.1])
})

t.test('revoke lag begins with the end of the pod', async (t) => {
  const s = scene()
  s.cache.beginRemembering(0)
  s.cache.change(podOf('a'), 0)
  s.cache.change(podOf('a', { phase: 'Succeeded', containersTerminatedAt: 4000 }), 4500)
  s.at(6000)
  s.measure.revoked(
    GROUP,
    s.claimsOf(podOf('a')).map(({ rule }) => rule)
  )
  s.measure.revoked(GROUP, [{ protocol: 'tcp', fromPort: 9, toPort: 9, cidr: '10.64.0.9/32' } as Rule])
  t.same(await s.observed('kube_sg_revoke_lag_seconds'), [1, 2], 'an orphan has no end that we know')
  t.same(await s.read('kube_sg_rules_revoked_total'), ['2'])
})

t.test('pods are counted at the scrape: watched, refused, held and for how long', async (t) => {
  const s = scene()
  s.cache.change(podOf('a'), 0)
  s.cache.change(podOf('b', { declaration: asking('nonsense') }), 0)
  s.cache.change(podOf('c', { phase: 'Failed', containersTerminatedAt: 10_000 }), 12_000)
  s.cache.change(podOf('d', { phase: 'Failed', containersTerminatedAt: 20_000 }), 22_000)
  s.cache.change(podOf('e', { phase: 'Failed', containersTerminatedAt: 1000, finalized: false }), 22_000)
  s.at(30_000)
  t.same(await s.read('kube_sg_pods'), ['5'])
  t.same(await s.read('kube_sg_pods_invalid'), ['1'])
  t.same(await s.read('kube_sg_pods_held'), ['2'])
  t.same(await s.read('kube_sg_oldest_hold_seconds'), ['20'])
  t.same(await s.read('kube_sg_ec2_unreadable'), ['0'])
  s.becomesUnreadable()
  t.same(await s.read('kube_sg_ec2_unreadable'), ['1'])
})

t.test('what pods have of their groups is counted by reason, and follows', async (t) => {
  const s = scene()
  const refused: Outcome = { inEffect: false, reason: 'NotPermitted', message: '' }
  s.findings.tell(
    GROUP,
    new Map([
      ['a', IN_EFFECT],
      ['b', refused],
      ['c', refused]
    ]),
    0
  )
  s.findings.tell(OTHER_GROUP, new Map([['a', refused]]), 0)
  t.same((await s.read('kube_sg_pod_groups')).sort(), ['reason=NotPermitted 3', 'reason=RulesInEffect 1'])
  s.findings.tell(
    GROUP,
    new Map([
      ['a', IN_EFFECT],
      ['b', IN_EFFECT]
    ]),
    0
  )
  s.findings.forget('a')
  t.same(await s.read('kube_sg_pod_groups'), ['reason=RulesInEffect 1'])
  s.findings.tell(GROUP, new Map(), 0)
  t.same(await s.read('kube_sg_pod_groups'), [])
})

t.test('a group has series while it is in use, and none after', async (t) => {
  const s = scene()
  s.measure.told(GROUP, { ...EMPTY, use: useOf(12, 3), waiting: 2 })
  t.same(await s.read('kube_sg_group_rules'), [
    `security_group=${GROUP} family=ipv4 12`,
    `security_group=${GROUP} family=ipv6 3`
  ])
  t.same((await s.read('kube_sg_group_rules_quota'))[0], `security_group=${GROUP} family=ipv4 60`)
  t.same(await s.read('kube_sg_group_waiting_pods'), [`security_group=${GROUP} 2`])
  s.measure.told(GROUP, { ...EMPTY, inUse: false })
  for (const name of ['kube_sg_group_rules', 'kube_sg_group_rules_quota', 'kube_sg_group_waiting_pods'])
    t.same(await s.read(name), [])
})

t.test('a group that is nearly full is warned of once, and again only after there was room', async (t) => {
  const s = scene()
  const told = (ipv4: number, ipv6 = 0, quota = 60): string[] => {
    s.logged.length = 0
    s.measure.told(GROUP, { ...EMPTY, use: useOf(ipv4, ipv6, quota) })
    return s.logged.map(({ family = '', level }) => `${String(level)} ${family}`)
  }
  t.same(told(47), [])
  t.same(told(48), ['40 ipv4'])
  t.same([told(49), told(47), told(48), told(60)].flat(), [])
  t.same(told(60, 50), ['40 ipv6'], 'each family by itself')
  t.same(told(41, 50), ['30 ipv4'])
  t.same(told(48, 50), ['40 ipv4'])
  t.same(told(48, 50, 100), ['30 ipv4', '30 ipv6'], 'a raised quota gives room too')
})

t.test('an orphan is found once, however often it is met', async (t) => {
  const s = scene()
  const met = (...ids: string[]): void => s.measure.told(GROUP, { ...EMPTY, orphans: new Set(ids) })
  met('sgr-1')
  met('sgr-1', 'sgr-2')
  met('sgr-1', 'sgr-2')
  t.same(await s.read('kube_sg_orphan_rules'), ['2'])
  met()
  t.same(await s.read('kube_sg_orphan_rules'), ['0'])
  t.same(await s.read('kube_sg_orphans_found_total'), ['2'])
})
