import t from 'tap'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol, Rule } from '../shared/rules.ts'
import { asking, GROUP, podOf, viewOf } from './podFixture.ts'
import { mayRelease } from './release.ts'
import type { ReleaseFacts } from './release.ts'

const HOLD = 120_000
const END = { at: 1_000_000, reason: 'terminal' as const }
const rule: Rule = { protocol: 'tcp' as Protocol, fromPort: 443, toPort: 443, cidr: '10.64.0.7/32' }
const known = { groupId: GROUP, key: ruleKey(rule), rule }
const nothing: ReleaseFacts = {
  trusted: true,
  rules: [],
  unsettledClaims: 0,
  holderOf: () => undefined,
  attempted: false
}
const other = viewOf(podOf('b'))
const stranger = viewOf(podOf('c', { declaration: asking('tcp:80') }))

const cases = [
  { name: 'nothing left in EC2', facts: {}, at: 0, release: true },
  { name: 'a rule of its address is left', facts: { rules: [known] }, at: 0, release: false },
  {
    name: 'a rule that may be there though no read has shown it',
    facts: { rules: [{ ...known, rule: undefined }] },
    at: 0,
    release: false
  },
  {
    name: 'the rule is claimed by the living pod that holds the address now',
    facts: { rules: [known], holderOf: () => other },
    at: 0,
    release: true
  },
  {
    name: 'the holder now asks for something else',
    facts: { rules: [known], holderOf: () => stranger },
    at: 0,
    release: false
  },
  { name: 'a run has not yet looked at what it claimed', facts: { unsettledClaims: 1 }, at: 0, release: false },
  { name: 'EC2 was never read since we lead', facts: { trusted: false }, at: 0, release: false },
  { name: 'deadline, but no attempt was made', facts: { rules: [known] }, at: HOLD, release: false },
  {
    name: 'deadline after an attempt',
    facts: { rules: [known], attempted: true },
    at: HOLD,
    release: true,
    forced: true
  },
  { name: 'a moment before the deadline', facts: { rules: [known], attempted: true }, at: HOLD - 1, release: false },
  {
    name: 'deadline with an EC2 that was never read',
    facts: { trusted: false, attempted: true },
    at: HOLD,
    release: true,
    forced: true
  }
]
for (const { name, facts, at, release, forced } of cases) {
  t.test(`${release ? 'released' : 'held'}: ${name}`, async (t) => {
    const verdict = mayRelease(viewOf(podOf('a'), { end: END }), { ...nothing, ...facts }, at, HOLD)
    t.equal(verdict.release, release)
    if (verdict.release) t.equal(verdict.forced, forced ?? false)
  })
}

t.test('a pod that was never on a node never had an address: released without asking EC2', async (t) => {
  const view = viewOf(podOf('a', { nodeName: undefined, addresses: [] }), { end: END })
  t.equal(mayRelease(view, { ...nothing, trusted: false }, 0, HOLD).release, true)
})

t.test('a pod on a node whose address we never saw waits for a read', async (t) => {
  t.equal(
    mayRelease(viewOf(podOf('a', { addresses: [] }), { end: END }), { ...nothing, trusted: false }, 0, HOLD).release,
    false
  )
})

t.test('a living pod that asks for nothing any more has no deadline', async (t) => {
  const living = viewOf(podOf('a', { annotated: false, declaration: asking('tcp:443') }))
  t.equal(
    mayRelease(living, { ...nothing, rules: [known], attempted: true, holderOf: () => living }, 100 * HOLD, HOLD)
      .release,
    false
  )
  t.equal(mayRelease(living, nothing, 0, HOLD).release, true)
})
