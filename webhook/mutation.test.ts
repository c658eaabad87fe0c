import fc from 'fast-check'
import { applyPatch } from 'rfc6902'
import t from 'tap'
import { decode } from './admissionReview.ts'
import { mutate } from './mutation.ts'
import { pod, review, stamped } from './reviewFixture.ts'
import type { ReviewParts } from './reviewFixture.ts'

const FINALIZER = 'sg.amazonaws.com/revoke-rules'
const annotations = { 'sg.amazonaws.com/sg-0123abcd': 'tcp:443' }

function patchOf(parts: ReviewParts) {
  const verdict = mutate(decode(review(parts)))
  if (verdict.kind !== 'allowed') throw new Error('mutation judges nothing')
  return verdict.patch
}

function patched(parts: ReviewParts): { metadata: Record<string, unknown>; spec: Record<string, unknown> } {
  const object = structuredClone(parts.object)
  const failures = applyPatch(object, [...patchOf(parts)]).filter((failure) => failure !== null)
  if (failures.length > 0) throw failures[0] as Error
  return object as ReturnType<typeof patched>
}

t.test('names that the API server has still to refuse, and says why, are none of our business', async (t) => {
  const long = 'x'.repeat(1000)
  const object = pod({ annotations, spec: { serviceAccountName: long }, metadata: { name: long } })
  t.equal(patchOf({ object, name: long }).length, 2)
})

t.test('stamps an annotated pod, whatever it has already', async (t) => {
  const bare = patched({ object: pod({ annotations }) })
  t.same(bare.metadata.finalizers, [FINALIZER])
  t.same(bare.metadata.labels, { 'sg.amazonaws.com/managed': 'true' })
  const full = patched({ object: pod({ annotations, labels: { app: 'api' }, finalizers: ['batch/job-tracking'] }) })
  t.same(full.metadata.finalizers, ['batch/job-tracking', FINALIZER])
  t.same(full.metadata.labels, { app: 'api', 'sg.amazonaws.com/managed': 'true' })
  const forged = patched({ object: pod({ annotations, labels: { 'sg.amazonaws.com/managed': 'no' } }) })
  t.same(forged.metadata.labels, { 'sg.amazonaws.com/managed': 'true' })
  const empty = patched({ object: pod({ annotations, labels: {}, finalizers: [] }) })
  t.same(empty.metadata.finalizers, [FINALIZER])
})

t.test('also when the annotation is malformed, old or a setting: validation judges', async (t) => {
  for (const key of ['sg.amazonaws.com', 'sg.amazonaws.com/ingress', 'sg.amazonaws.com/x'])
    t.same(patched({ object: pod({ annotations: { [key]: '?' } }) }).metadata.finalizers, [FINALIZER], key)
})

t.test('stamps at UPDATE too, when our keys appear', async (t) => {
  t.same(patched({ object: pod({ annotations }), oldObject: pod() }).metadata.finalizers, [FINALIZER])
})

t.test('adds the readiness gate that is asked for, at CREATE alone', async (t) => {
  const asking = { ...annotations, 'sg.amazonaws.com/readiness-gate': 'true' }
  const gate = { conditionType: 'sg.amazonaws.com/rules-in-effect' }
  t.same(patched({ object: pod({ annotations: asking }) }).spec.readinessGates, [gate])
  const other = { conditionType: 'example.com/x' }
  const second = patched({ object: pod({ annotations: asking, spec: { readinessGates: [other] } }) })
  t.same(second.spec.readinessGates, [other, gate])
  t.same(patched({ object: pod({ annotations: asking, spec: { readinessGates: [gate] } }) }).spec.readinessGates, [
    gate
  ])
  t.same(patched({ object: pod({ annotations: asking }), oldObject: pod() }).spec.readinessGates, undefined)
  const declined = { ...annotations, 'sg.amazonaws.com/readiness-gate': 'false' }
  t.same(patched({ object: pod({ annotations: declined }) }).spec.readinessGates, undefined)
})

t.test('a pod being created lives, whatever its manifest says of its end', async (t) => {
  for (const phase of ['Succeeded', 'Failed'])
    t.same(patched({ object: pod({ annotations, status: { phase } }) }).metadata.finalizers, [FINALIZER], phase)
  const replaced = pod({ annotations, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } })
  t.same(patched({ object: replaced }).metadata.finalizers, [FINALIZER])
})

t.test('a finalizer of ours without annotations gets the label by which the worker finds it', async (t) => {
  const forged = pod({ finalizers: [FINALIZER], labels: { app: 'x' } })
  for (const oldObject of [undefined, pod()]) {
    const { metadata } = patched({ object: forged, oldObject })
    t.same(metadata.labels, { app: 'x', 'sg.amazonaws.com/managed': 'true' })
    t.same(metadata.finalizers, [FINALIZER])
  }
  t.same(patchOf({ object: pod({ finalizers: ['example.com/other'] }) }), [])
})

t.test('annotations beyond counting are stamped all the same', async (t) => {
  const many = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`sg.amazonaws.com/${index}`, 'x']))
  t.same(
    patchOf({ object: pod({ annotations: many }) }).map(({ path }) => path),
    ['/metadata/finalizers', '/metadata/labels']
  )
})

t.test('leaves alone what it must', async (t) => {
  const cases: [why: string, parts: ReviewParts][] = [
    ['not annotated', { object: pod({ annotations: { app: 'x' } }) }],
    ['stamped already', { object: stamped({ annotations }) }],
    [
      'deleting',
      { object: pod({ annotations, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }), oldObject: pod() }
    ],
    ['ended', { object: pod({ annotations, status: { phase: 'Succeeded' } }), oldObject: pod() }],
    ['failed', { object: pod({ annotations, status: { phase: 'Failed' } }), oldObject: pod() }],
    ['a mirror pod', { object: pod({ annotations: { ...annotations, 'kubernetes.io/config.mirror': 'x' } }) }],
    ['pods/status', { object: pod({ annotations }), oldObject: pod(), subResource: 'status' }],
    ['DELETE', { object: null, oldObject: pod({ annotations }), operation: 'DELETE' }],
    ['another resource', { object: pod({ annotations }), resource: 'deployments', kind: 'Deployment' }]
  ]
  for (const [why, parts] of cases) t.same(patchOf(parts), [], why)
})

t.test('property: idempotent, appends, and touches nothing else', async (t) => {
  const word = fc.stringMatching(/^[a-z~/]{1,8}$/)
  fc.assert(
    fc.property(
      fc.record({
        labels: fc.option(fc.dictionary(word, word), { nil: undefined }),
        finalizers: fc.option(fc.uniqueArray(word), { nil: undefined }),
        gates: fc.option(fc.uniqueArray(word), { nil: undefined })
      }),
      ({ labels, finalizers, gates }) => {
        const spec = gates === undefined ? {} : { readinessGates: gates.map((conditionType) => ({ conditionType })) }
        const asking = { ...annotations, 'sg.amazonaws.com/readiness-gate': 'true' }
        const object = pod({ annotations: asking, labels, finalizers, spec })
        const after = patched({ object })
        t.same(patchOf({ object: after }), [])
        t.same(after.metadata.finalizers, [...(finalizers ?? []), FINALIZER])
        t.same(after.metadata.labels, { ...labels, 'sg.amazonaws.com/managed': 'true' })
        t.same(after.metadata.annotations, asking)
        t.same((after.spec.readinessGates as unknown[]).slice(0, -1), spec.readinessGates ?? [])
      }
    ),
    { numRuns: 100 }
  )
})
