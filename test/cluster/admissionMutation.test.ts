/** What we add to a pod, beside everybody else who changes pods: on a real API server. */
import t from 'tap'
import { eventually, startBed } from '../../bed/bed.ts'
import type { Bed, KubeObject } from '../../bed/bed.ts'
import { A, admissionOf, FINALIZER, GATE, MANAGED, pathOf, pod, refusal } from './admissionFixture.ts'
import { serveOther } from './otherWebhook.ts'

const bed: Bed = await startBed({ workers: 0, kwok: false })
t.teardown(() => bed.stop())
const { namespace, create, podOf, patch, arrived } = admissionOf(bed)
const other = await serveOther(bed)
t.teardown(() => other.close())

const CONDITION = 'sg.amazonaws.com/rules-in-effect'
const STAMP = { finalizers: [FINALIZER], labels: { [MANAGED]: 'true' } }

t.test('a good pod is stamped once, after what others have put there', async (t) => {
  const ns = await namespace()
  const more = { labels: { app: 'x' }, finalizers: ['example.com/other'] }
  const spec = { readinessGates: [{ conditionType: 'example.com/gate' }] }
  t.match(await create(pod(ns, 'good', { [A]: 'tcp:443', [GATE]: 'true' }, more, spec)), { code: 0, stderr: '' })
  const made = await podOf(ns, 'good')
  t.same(made.metadata?.finalizers, ['example.com/other', FINALIZER])
  t.same(made.metadata?.labels, { app: 'x', [MANAGED]: 'true' })
  const gates = [{ conditionType: 'example.com/gate' }, { conditionType: CONDITION }]
  t.same((made.spec as { readinessGates: unknown }).readinessGates, gates)
  const again = { finalizers: [FINALIZER, 'example.com/other'], labels: { [MANAGED]: 'true', app: 'x' } }
  await create(pod(ns, 'again', { [A]: 'tcp:443', [GATE]: 'true' }, again, { readinessGates: gates }))
  t.match((await podOf(ns, 'again')).metadata, again, 'what is there is not added again')
  t.same(((await podOf(ns, 'again')).spec as { readinessGates: unknown }).readinessGates, gates)
})

t.test('a living pod that is annotated later is stamped then', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'p', {}))
  await patch(ns, 'p', { metadata: { annotations: { [A]: 'tcp:443' } } })
  t.match((await podOf(ns, 'p')).metadata, STAMP)
})

t.test('a pod in the spelling of 2018 is stamped as any other', async (t) => {
  const ns = await namespace()
  t.match(await create(pod(ns, 'bare', { 'sg.amazonaws.com': 'sg-0123abcd:tcp:443' })), {
    code: 0,
    stderr: /old spelling/
  })
  t.match((await podOf(ns, 'bare')).metadata, STAMP)
  await create(pod(ns, 'ingress', { 'sg.amazonaws.com/ingress': 'sg-0123abcd:tcp:443' }))
  t.match((await podOf(ns, 'ingress')).metadata, STAMP)
})

t.test('a dry run shows the stamp and leaves nothing behind', async (t) => {
  const ns = await namespace()
  const shown = await create(pod(ns, 'p', { [A]: 'tcp:443' }), '--dry-run=server', '-o=json')
  t.match((JSON.parse(shown.stdout) as KubeObject).metadata, STAMP)
  t.match((await create(pod(ns, 'p', { [A]: 'tpc:443' }), '--dry-run=server')).stderr, /did you mean 'tcp:443'/)
  t.match(await refusal(podOf(ns, 'p')), { status: 404 })
  const { items } = (await bed.api.call('GET', `/api/v1/namespaces/${ns}/events`)) as { items?: KubeObject[] }
  t.same(items, [], 'nor an Event')
})

t.test('what a webhook before us adds is ours to stamp', async (t) => {
  const ns = await namespace()
  const annotation = { op: 'add', path: `/metadata/annotations/${A.replace('/', '~1')}`, value: 'tcp:443' }
  await other.change('injector', 'before', () => [annotation])
  await called('injector')
  await create(pod(ns, 'p', { x: 'y' }, { labels: { other: 'injector' } }))
  const made = await podOf(ns, 'p')
  t.same(made.metadata?.annotations, { x: 'y', [A]: 'tcp:443' })
  t.match(made.metadata, STAMP)
})

t.test('what a webhook after us adds comes too late for the stamp, and is refused', async (t) => {
  const ns = await namespace()
  const annotation = { op: 'add', path: `/metadata/annotations/${A.replace('/', '~1')}`, value: 'tcp:443' }
  await other.change('late', 'after', () => [annotation])
  await called('late')
  const answer = await create(pod(ns, 'p', { x: 'y' }, { labels: { other: 'late' } }))
  t.match(
    answer.stderr,
    /metadata\.finalizers: Invalid value: "": .* does another webhook remove it or add the annotation later\?/
  )
  const annotated = await create(pod(ns, 'q', { [A]: 'tcp:80' }, { labels: { other: 'late' } }))
  t.match(annotated, { code: 0 }, 'a pod that was annotated before is stamped already')
})

t.test('a webhook after us that takes the stamp away: we are called again and put it back', async (t) => {
  const ns = await namespace()
  const held = (pod: KubeObject): boolean => pod.metadata?.finalizers?.includes(FINALIZER) ?? false
  await other.change('robber', 'after', (pod) =>
    held(pod)
      ? [
          { op: 'replace', path: '/metadata/finalizers', value: ['example.com/mine'] },
          { op: 'replace', path: '/metadata/labels', value: { other: 'robber' } }
        ]
      : []
  )
  await called('robber')
  t.match(await create(pod(ns, 'p', { [A]: 'tcp:443' }, { labels: { other: 'robber' } })), { code: 0 })
  const made = await podOf(ns, 'p')
  t.same(made.metadata?.finalizers, ['example.com/mine', FINALIZER])
  t.same(made.metadata?.labels, { other: 'robber', [MANAGED]: 'true' })
})

