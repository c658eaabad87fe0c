/** The stamp of the policy is the webhook's, on whatever pod; what it does not stamp the grammar refuses. Long, for one bed. */
import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import t from 'tap'
import { eventually } from '../../bed/bed.ts'
import type { KubeObject } from '../../bed/bed.ts'
import { changedKeys } from '../../shared/annotation.ts'
import { CONDITION, FINALIZER, MANAGED_LABEL, MIRROR_POD_KEY, PREFIX, READINESS_GATE_KEY } from '../../shared/names.ts'
import { decode } from '../../webhook/admissionReview.ts'
import { mutate } from '../../webhook/mutation.ts'
import { review } from '../../webhook/reviewFixture.ts'
import { PERMITTED } from './annotationArbitraries.ts'
import type { Entries } from './annotationArbitraries.ts'
import { answer, inParallel, plain, PODS, startPolicyBed } from './policyBed.ts'

const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
const bed = await startPolicyBed()
const policy = (file: string): Promise<string> =>
  readFile(new URL(`../../manifests/backstop/${file}`, import.meta.url), 'utf8')
const OURS = `${PREFIX}${PERMITTED[0] ?? ''}`

interface Marks {
  readonly annotations?: Entries
  readonly labels?: Entries
  readonly finalizers?: readonly string[]
  readonly gates?: readonly string[]
}

/** What is ours, with the order of what is not. */
function marksOf({ metadata, spec }: KubeObject): Required<Omit<Marks, 'annotations'>> {
  const gates = (spec as { readinessGates?: { conditionType: string }[] }).readinessGates ?? []
  return {
    finalizers: metadata?.finalizers ?? [],
    labels: metadata?.labels ?? {},
    gates: gates.map(({ conditionType }) => conditionType)
  }
}

function podWith(name: string, { annotations, labels, finalizers, gates }: Marks, phase?: string): KubeObject {
  const readinessGates = gates?.map((conditionType) => ({ conditionType }))
  return {
    metadata: {
      name,
      ...(annotations && { annotations }),
      ...(labels && { labels }),
      ...(finalizers && { finalizers })
    },
    spec: { containers: [{ name: 'c', image: 'x' }], ...(readinessGates && { readinessGates }) },
    ...(phase !== undefined && { status: { phase } })
  }
}

/** The pod's marks after the webhook's patch, where its matchConditions would have the webhook asked. */
function stampedBy(object: KubeObject, oldObject?: KubeObject): ReturnType<typeof marksOf> {
  const { finalizers, labels, gates } = marksOf(object)
  const [now, before] = [object.metadata?.annotations, oldObject?.metadata?.annotations]
  const added = changedKeys(before, now).some((key) => Object.hasOwn(now ?? {}, key))
  const brought = finalizers.includes(FINALIZER) && oldObject?.metadata?.finalizers?.includes(FINALIZER) !== true
  if (!added && !(brought && labels[MANAGED_LABEL] !== 'true')) return { finalizers, labels, gates }
  const verdict = mutate(decode(review({ object, ...(oldObject && { oldObject }) })))
  const paths = verdict.kind === 'allowed' ? verdict.patch.map(({ path }) => path) : []
  const touches = (start: string): boolean => paths.some((path) => path.startsWith(start))
  return {
    finalizers: touches('/metadata/finalizers') ? [...finalizers, FINALIZER] : finalizers,
    labels: touches('/metadata/labels') ? { ...labels, [MANAGED_LABEL]: 'true' } : labels,
    gates: touches('/spec/readinessGates') ? [...gates, CONDITION] : gates
  }
}

