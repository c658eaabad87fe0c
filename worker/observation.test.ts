import t from 'tap'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol } from '../shared/rules.ts'
import { fillOf, isRecent, UNREAD, viewOf, withRead, withWrites } from './observation.ts'
import type { ObservedRule } from './securityGroups.ts'

const LAG = 10
const rule = (id: string, owned = true): ObservedRule => ({
  id,
  owned,
  description: '',
  protocol: 'tcp' as Protocol,
  fromPort: 1,
  toPort: 1,
  cidr: '10.0.0.1/32'
})
const ids = (rules: readonly ObservedRule[]) => rules.map(({ id }) => id)
const key = ruleKey(rule('a'))

t.test('a read that may lag behind our own write does not undo it', async (t) => {
  const made = withWrites(UNREAD, [{ kind: 'authorized', at: 100, rule: rule('a') }])
  t.same(ids(viewOf(withRead(made, [], 105, true, LAG)).owned), ['a'], 'too early to show it')
  t.same(ids(viewOf(withRead(made, [], 110, true, LAG)).owned), [], 'late enough to be believed')
})

t.test('a rule that we revoked does not come back from a lagging read', async (t) => {
  const gone = withWrites(withRead(UNREAD, [rule('a')], 50, true, LAG), [{ kind: 'revoked', at: 100, ruleId: 'a' }])
  t.same(ids(viewOf(withRead(gone, [rule('a')], 109, true, LAG)).owned), [])
  t.same(ids(viewOf(withRead(gone, [rule('a')], 110, true, LAG)).owned), ['a'])
})

t.test('made, revoked and made again within the lag: the last stands', async (t) => {
  const known = withWrites(withRead(UNREAD, [rule('a')], 50, true, LAG), [
    { kind: 'revoked', at: 100, ruleId: 'a' },
    { kind: 'authorized', at: 101, rule: rule('b') }
  ])
  t.same(ids(viewOf(withRead(known, [rule('a')], 102, false, LAG)).owned), ['b'])
})

t.test('an older read never replaces a newer one', async (t) => {
  const newer = withRead(UNREAD, [rule('a')], 60, true, LAG)
  t.equal(withRead(newer, [], 59, true, LAG), newer)
})

t.test('a lost reply leaves a possible rule until a read can tell', async (t) => {
  const lost = withWrites(UNREAD, [{ kind: 'maybeAuthorized', at: 100, key }])
  t.equal(viewOf(lost).unseen.get(key), 'possible')
  t.equal(viewOf(withRead(lost, [], 109, true, LAG)).unseen.get(key), 'possible')
  t.equal(viewOf(withRead(lost, [], 110, true, LAG)).unseen.size, 0)
  const seen = viewOf(withRead(lost, [rule('a')], 101, true, LAG))
  t.same([ids(seen.owned), seen.unseen.size], [['a'], 0])
  t.equal(viewOf(withWrites(lost, [{ kind: 'provenPresent', at: 101, key }])).unseen.get(key), 'proven')
})

t.test('a read by owner tag says nothing of foreign rules', async (t) => {
  const whole = withRead(UNREAD, [rule('a'), rule('f', false)], 50, true, LAG)
  const view = viewOf(withRead(whole, [], 60, false, LAG))
  t.same([ids(view.owned), ids(view.foreign)], [[], ['f']])
})

t.test('a rule that we just made is recent, one from a read is not', async (t) => {
  const known = withWrites(withRead(UNREAD, [rule('r')], 50, true, LAG), [
    { kind: 'authorized', at: 100, rule: rule('a') }
  ])
  t.same(
    [isRecent(known, 'a', 109, LAG), isRecent(known, 'a', 110, LAG), isRecent(known, 'r', 51, LAG)],
    [true, false, false]
  )
})

t.test('a foreign rule in a lagging read does not hide that ours may be there', async (t) => {
  const lost = withWrites(withRead(UNREAD, [rule('f', false)], 90, true, LAG), [
    { kind: 'maybeAuthorized', at: 100, key }
  ])
  t.equal(viewOf(lost).unseen.get(key), 'possible')
  t.equal(viewOf(withRead(lost, [rule('f', false)], 105, true, LAG)).unseen.get(key), 'possible')
  t.equal(viewOf(withRead(lost, [rule('f', false)], 110, true, LAG)).unseen.size, 0)
})

const became = { ...rule('a'), fromPort: 2, toPort: 2 }

t.test('a lagging read does not bring back what we modified', async (t) => {
  const known = withWrites(withRead(UNREAD, [rule('a')], 50, true, LAG), [{ kind: 'modified', at: 100, rule: became }])
  t.same(viewOf(withRead(known, [rule('a')], 109, true, LAG)).owned, [became])
  t.same(viewOf(withRead(known, [rule('a')], 110, true, LAG)).owned, [rule('a')], 'late enough to be believed')
})

t.test('a lost modification leaves both possible until it is said again, revoked, or read late enough', async (t) => {
  const base = withRead(UNREAD, [rule('a'), rule('z', false)], 50, true, LAG)
  const lost = withWrites(base, [{ kind: 'maybeModified', at: 100, before: [rule('a')], rule: became }])
  for (const shown of [rule('a'), became]) {
    const view = viewOf(withRead(lost, [shown], 109, true, LAG))
    t.same([view.owned, view.uncertain], [[], [{ id: 'a', candidates: [rule('a'), became] }]])
    t.same(
      [...view.unseen],
      [rule('a'), became].map((of) => [ruleKey(of), 'possible'])
    )
    t.equal(fillOf(view, 'ipv4'), 1, 'it takes one place')
    const late = viewOf(withRead(lost, [shown], 110, true, LAG))
    t.same([late.owned, late.uncertain, late.unseen.size], [[shown], [], 0])
  }
  const again = viewOf(withWrites(lost, [{ kind: 'modified', at: 101, rule: became }]))
  t.same([again.owned, again.uncertain, again.unseen.size], [[became], [], 0])
  const gone = viewOf(withWrites(lost, [{ kind: 'revoked', at: 101, ruleId: 'a' }]))
  t.same([gone.owned, gone.uncertain, gone.unseen.size], [[], [], 0])
})

t.test('a lost change of the description alone leaves the rule certain', async (t) => {
  const renamed = { ...rule('a'), description: 'new' }
  const lost = withWrites(withRead(UNREAD, [rule('a')], 50, true, LAG), [
    { kind: 'maybeModified', at: 100, before: [rule('a')], rule: renamed }
  ])
  t.same([viewOf(lost).owned, viewOf(lost).uncertain], [[rule('a')], []])
})
