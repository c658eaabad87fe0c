/** What people and Prometheus see of the worker, on a real control plane: the condition and Events through kubectl, and the metrics. */
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import { BY_HAND, kubeletOf } from './kubelet.ts'
import { openYard, QUICK } from './pods.ts'
import type { Yard } from './pods.ts'

const bed = await startBed({ webhooks: 1, workers: 1, settings: { worker: QUICK } })
t.teardown(() => bed.stop())
t.afterEach(() => bed.clearFaults())
const HTTPS = 'tcp 443-443'
const METRICS = bed.env.METRICS_WORKER_0 ?? ''
const yard = await openYardIn('visible')

async function openYardIn(namespace: string): Promise<Yard> {
  await bed.api.call('POST', '/api/v1/namespaces', { metadata: { name: namespace } })
  return openYard(bed, namespace)
}

/** Samples by `name{labels}`, as a scrape gets them. */
async function scrape(): Promise<Map<string, number>> {
  const text = await (await fetch(METRICS)).text()
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ')))]))
}

/** What kubectl tells of the pod: the condition as `status reason: message`, and the Events as `type reason: note`. */
async function shown({ namespace }: Yard, pod: string): Promise<{ condition: string; events: string[] }> {
  const path = '{.status.conditions[?(@.type=="sg.amazonaws.com/rules-in-effect")]}'
  const one = await bed.kubectl(['-n', namespace, 'get', 'pod', pod, '-o', `jsonpath=${path}`])
  const { message, reason, status } = JSON.parse(one.stdout) as { status: string; reason: string; message: string }
  const all = await bed.kubectl([
    ...['-n', namespace, 'get', 'events', '--field-selector', `involvedObject.name=${pod}`, '-o'],
    'jsonpath={range .items[?(@.reportingComponent=="sg.amazonaws.com/worker")]}{.type} {.reason}: {.message}{"\\n"}{end}'
  ])
  return { condition: `${status} ${reason}: ${message}`, events: all.stdout.split('\n').filter((line) => line !== '') }
}

t.test('a life moves the counts: granted, in effect, revoked, released', async (t) => {
  const group = await yard.group()
  const before = await scrape()
  await yard.pod('counted', group)
  await yard.granted(group, [HTTPS], 'counted')
  await yard.reason('counted', 'RulesInEffect')
  const during = await scrape()
  const addresses = (await yard.addresses('counted')).length
  const grown = (now: Map<string, number>, name: string): number => (now.get(name) ?? 0) - (before.get(name) ?? 0)
  t.equal(grown(during, 'kube_sg_rules_authorized_total'), addresses)
  t.equal(grown(during, 'kube_sg_grant_latency_seconds_count'), 1)
  t.equal(grown(during, 'kube_sg_pod_groups{reason="RulesInEffect"}'), 1)
  t.equal(grown(during, 'kube_sg_pods'), 1)
  t.equal(grown(during, 'kube_sg_owned_rules'), addresses)
  t.equal(grown(during, 'kube_sg_ec2_calls_total{action="AuthorizeSecurityGroupIngress",code=""}'), 1)
  t.equal(grown(during, 'kube_sg_ec2_bucket_wait_seconds_count{action="AuthorizeSecurityGroupIngress"}'), 1)
  t.equal(during.get(`kube_sg_group_rules{security_group="${group}",family="ipv4"}`), 1)
  t.equal(during.get(`kube_sg_group_rules_quota{security_group="${group}",family="ipv4"}`), 60)
  t.equal(during.get('leader_election_master_status{name="kube-sg-worker"}'), 1)
  t.equal(during.get('kube_sg_build_info{version="0.1.0"}'), 1)
  t.ok((during.get('kube_sg_watch_lists_total{resource="pods"}') ?? 0) >= 1)
  t.ok(grown(during, 'workqueue_adds_total{name="groups"}') >= 1)
  t.ok(grown(during, 'rest_client_requests_total{code="200",method="PATCH"}') >= 1)
  t.ok((during.get('kube_sg_sweep_last_success_timestamp_seconds') ?? 0) > 1_700_000_000)
  t.ok((during.get('process_resident_memory_bytes') ?? 0) > 0)
  await yard.delete('counted')
  await yard.gone('counted')
  await yard.empty(group)
  // The series of a group goes with the run that ends its use.
  await yard.until('the group to have no series any more', async () =>
    [...(await scrape()).keys()].every((series) => !series.includes(group))
  )
  const after = await scrape()
  t.equal(grown(after, 'kube_sg_rules_revoked_total'), addresses)
  t.equal(grown(after, 'kube_sg_revoke_lag_seconds_count'), addresses)
  t.equal(grown(after, 'kube_sg_pods_released_total{forced="false"}'), 1)
  t.equal(after.get('kube_sg_pods_released_total{forced="true"}'), 0)
  t.equal(grown(after, 'kube_sg_owned_rules'), 0)
  await yard.until('no pod to be held', async () => (await scrape()).get('kube_sg_pods_held') === 0)
})