const some = <T>(...values: [T, ...T[]]): fc.Arbitrary<T> => fc.constantFrom(...values)
const marks = fc.record(
  {
    annotations: some<Entries>(
      {},
      { 'example.com/x': 'y' },
      { [OURS]: 'tcp:1' },
      { [OURS]: 'tcp:1', [READINESS_GATE_KEY]: 'true' },
      { [OURS]: 'nonsense', [READINESS_GATE_KEY]: 'false' },
      { 'sg.amazonaws.com': 'nonsense' },
      { [`${PREFIX}ingress`]: '', 'example.com/x': 'y' },
      { 'sg.amazonaws.comx': 'tcp:1' }
    ),
    labels: some<Entries>(
      {},
      { app: 'x' },
      { [MANAGED_LABEL]: 'true' },
      { [MANAGED_LABEL]: 'false', app: 'x' },
      { [MANAGED_LABEL]: '' }
    ),
    finalizers: some<string[]>(
      [],
      ['example.com/x'],
      [FINALIZER],
      ['example.com/x', FINALIZER],
      [FINALIZER, 'example.com/x']
    ),
    gates: some<string[]>([], ['example.com/x'], [CONDITION], ['example.com/x', CONDITION])
  },
  { requiredKeys: [] }
) as fc.Arbitrary<Marks>

/** Without the fields that the API server makes of an empty one. */
const same = (found: KubeObject | undefined, wanted: ReturnType<typeof marksOf>): boolean =>
  found !== undefined && JSON.stringify(marksOf(found)) === JSON.stringify(sorted(wanted))
const sorted = (wanted: ReturnType<typeof marksOf>): object => ({
  ...wanted,
  labels: Object.fromEntries(Object.entries(wanted.labels).sort(([a], [b]) => (a < b ? -1 : 1)))
})

await bed.apply(await policy('30-stamp.yaml'))
await eventually('the stamp to be in effect', async () => {
  const made = await bed.api.call('POST', `${PODS}?dryRun=All`, plain('p', { [OURS]: 'tcp:1' }))
  return made.metadata?.finalizers
})

t.test('pods that are created, whatever is on them', async (t) => {
  const wrong: unknown[] = []
  const phases = fc.constantFrom(undefined, undefined, 'Succeeded', 'Failed')
  await inParallel(fc.sample(fc.tuple(marks, phases), { numRuns: 400, seed }), async ([given, phase]) => {
    const pod = podWith('p', given, phase)
    const made = await bed.api.call('POST', `${PODS}?dryRun=All`, pod)
    if (!same(made, stampedBy(pod))) wrong.push({ given, phase, found: marksOf(made), wanted: stampedBy(pod) })
  })
  t.same(wrong.slice(0, 3), [], `SEED=${seed}`)
})

t.test('pods that are edited: living, ended and deleting ones', async (t) => {
  const wrong: unknown[] = []
  const kinds = ['living', 'Succeeded', 'Failed', 'deleting'] as const
  const edits = fc.sample(fc.tuple(marks, marks), { numRuns: 160, seed: seed + 1 })
  await inParallel([...edits.entries()], async ([index, [first, second]]) => {
    const kind = kinds[index % kinds.length] ?? 'living'
    const path = `${PODS}/edited-${index}`
    const keeps = { ...first, finalizers: [...(first.finalizers ?? []), 'example.com/keeps'] }
    await bed.api.call('POST', PODS, podWith(`edited-${index}`, keeps))
    if (kind === 'deleting') await bed.api.call('DELETE', path)
    else if (kind !== 'living') await bed.api.patch(`${path}/status`, { status: { phase: kind } })
    const old = await bed.api.call('GET', path)
    const gone = (before: Entries = {}): object => Object.fromEntries(Object.keys(before).map((key) => [key, null]))
    // No finalizer may come to a pod that is being deleted, from nobody.
    const finalizers =
      kind === 'deleting' ? (old.metadata?.finalizers ?? []) : [...(second.finalizers ?? []), 'example.com/keeps']
    const annotations = { ...gone(old.metadata?.annotations), ...second.annotations }
    const labels = { ...gone(old.metadata?.labels), ...second.labels }
    const made = await bed.api.patch(`${path}?dryRun=All`, { metadata: { annotations, labels, finalizers } })
    const metadata = { ...old.metadata, annotations: second.annotations ?? {}, labels: second.labels ?? {}, finalizers }
    const wanted = stampedBy({ ...old, metadata }, old)
    if (!same(made, wanted)) wrong.push({ kind, first, second, found: marksOf(made), wanted })
  })
  t.same(wrong.slice(0, 3), [], `SEED=${seed}`)
})

