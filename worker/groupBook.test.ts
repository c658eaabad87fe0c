import fc from 'fast-check'
import t from 'tap'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol } from '../shared/rules.ts'
import { createGroupBook } from './groupBook.ts'
import type { GroupBook } from './groupBook.ts'
import { GROUP, OTHER_GROUP } from './podFixture.ts'
import type { ObservedRule } from './securityGroups.ts'

const LAG = 10_000
const GROUPS = [GROUP, OTHER_GROUP]
const CIDRS = ['10.64.0.1/32', '10.64.0.2/32', 'fd00:64::1/128']
const DESCRIPTIONS = ['demo/web/a', 'demo/web/b']

const rule = fc
  .record({
    id: fc.constantFrom('sgr-1', 'sgr-2', 'sgr-3', 'sgr-4'),
    cidr: fc.constantFrom(...CIDRS),
    description: fc.constantFrom(...DESCRIPTIONS),
    fromPort: fc.constantFrom(80, 443),
    owned: fc.boolean()
  })
  .map((drawn): ObservedRule => ({ ...drawn, protocol: 'tcp' as Protocol, toPort: drawn.fromPort }))

const groupId = fc.constantFrom(...GROUPS)
const rules = fc.uniqueArray(rule, { selector: ({ id }) => id })
type Step = (book: GroupBook, now: number) => void
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.tuple(groupId, rules).map(
    ([id, all]): Step =>
      (book, now) =>
        book.takeRules({ startedAt: now, rules: new Map([[id, all]]) })
  ),
  rules.map(
    (all): Step =>
      (book, now) =>
        book.takeOwnedRules({ startedAt: now, rules: new Map([[GROUP, all.filter(({ owned }) => owned)]]) })
  ),
  fc
    .tuple(groupId, rule, fc.constantFrom('authorized', 'revoked', 'maybeAuthorized', 'provenPresent'))
    .map(([id, one, kind]): Step => (book, at) => {
      if (kind === 'authorized') book.write(id, [{ kind, at, rule: { ...one, owned: true } }])
      else if (kind === 'revoked') book.write(id, [{ kind, at, ruleId: one.id }])
      else book.write(id, [{ kind, at, key: ruleKey(one) }])
    }),
  fc.constant<Step>((book) => book.prune(new Set()))
)

t.test('what is found by source and by description is what the groups hold, whatever is read and written', async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.constantFrom(1, 4000, 15_000)), { maxLength: 30 }), (steps) => {
      const book = createGroupBook(LAG)
      let now = 0
      return steps.every(([take, later]) => {
        take(book, (now += later))
        const bySource = CIDRS.every((cidr) => {
          const held = GROUPS.filter((id) => {
            const { owned, unseen } = book.view(id)
            return owned.some((one) => one.cidr === cidr) || [...unseen.keys()].some((key) => key.endsWith(` ${cidr}`))
          })
          return JSON.stringify([...book.groupsWithSource(cidr)].sort()) === JSON.stringify(held.sort())
        })
        const byDescription = DESCRIPTIONS.every((text) => {
          const held = GROUPS.filter((id) => book.view(id).owned.some(({ description }) => description === text))
          return JSON.stringify([...book.groupsDescribing(text)].sort()) === JSON.stringify(held.sort())
        })
        return bySource && byDescription
      })
    }),
    { numRuns: 500 }
  )
})

t.test('known are the rules that were read and those that were made, of one group or of all', async (t) => {
  const book = createGroupBook(LAG)
  const [read, made, elsewhere] = ['sgr-1', 'sgr-2', 'sgr-3'].map((id, index) => ({
    ...{ id, owned: index > 0, description: 'demo/web/a', cidr: `10.64.0.${String(index)}/32` },
    ...{ protocol: 'tcp' as Protocol, fromPort: 443, toPort: 443 }
  })) as [ObservedRule, ObservedRule, ObservedRule]
  book.takeRules({
    startedAt: 1,
    rules: new Map([
      [GROUP, [read]],
      [OTHER_GROUP, [elsewhere]]
    ])
  })
  book.write(GROUP, [{ kind: 'authorized', at: 2, rule: made }])
  const ofGroup = book.knownRules(GROUP)
  t.same([...ofGroup.keys()].sort(), ['sgr-1', 'sgr-2'])
  t.equal(ofGroup.get('sgr-2'), made, 'the very object')
  t.same([...book.knownRules().keys()].sort(), ['sgr-1', 'sgr-2', 'sgr-3'])
})