t.test('granted: one Event, and a condition that names the groups', async (t) => {
  const [one, other] = [await yard.group(), await yard.group()]
  const annotations = { [`sg.amazonaws.com/${one}`]: 'tcp:443', [`sg.amazonaws.com/${other}`]: 'tcp:80' }
  await yard.pod('granted', one, { annotations })
  await yard.event('granted', 'RulesInEffect')
  const { condition, events } = await shown(yard, 'granted')
  t.match(condition, /^True RulesInEffect: every rule is in effect in sg-/)
  t.match(condition, one)
  t.match(condition, other)
  t.match(events, [/^Normal RulesInEffect: every rule is in effect/])
  t.equal(events.length, 1)
})

t.test('a pod that stops asking says so, and a readiness gate stays open for ever', async (t) => {
  const group = await yard.group()
  const ask = { [`sg.amazonaws.com/${group}`]: 'tcp:443' }
  const gate = { 'sg.amazonaws.com/readiness-gate': 'true' }
  await yard.pod('plain', group, { annotations: ask })
  await yard.pod('gated', group, { annotations: { ...ask, ...gate } })
  await Promise.all(['plain', 'gated'].map((pod) => yard.reason(pod, 'RulesInEffect')))
  const nothing = Object.fromEntries(Object.keys({ ...ask, ...gate }).map((key) => [key, null]))
  for (const pod of ['plain', 'gated']) await yard.patch(pod, { metadata: { annotations: nothing } })
  await yard.empty(group)
  await Promise.all(['plain', 'gated'].map((pod) => yard.reason(pod, 'NothingRequested')))
  t.equal((await shown(yard, 'plain')).condition, 'False NothingRequested: the pod asks for no security group')
  t.equal((await shown(yard, 'gated')).condition, 'True NothingRequested: the pod asks for no security group')
  await Promise.all(['plain', 'gated'].map((pod) => yard.delete(pod)))
})

/** Waits until the pod's condition tells of its place in these words. */
async function says(pod: string, words: string): Promise<void> {
  let message = ''
  await yard
    .until(`'${words}' on ${pod}`, async () => {
      message = await yard.reason(pod, 'RuleQuotaExceeded')
      return message.includes(words)
    })
    .catch((error: unknown) => {
      throw new Error(`it says: ${message}`, { cause: error })
    })
}