t.test('a webhook after us that changes something else: we are called again and add nothing', async (t) => {
  const ns = await namespace()
  const sidecar = { name: 'sidecar', image: 'x' }
  await other.change('sidecar', 'after', (pod) =>
    JSON.stringify(pod.spec).includes('sidecar') ? [] : [{ op: 'add', path: '/spec/containers/-', value: sidecar }]
  )
  await called('sidecar')
  const before = await arrived()
  t.match(await create(pod(ns, 'p', { [A]: 'tcp:443' }, { labels: { other: 'sidecar' } })), { code: 0 })
  t.equal((await arrived()) - before, 3, 'stamped, asked again, judged')
  const made = await podOf(ns, 'p')
  t.match(made.metadata, { finalizers: [FINALIZER] })
  t.equal(made.metadata?.finalizers?.length, 1)
  t.match(made.spec, { containers: [{ name: 'c' }, { name: 'sidecar' }] })
})

t.test('what a webhook after us spoils is judged as it ends up', async (t) => {
  const ns = await namespace()
  const spoilt = { op: 'replace', path: `/metadata/annotations/${A.replace('/', '~1')}`, value: 'all:all' }
  await other.change('spoiler', 'after', () => [spoilt])
  await called('spoiler')
  const answer = await create(pod(ns, 'p', { [A]: 'tcp:443' }, { labels: { other: 'spoiler' } }))
  t.match(answer.stderr, /Invalid value: "all:all"/)
})

/** The API server learns of a new configuration a moment later. */
async function called(name: string): Promise<void> {
  const ns = await namespace()
  const probe = pod(ns, 'probe', { [A]: 'tcp:1' }, { labels: { other: name } })
  const plain = await create(
    { ...probe, metadata: { ...probe.metadata, name: 'plain', labels: {} } },
    '--dry-run=server',
    '-o=json'
  )
  const { metadata, spec } = JSON.parse(plain.stdout) as KubeObject
  await eventually(`the webhook ${name}`, async () => {
    const answer = await create(probe, '--dry-run=server', '-o=json')
    if (answer.code !== 0) return true
    const seen = JSON.parse(answer.stdout) as KubeObject
    const text = (of: unknown): string => JSON.stringify(of)
    const same = (['annotations', 'finalizers'] as const).every(
      (key) => text(seen.metadata?.[key]) === text(metadata?.[key])
    )
    return !same || text(seen.spec) !== text(spec) || undefined
  })
}

t.test('taking the stamp away is allowed, and an edit of ours brings it back', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'p', { [A]: 'tcp:443' }))
  await patch(ns, 'p', { metadata: { finalizers: null, labels: { [MANAGED]: null } } })
  t.same((await podOf(ns, 'p')).metadata?.finalizers, undefined)
  await patch(ns, 'p', { metadata: { annotations: { [A]: 'tcp:444' } } })
  t.match((await podOf(ns, 'p')).metadata, STAMP)
})

t.test('a manifest that says how its pod ended makes a new pod, stamped as any other', async (t) => {
  const ns = await namespace()
  for (const phase of ['Succeeded', 'Failed']) {
    const name = phase.toLowerCase()
    t.match(await create({ ...pod(ns, name, { [A]: 'tcp:443' }), status: { phase } }), { code: 0, stderr: '' })
    const made = await podOf(ns, name)
    t.match(made.metadata, STAMP)
    t.match(made.status, { phase: 'Pending' })
  }
})

t.test('our finalizer without our annotations gets the label, at CREATE and UPDATE', async (t) => {
  const ns = await namespace()
  const finalizers = [FINALIZER]
  await create(pod(ns, 'born', {}, { finalizers }))
  t.same((await podOf(ns, 'born')).metadata?.labels, { [MANAGED]: 'true' })
  await create(pod(ns, 'edited', {}))
  await bed.api.patch(pathOf(ns, 'edited'), { metadata: { finalizers } })
  t.same((await podOf(ns, 'edited')).metadata?.labels, { [MANAGED]: 'true' })
  await bed.api.patch(pathOf(ns, 'edited'), { metadata: { labels: { [MANAGED]: null } } })
  t.same((await podOf(ns, 'edited')).metadata?.labels, undefined, 'taking it away is not denied')
})

t.test('a readiness gate without rules to wait for is refused, and one that comes too late warned about', async (t) => {
  const ns = await namespace()
  const answer = await create(pod(ns, 'p', { [GATE]: 'true' }))
  t.match(
    answer.stderr,
    /^The Pod "p" is invalid: metadata\.annotations\[.*\]: .* needs the annotation of a security group/
  )
  await create(pod(ns, 'p', { [A]: 'tcp:443' }))
  const late = await bed.kubectl(['annotate', 'pod', '-n', ns, 'p', `${GATE}=true`])
  const warning = `Warning: metadata.annotations[${GATE}]: takes effect only on pods that are created with it\n`
  t.match(late, { code: 0, stderr: warning })
  t.same(
    (await podOf(ns, 'p')).spec && ((await podOf(ns, 'p')).spec as { readinessGates?: unknown }).readinessGates,
    undefined
  )
})
