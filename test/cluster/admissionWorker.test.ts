/**
 * What admission lets through unseen is refused by the worker, and what ends runs to its end: all on one bed, with workers,
 * nodes and EC2.
 */
import t from 'tap'
import { eventually, startBed } from '../../bed/bed.ts'
import type { KubeObject } from '../../bed/bed.ts'
import { FINALIZER, MANAGED, UNSEEN, workloads } from './admissionFixture.ts'
import { openYard, QUICK } from './pods.ts'

const bed = await startBed({ webhooks: 1, workers: 1, settings: { worker: QUICK } })
t.teardown(() => bed.stop())
const yard = await openYard(bed)
const HTTPS = 'tcp 443-443'
const STAMP = { finalizers: [FINALIZER], labels: { [MANAGED]: 'true' } }

/** Creates a pod of which the webhook is never asked, stamped by hand so that the worker sees it. */
async function sneak(name: string, annotations: object, spec: object = {}, namespace = 'default'): Promise<void> {
  const pod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace, annotations, ...STAMP },
    spec: { containers: [{ name: 'app', image: 'x' }], ...spec }
  }
  const answer = await bed.kubectl(['create', ...UNSEEN, '-f', '-'], JSON.stringify(pod))
  if (answer.code !== 0) throw new Error(answer.stderr)
}

t.test('the worker refuses what nobody was asked about, and says why', async (t) => {
  const group = await yard.group()
  const key = `sg.amazonaws.com/${group}`
  await bed.apply({ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'strangers' } })
  await bed.apply({ apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'stranger', namespace: 'strangers' } })
  const many = Array.from({ length: 17 }, (_, index) => [`sg.amazonaws.com/sg-000000${10 + index}`, 'tcp:1'])
  await sneak('malformed', { [key]: 'tcp:443,all:443' })
  await sneak('unknown', { [key]: 'tpc:1', 'sg.amazonaws.com/egress': 'x' })
  await sneak('crowded', { [key]: 'tcp:443', ...(Object.fromEntries(many) as object) })
  await sneak('stranger', { [key]: 'tcp:443' }, { serviceAccountName: 'stranger' }, 'strangers')
  await sneak('host', { [key]: 'tcp:443' }, { hostNetwork: true })
  t.match(
    await yard.reason('malformed', 'InvalidAnnotation'),
    /annotations\[.*\]: for port 443 write 'tcp:443' or 'udp:443'/
  )
  t.match(await yard.reason('unknown', 'InvalidAnnotation'), /egress.*tcp:1/)
  t.match(await yard.reason('crowded', 'InvalidAnnotation'), /at most 16 security groups/)
  await yard.until('the stranger to be told', async () => {
    const { status } = await bed.api.call('GET', '/api/v1/namespaces/strangers/pods/stranger')
    return JSON.stringify(status).includes('"reason":"NotPermitted"')
  })
  t.match(await yard.reason('host', 'HostNetworkRefused'), /node/)
  await yard.pod('good', group)
  await yard.granted(group, [HTTPS], 'good')
  for (const name of ['malformed', 'unknown', 'crowded', 'host', 'good']) await yard.delete(name)
  for (const name of ['malformed', 'unknown', 'crowded', 'host']) await yard.gone(name)
  t.equal((await bed.kubectl(['delete', 'namespace', 'strangers'])).code, 0)
  await yard.empty(group)
})

t.test('an annotation that came through pods/status unseen: the worker judges what it finds', async (t) => {
  const [group, other] = [await yard.group(), await yard.group(false)]
  await yard.pod('turned', group)
  await yard.granted(group, [HTTPS], 'turned')
  const through = async (annotations: object): Promise<void> => {
    const patch = JSON.stringify({ metadata: { annotations } })
    const flags = ['--subresource=status', '--type=merge', ...UNSEEN]
    const answer = await bed.kubectl(['patch', 'pod', 'turned', ...flags, '-p', patch])
    t.equal(answer.code, 0, answer.stderr)
  }
  await through({ [`sg.amazonaws.com/${group}`]: 'tcp:0' })
  await yard.reason('turned', 'InvalidAnnotation')
  await yard.empty(group)
  await through({ [`sg.amazonaws.com/${group}`]: 'tcp:80', [`sg.amazonaws.com/${other}`]: 'tcp:80' })
  await yard.reason('turned', 'SecurityGroupNotOptedIn')
  await yard.granted(group, ['tcp 80-80'], 'turned')
  await yard.empty(other)
  await yard.delete('turned')
  await yard.empty(group)
  await yard.gone('turned')
})

