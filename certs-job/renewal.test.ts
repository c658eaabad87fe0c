import fc from 'fast-check'
import t from 'tap'
import { DAY_MS, decide, PROPAGATION_MS, trustedBundle } from './renewal.ts'
import type { Authority, Leaf, State } from './renewal.ts'

const NOW = Date.parse('2026-06-01T00:00:00Z')
const days = (count: number): number => NOW + count * DAY_MS
const authority = (pem: string, from: number, to: number): Authority => ({
  pem,
  notBefore: days(from),
  notAfter: days(to)
})
const signer = authority('new', -30, 335)
const leaf: Leaf = { notBefore: days(-10), notAfter: days(50), sound: true, signer: 'new' }
const calm: State = { signer, others: [], leaf, trustedSince: days(-1) }

t.test('what is due', async (t) => {
  const cases: [name: string, state: State, authority: boolean, leaf: boolean][] = [
    ['nothing, when all is well', calm, false, false],
    [
      'all, when there is nothing',
      { signer: undefined, others: [], leaf: undefined, trustedSince: undefined },
      true,
      true
    ],
    ['leaf: none', { ...calm, leaf: undefined }, false, true],
    ['leaf: wrong key or names', { ...calm, leaf: { ...leaf, sound: false } }, false, true],
    ['leaf: ended', { ...calm, leaf: { ...leaf, notAfter: NOW } }, false, true],
    ['leaf: not yet valid', { ...calm, leaf: { ...leaf, notBefore: NOW + 1 } }, false, true],
    ['leaf: nobody knows its signer', { ...calm, leaf: { ...leaf, signer: undefined } }, false, true],
    [
      'leaf: unsound, trusted by nobody yet',
      { ...calm, trustedSince: undefined, leaf: { ...leaf, sound: false } },
      false,
      true
    ],
    ['leaf at two thirds', { ...calm, leaf: { ...leaf, notBefore: days(-40), notAfter: days(20) } }, false, true],
    ['not just before', { ...calm, leaf: { ...leaf, notBefore: days(-40) + 1, notAfter: days(20) + 1 } }, false, false],
    ['authority 90 days before its end', { ...calm, signer: { ...signer, notAfter: days(90) - 1 } }, true, false],
    ['not just before that', { ...calm, signer: { ...signer, notAfter: days(90) } }, false, false],
    ['authority from the future', { ...calm, signer: { ...signer, notBefore: NOW + 1 } }, true, false],
    ['a lost authority waits with the leaf', { ...calm, signer: undefined, others: [signer] }, true, false],
    ['the first leaf of a new authority', { ...calm, leaf: { ...leaf, signer: 'old' } }, false, true],
    [
      'not while some entry distrusts it',
      { ...calm, trustedSince: undefined, leaf: { ...leaf, signer: 'old' } },
      false,
      false
    ],
    [
      'not before every API server knows',
      { ...calm, trustedSince: NOW - PROPAGATION_MS + 1, leaf: { ...leaf, signer: 'old' } },
      false,
      false
    ],
    ['then it is', { ...calm, trustedSince: NOW - PROPAGATION_MS, leaf: { ...leaf, signer: 'old' } }, false, true]
  ]
  for (const [name, state, authority, leaf] of cases) t.same(decide(state, NOW), { authority, leaf }, name)
})

t.test('the bundle: the signer first, and every other that has not ended, once', async (t) => {
  const old = authority('old', -300, 10)
  const older = authority('older', -350, 5)
  const ended = authority('ended', -400, 0)
  t.equal(trustedBundle(signer, [older, ended, old, signer, old], NOW), 'newoldolder')
  t.equal(trustedBundle(signer, [], NOW), 'new')
})

t.test('property: a leaf that still serves is never replaced by one that somebody may not trust', async (t) => {
  const day = fc.integer({ min: -400, max: 400 })
  const anyAuthority = fc
    .tuple(fc.constantFrom('new', 'old'), day, day)
    .map(([pem, a, b]) => authority(pem, Math.min(a, b), Math.max(a, b)))
  const anyLeaf = fc
    .tuple(day, day, fc.boolean(), fc.constantFrom('new', 'old', undefined))
    .map(([a, b, sound, signer]): Leaf => ({
      notBefore: days(Math.min(a, b)),
      notAfter: days(Math.max(a, b)),
      sound,
      signer
    }))
  const anyState = fc.record({
    signer: fc.option(anyAuthority, { nil: undefined }),
    others: fc.array(anyAuthority, { maxLength: 2 }),
    leaf: fc.option(anyLeaf, { nil: undefined }),
    trustedSince: fc.option(
      fc.nat(2 * PROPAGATION_MS).map((age) => NOW - age),
      { nil: undefined }
    )
  })
  fc.assert(
    fc.property(anyState, (state) => {
      const due = decide(state, NOW)
      const { leaf } = state
      const serves = leaf?.sound === true && leaf.signer !== undefined && leaf.notBefore <= NOW && leaf.notAfter > NOW
      const known = state.trustedSince !== undefined && NOW - state.trustedSince >= PROPAGATION_MS
      return !serves || !due.leaf || (known && !due.authority)
    }),
    { numRuns: 1000 }
  )
  t.pass('held')
})
