/**
 * The policies and the webhook are of one mind: thousands of annotations go through the webhook's decision here and through
 * the policies in a real API server, and the answers must be the same. ANNOTATIONS is how many, some to a pod; SEED repeats a run.
 */
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { KubeError } from '../../bed/bed.ts'
import type { KubeObject } from '../../bed/bed.ts'
import { isOurs, MAX_GROUPS, MAX_ITEMS, MAX_KEYS, MAX_VALUE_BYTES } from '../../shared/annotation.ts'
import { LEGACY_BARE_KEY, PREFIX } from '../../shared/names.ts'
import { annotations, edit, PERMITTED } from './annotationArbitraries.ts'
import type { Entries } from './annotationArbitraries.ts'
import { answer, applyPolicies, expected, inParallel, plain, PODS, stamped, startPolicyBed } from './policyBed.ts'
import type { Answer } from './policyBed.ts'

const COUNT = Number(process.env.ANNOTATIONS ?? 10_000)
const seed = Number(process.env.SEED ?? Date.now() % 2 ** 31)
// Each takes the API server some milliseconds, and it may have to share its machine.
t.setTimeout(1_200_000)
const bed = await startPolicyBed()

/** What makes a crowd on one pod is mostly alike, and counts for no more. */
const COUNTED_OF_A_POD = 3
const pods = samplesWith(COUNT)
const EDITS = Math.ceil(pods.length / 5)

/** As many pods as have so many annotations of ours. */
function samplesWith(count: number): readonly Entries[] {
  const samples = fc.sample(annotations, { numRuns: count, seed })
  let counted = 0
  const enough = samples.findIndex((each) => {
    counted += Math.min(COUNTED_OF_A_POD, Object.keys(each).filter(isOurs).length)
    return counted >= count
  })
  return enough < 0 ? samples : samples.slice(0, enough + 1)
}

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
const unknown = (count: number): Entries =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`${PREFIX}x${index}`, '']))
const groups = (first: string): Entries =>
  Object.fromEntries(PERMITTED.slice(0, MAX_GROUPS).map((id, index) => [PREFIX + id, index === 0 ? first : 'tcp:1']))
/** What was there before, good or not, counts towards the limits; what names no group is no group. */
const [one = '', another = ''] = [PERMITTED[0], PERMITTED[MAX_GROUPS]]
const addKey = { [PREFIX + one]: 'tcp:1' }
const addGroup = { [LEGACY_BARE_KEY]: `${another}:tcp:1` }
const counting: readonly [before: Entries, added: Entries, wanted: Answer['kind']][] = [
  [unknown(MAX_KEYS - 1), addKey, 'allowed'],
  [unknown(MAX_KEYS), addKey, 'invalid'],
  [groups('tpc:1'), addGroup, 'invalid'],
  [groups(' ,'), addGroup, 'allowed'],
  [groups('\u00a0'), addGroup, 'allowed'],
  [groups('\u00e9'.repeat(MAX_VALUE_BYTES / 2)), addGroup, 'invalid'],
  [groups('\u00e9'.repeat(MAX_VALUE_BYTES / 2 + 1)), addGroup, 'allowed'],
  [{ [PREFIX + one]: `${'x,'.repeat(MAX_ITEMS - 1)}x` }, { [LEGACY_BARE_KEY]: `${one}:tcp:1` }, 'invalid'],
  [{ [PREFIX + one]: `${'x,'.repeat(MAX_ITEMS - 1)} ` }, { [LEGACY_BARE_KEY]: `${one}:tcp:1` }, 'allowed']
]
const counted: KubeObject[] = []
for (const [index, [before]] of counting.entries())
  counted.push(await bed.api.call('POST', PODS, plain(`counted-${index}`, before)))

await applyPolicies(bed)

t.test(`${COUNT} annotations, on ${pods.length} pods that are created: webhook and policies agree`, async (t) => {
  const trials: Parameters<typeof judge>[1][number][] = []
  await inParallel(pods, async (after) => {
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

t.test('what was there before counts towards the limits, good or not', async (t) => {
  for (const [index, [before, added, wanted]] of counting.entries()) {
    const old = counted[index] ?? {}
    const what = JSON.stringify(before).slice(0, 60)
    const object = stamped({ ...old, metadata: { ...old.metadata, annotations: { ...before, ...added } } })
    t.equal(expected(object, old), wanted, `the webhook, ${what}`)
    const patch = { metadata: { annotations: added } }
    t.equal(
      (await answer(bed.api.patch(`${PODS}/counted-${index}?dryRun=All`, patch))).kind,
      wanted,
      `policies, ${what}`
    )
  }
})