t.test('a full group: place, quota, and for a readiness gate how the rolling update comes to stand', async (t) => {
  const group = await yard.group()
  await bed.settings({ rulesPerGroup: 1 })
  await yard.pod('early', group)
  await yard.granted(group, [HTTPS], 'early')
  const gate = { [`sg.amazonaws.com/${group}`]: 'tcp:443', 'sg.amazonaws.com/readiness-gate': 'true' }
  await yard.pod('late', group, { annotations: gate })
  await yard.event('late', 'RuleQuotaExceeded')
  await says('late', '(1 in all)')
  const late = await shown(yard, 'late')
  t.match(
    late.condition,
    /^False RuleQuotaExceeded: security group 'sg-\w+' holds all of its 1 IPv[46] rules; this pod is number 1/
  )
  t.match(late.condition, /maxSurge: 0/)
  t.match(late.events[0], /^Warning RuleQuotaExceeded: security group/)
  t.equal((await scrape()).get(`kube_sg_group_waiting_pods{security_group="${group}"}`), 1)
  // Kubernetes keeps time in seconds; within one, the order is that of the uids.
  await sleep(1100)
  await yard.pod('later', group)
  await says('later', 'number 2')
  t.match(await bed.log('worker-0'), 'security group is nearly full')
  await yard.delete('early')
  await yard.reason('late', 'RulesInEffect')
  await yard.event('late', 'RulesInEffect')
  await yard.delete('late')
  await yard.reason('later', 'RulesInEffect')
  await bed.settings({ rulesPerGroup: 60 })
  await yard.event('later', 'RulesInEffect')
  t.equal((await shown(yard, 'later')).events.length, 2, 'a place in the order is no Event')
  await yard.delete('later')
})

t.test('not opted in: the tag that the owner must set', async (t) => {
  await yard.pod('closed', await yard.group(false))
  await yard.event('closed', 'SecurityGroupNotOptedIn')
  const { condition, events } = await shown(yard, 'closed')
  t.match(condition, /^False SecurityGroupNotOptedIn: .* must tag it sg\.amazonaws\.com\/cluster\/bed = allowed$/)
  t.match(events, [/^Warning SecurityGroupNotOptedIn/])
  t.equal((await scrape()).get('kube_sg_pod_groups{reason="SecurityGroupNotOptedIn"}'), 1)
  await yard.delete('closed')
})

t.test('the group is gone, under a pod that had its rules, with an open readiness gate', async (t) => {
  const group = await yard.group()
  const gate = { [`sg.amazonaws.com/${group}`]: 'tcp:443', 'sg.amazonaws.com/readiness-gate': 'true' }
  await yard.pod('orphan', group, { annotations: gate })
  await yard.reason('orphan', 'RulesInEffect')
  await yard.ec2.deleteSecurityGroup({ GroupId: group })
  await yard.event('orphan', 'SecurityGroupNotFound')
  const { condition, events } = await shown(yard, 'orphan')
  t.match(condition, /^True SecurityGroupNotFound: the readiness gate stays open; security group '.*' does not exist/)
  t.ok(events.some((event) => event.startsWith('Warning SecurityGroupNotFound')))
  await yard.delete('orphan')
  await yard.gone('orphan')
})

t.test('EC2 denies: whose permission is lacking, and the call is counted', async (t) => {
  const group = await yard.group()
  await bed.fault({ action: 'AuthorizeSecurityGroupIngress', fault: 'unauthorized' })
  await yard.pod('denied', group)
  await yard.event('denied', 'EC2AccessDenied')
  t.match(
    (await shown(yard, 'denied')).condition,
    /^False EC2AccessDenied: EC2 answered UnauthorizedOperation to AuthorizeSecurityGroupIngress on .*IAM role/
  )
  const code = 'action="AuthorizeSecurityGroupIngress",code="UnauthorizedOperation"'
  t.ok(((await scrape()).get(`kube_sg_ec2_calls_total{${code}}`) ?? 0) >= 1)
  await yard.delete('denied')
  await bed.clearFaults()
})