t.test('the copy of a static pod is left alone', async (t) => {
  const mirror = plain('p', { [OURS]: 'tcp:1', [MIRROR_POD_KEY]: 'x' })
  const spec = { ...(mirror.spec as object), nodeName: 'n', automountServiceAccountToken: false }
  const made = await bed.api.call('POST', `${PODS}?dryRun=All`, { ...mirror, spec })
  t.equal(made.metadata?.finalizers, undefined)
})

t.test('what nobody stamps is refused, but for what takes away', async (t) => {
  await bed.api.call('POST', PODS, podWith('bare', { annotations: { [OURS]: 'tcp:1', [READINESS_GATE_KEY]: 'false' } }))
  await bed.api.patch(`${PODS}/bare`, { metadata: { finalizers: null, labels: null } })
  await bed.kubectl(['delete', 'mutatingadmissionpolicybinding', 'kube-sg-stamp'])
  await bed.apply(await policy('10-grammar.yaml'))
  const refused = await eventually('the grammar alone', async () => {
    const found = await answer(bed.api.call('POST', `${PODS}?dryRun=All`, plain('p', { [OURS]: 'tcp:1' })))
    return found.kind === 'invalid' ? found : undefined
  })
  t.match(refused.message, /must have finalizer 'sg\.amazonaws\.com\/revoke-rules' and label/)
  const half = podWith('p', { annotations: { [OURS]: 'tcp:1' }, finalizers: [FINALIZER] })
  t.equal((await answer(bed.api.call('POST', `${PODS}?dryRun=All`, half))).kind, 'invalid', 'the label too')
  const annotate = (annotations: object): Promise<unknown> =>
    bed.api.patch(`${PODS}/bare?dryRun=All`, { metadata: { annotations } })
  t.equal((await answer(annotate({ [OURS]: 'tcp:2' }))).kind, 'invalid', 'an edit as well')
  t.equal((await answer(annotate({ [OURS]: null }))).kind, 'allowed')
  t.equal((await answer(annotate({ 'example.com/x': 'y' }))).kind, 'allowed')
  await bed.apply(await policy('30-stamp.yaml'))
})

t.test('annotations that another policy adds: stamped or refused, never let in as they are', async (t) => {
  const API = 'admissionregistration.k8s.io/v1'
  const metadata = { name: 'zz-annotates' }
  const rule = { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] }
  const expression = `Object{metadata: Object.metadata{annotations: {"${OURS}": "tcp:1"}}}`
  await bed.apply([
    {
      apiVersion: API,
      kind: 'MutatingAdmissionPolicy',
      metadata,
      spec: {
        reinvocationPolicy: 'Never',
        failurePolicy: 'Fail',
        matchConstraints: { resourceRules: [rule], objectSelector: { matchLabels: { annotate: 'later' } } },
        mutations: [{ patchType: 'ApplyConfiguration', applyConfiguration: { expression } }]
      }
    },
    { apiVersion: API, kind: 'MutatingAdmissionPolicyBinding', metadata, spec: { policyName: 'zz-annotates' } }
  ])
  const [made, refused] = await eventually('the other policy', async () => {
    const call = bed.api.call('POST', `${PODS}?dryRun=All`, podWith('p', { labels: { annotate: 'later' } }))
    const found = await answer(call)
    if (found.kind !== 'allowed') return [undefined, found.message] as const
    const pod = await call
    return pod.metadata?.annotations?.[OURS] === undefined ? undefined : ([pod, ''] as const)
  })
  // Kubernetes keeps no order among policies, and calls none again that had nothing to do before.
  if (made === undefined) t.match(refused, /must have finalizer .* add the annotation later\?/)
  else t.same(made.metadata?.finalizers, [FINALIZER])
})
