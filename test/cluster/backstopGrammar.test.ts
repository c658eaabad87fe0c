/**
 * The policies and the webhook are of one mind: thousands of annotations go through the webhook's decision here and through
 * the policies in a real API server, and the answers must be the same. ANNOTATIONS is how many, SEED repeats a run.
 */
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { KubeError } from '../../bed/bed.ts'
import type { KubeObject } from '../../bed/bed.ts'
import { MAX_KEYS } from '../../shared/annotation.ts'
import { PREFIX } from '../../shared/names.ts'
import { annotations, edit, PERMITTED } from './annotationArbitraries.ts'
import type { Entries } from './annotationArbitraries.ts'
import { answer, applyPolicies, expected, inParallel, plain, PODS, stamped, startPolicyBed } from './policyBed.ts'
import type { Answer } from './policyBed.ts'

const COUNT = Number(process.env.ANNOTATIONS ?? 10_000)
const EDITS = Math.ceil(COUNT / 5)
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
// Each takes the API server some milliseconds, and it may have to share its machine.
t.setTimeout(1_200_000)
const bed = await startPolicyBed()

interface Trial {
  readonly before?: Entries
  readonly after: Entries
}

/** Holds the answers against each other, and says which came how often. */
function judge(t: Test, trials: readonly (Trial & { expected: Answer['kind']; found: Answer })[]): void {
  const counts = Object.groupBy(trials, ({ expected }) => expected)
  const told = Object.entries(counts).map(([kind, some]) => `${some.length} ${kind}`)
  t.comment(`seed ${seed}: ${trials.length} compared, by the webhook ${told.join(', ')}`)
  const wrong = trials.filter(({ expected, found }) => found.kind !== expected)
  const shortest = wrong.toSorted((a, b) => JSON.stringify(a).length - JSON.stringify(b).length).slice(0, 5)
  t.same(shortest, [], `${wrong.length} disagreements with SEED=${seed}`)
  if (trials.length < 1000) return
  for (const kind of ['allowed', 'invalid', 'forbidden'] as const)
    t.ok((counts[kind]?.length ?? 0) > trials.length / 50, `enough were ${kind} to mean something`)
}

// Made before the policies are there, so that what is on them may be anything.
const olds = fc.sample(annotations, { numRuns: Math.ceil(EDITS / 8), seed: seed + 1 })
const living: KubeObject[] = []
await inParallel(olds, async (before, index) => {
  const made = await bed.api.call('POST', PODS, plain(`old-${index}`, before)).catch((error: unknown) => {
    // Annotations that no pod can have: not a matter of ours.
    if (error instanceof KubeError && error.status === 422) return undefined
    throw error
  })
  if (made !== undefined) living.push(made)
})
// Keys that nobody knows, as many as may be and one less.
const crowds: KubeObject[] = []
for (const count of [MAX_KEYS - 1, MAX_KEYS]) {
  const unknown = Object.fromEntries(Array.from({ length: count }, (_, index) => [`${PREFIX}x${index}`, '']))
  crowds.push(await bed.api.call('POST', PODS, plain(`crowd-${count}`, unknown)))
}
await applyPolicies(bed)

t.test(`${COUNT} pods are created: webhook and policies agree`, async (t) => {
  const samples = fc.sample(annotations, { numRuns: COUNT, seed })
  const trials: Parameters<typeof judge>[1][number][] = []
  await inParallel(samples, async (after) => {
    const pod = plain('p', after)
    const found = await answer(bed.api.call('POST', `${PODS}?dryRun=All`, pod))
    trials.push({ after, expected: expected(stamped(pod)), found })
  })
  judge(t, trials)
})

t.test(`${EDITS} edits of what was there before: the same keys are judged`, async (t) => {
  const edits = fc.sample(edit, { numRuns: EDITS, seed: seed + 2 })
  const trials: Parameters<typeof judge>[1][number][] = []
  await inParallel(edits, async (make, index) => {
    const old = living[index % living.length]
    if (old === undefined) return
    const before = old.metadata?.annotations ?? {}
    const after = make(before)
    const gone = Object.keys(before).filter((key) => !Object.hasOwn(after, key))
    const patch = { metadata: { annotations: { ...Object.fromEntries(gone.map((key) => [key, null])), ...after } } }
    const found = await answer(bed.api.patch(`${PODS}/${old.metadata?.name ?? ''}?dryRun=All`, patch))
    const object = stamped({ ...old, metadata: { ...old.metadata, annotations: after } })
    trials.push({ before, after, expected: expected(object, old), found })
  })
  judge(t, trials)
})

t.test('keys of old that are malformed count towards the limit of keys', async (t) => {
  const found: [wanted: string, found: string][] = []
  for (const old of crowds) {
    const added = { [`${PREFIX}${PERMITTED[0] ?? ''}`]: 'tcp:1' }
    const object = stamped({
      ...old,
      metadata: { ...old.metadata, annotations: { ...old.metadata?.annotations, ...added } }
    })
    const patch = { metadata: { annotations: added } }
    const { kind } = await answer(bed.api.patch(`${PODS}/${old.metadata?.name ?? ''}?dryRun=All`, patch))
    found.push([expected(object, old), kind])
  }
  t.same(found, [
    ['allowed', 'allowed'],
    ['invalid', 'invalid']
  ])
})