t.test('EC2 denies a revoke: the pod is held, says why, and its rules are no orphans', async (t) => {
  const group = await yard.group()
  await yard.pod('stuck', group)
  await yard.granted(group, [HTTPS], 'stuck')
  await bed.fault({ action: 'RevokeSecurityGroupIngress', fault: 'unauthorized' })
  await yard.delete('stuck')
  await yard.event('stuck', 'RevokeFailed')
  const { condition } = await shown(yard, 'stuck')
  t.match(
    condition,
    /^False RevokeFailed: \d of its rules (is|are) not revoked yet: EC2 answered UnauthorizedOperation to Revoke/
  )
  const samples = await scrape()
  t.ok((samples.get('kube_sg_pods_held') ?? 0) >= 1)
  t.ok((samples.get('kube_sg_oldest_hold_seconds') ?? 0) >= 5)
  t.equal(samples.get('kube_sg_orphan_rules'), 0)
  t.ok((samples.get('workqueue_retries_total{name="groups"}') ?? 0) >= 1)
  await bed.clearFaults()
  await yard.gone('stuck')
  await yard.empty(group)
})

t.test('no permission: the Role went between admission and the address', async (t) => {
  const other = await openYardIn('unpermitted')
  const group = await other.group()
  // Else it remembers for some seconds that the service account was permitted.
  await bed.ctl('stop', 'worker-0')
  await other.pod('refused', group, { annotations: { [`sg.amazonaws.com/${group}`]: 'tcp:443', ...BY_HAND } })
  await bed.api.call('DELETE', '/apis/rbac.authorization.k8s.io/v1/namespaces/unpermitted/rolebindings/use-all')
  await other.until('the API server knows it', async () => {
    const can = ['auth', 'can-i', 'use', `securitygroups.sg.amazonaws.com/${group}`, '-n', 'unpermitted']
    const answer = await bed.kubectl([...can, '--as=system:serviceaccount:unpermitted:default'])
    return answer.stdout.startsWith('no')
  })
  await bed.ctl('start', 'worker-0')
  await kubeletOf(other).run('refused', ['10.64.130.1'])
  await other.event('refused', 'NotPermitted')
  t.match(
    (await shown(other, 'refused')).condition,
    /^False NotPermitted: service account 'unpermitted\/default' may not use security group 'sg-\w+': RBAC must grant it/
  )
  t.same(await other.rules(group), [])
  await other.delete('refused', '--force', '--grace-period=0')
})

t.test('an address outside of POD_CIDRS', async (t) => {
  const group = await yard.group()
  await yard.pod('outside', group, { annotations: { [`sg.amazonaws.com/${group}`]: 'tcp:443', ...BY_HAND } })
  await kubeletOf(yard).run('outside', ['10.99.0.1'])
  await yard.event('outside', 'AddressRefused')
  t.match(
    (await shown(yard, 'outside')).condition,
    /^False AddressRefused: '10.99.0.1' is outside of POD_CIDRS \(10\.64/
  )
  await yard.delete('outside', '--force', '--grace-period=0')
})

t.test('an outage of AWS is told by readiness and metrics, never by liveness, and passes', async (t) => {
  const group = await yard.group()
  const health = async (path: string): Promise<string> => {
    const answer = await fetch(METRICS.replace('/metrics', path))
    return `${String(answer.status)} ${await answer.text()}`
  }
  t.match(await health('/readyz'), /^200 ok/)
  await bed.fault({ action: '*', fault: 'reset' })
  await yard.until('readiness to tell', async () => (await health('/readyz')).startsWith('503'))
  t.match(await health('/readyz'), /\[-\]sweep failed: EC2 failed or did not answer/)
  t.match(await health('/livez'), /^200 ok/)
  t.equal((await scrape()).get('kube_sg_ec2_unreadable'), 1)
  await yard.pod('waits', group)
  await yard.event('waits', 'EC2Unavailable')
  t.match((await shown(yard, 'waits')).condition, /^False EC2Unavailable: /)
  await bed.clearFaults()
  await yard.granted(group, [HTTPS], 'waits')
  await yard.until('readiness to recover', async () => (await health('/readyz')).startsWith('200'))
  t.equal((await scrape()).get('kube_sg_ec2_unreadable'), 0)
})