t.test('mirror pods are granted nothing', async (t) => {
  const group = await yard.group()
  const key = `sg.amazonaws.com/${group}`
  await sneak('mirror', { [key]: 'tcp:443', 'kubernetes.io/config.mirror': 'x' }, { nodeName: await someNode() })
  await yard.pod('beside', group)
  await yard.granted(group, [HTTPS], 'beside')
  t.same((await yard.get('mirror'))?.status?.conditions?.filter(({ type }) => type.startsWith('sg.')) ?? [], [])
  await yard.delete('beside')
  await yard.empty(group)
})

async function someNode(): Promise<string> {
  const { items } = (await bed.api.call('GET', '/api/v1/nodes')) as { items?: KubeObject[] }
  return items?.[0]?.metadata?.name ?? ''
}

t.test('a Job runs to its end: its pod completes, is released, and both can be deleted', async (t) => {
  const group = await yard.group()
  const job = workloads().find(({ kind }) => kind === 'Job')
  await bed.apply({
    apiVersion: 'batch/v1',
    kind: 'Job',
    metadata: { name: 'once', namespace: 'default' },
    ...job?.body({ [`sg.amazonaws.com/${group}`]: 'tcp:443', 'pod-complete.stage.kwok.x-k8s.io/delay': '4s' })
  })
  await yard.until('its rule', async () => (await yard.rules(group)).length > 0)
  const complete = (): Promise<true | undefined> =>
    bed.api.call('GET', '/apis/batch/v1/namespaces/default/jobs/once').then(({ status }) => {
      const { conditions = [] } = (status ?? {}) as { conditions?: { type: string; status: string }[] }
      return conditions.some(({ type, status }) => type === 'Complete' && status === 'True') || undefined
    })
  await eventually('the Job to be complete', complete, { within: 60_000 })
  const [pod] = await podsOf('once')
  await yard.empty(group)
  await yard.until('its pod to be released', async () => !(await podsOf('once'))[0]?.metadata?.finalizers?.length)
  t.match(pod?.metadata?.annotations, { [`sg.amazonaws.com/${group}`]: 'tcp:443' })
  const name = pod?.metadata?.name ?? ''
  await yard.patch(name, { metadata: { annotations: { other: 'x' }, labels: { x: 'y' } } })
  const answer = await bed.kubectl(['delete', 'job', 'once'])
  t.equal(answer.code, 0, answer.stderr)
  await yard.gone(name)
})

async function podsOf(job: string): Promise<readonly KubeObject[]> {
  const path = `/api/v1/namespaces/default/pods?labelSelector=batch.kubernetes.io/job-name%3D${job}`
  return ((await bed.api.call('GET', path)) as { items?: KubeObject[] }).items ?? []
}

t.test('our annotations taken away from a living pod: its rules go, then its finalizer, and it lives on', async (t) => {
  const group = await yard.group()
  await yard.pod('cured', group)
  await yard.granted(group, [HTTPS], 'cured')
  await yard.patch('cured', { metadata: { annotations: { [`sg.amazonaws.com/${group}`]: null } } })
  await yard.empty(group)
  await yard.until('its finalizer to go', async () => {
    const finalizers = (await yard.get('cured'))?.metadata?.finalizers ?? []
    if (finalizers.length === 0) t.same(await yard.rules(group), [], 'rules first')
    return finalizers.length === 0
  })
  t.equal((await yard.get('cured'))?.status?.phase, 'Running')
  await yard.delete('cured')
  await yard.gone('cured')
})
