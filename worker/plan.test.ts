import fc from 'fast-check'
import t from 'tap'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol, Rule } from '../shared/rules.ts'
import type { Claim } from './desired.ts'
import { planChanges } from './plan.ts'
import { podOf } from './podFixture.ts'
import type { ObservedRule } from './securityGroups.ts'

const rule = (port: number, cidr = '10.64.0.7/32'): Rule => ({
  protocol: 'tcp' as Protocol,
  fromPort: port,
  toPort: port,
  cidr
})
const ours = (of: Rule): ObservedRule => ({ ...of, id: `sgr-${ruleKey(of)}`, owned: true, description: '' })
const theirs = (of: Rule): ObservedRule => ({ ...of, id: `sgr-foreign-${ruleKey(of)}`, owned: false, description: '' })
const claimOf = (of: Rule, age = 1000, authorizable = true): Claim => ({
  rule: of,
  pod: podOf(String(age), { createdAt: age }),
  authorizable
})
const claimsOf = (...claims: Claim[]) => new Map(claims.map((claim) => [ruleKey(claim.rule), claim]))
const viewOf = (
  rules: readonly ObservedRule[],
  unseen: ReadonlyMap<ReturnType<typeof ruleKey>, 'proven' | 'possible'> = new Map()
) => ({
  owned: rules.filter(({ owned }) => owned),
  foreign: rules.filter(({ owned }) => !owned),
  unseen
})
const ROOM = { ipv4: 60, ipv6: 60 }
const [a, b, c] = [rule(1), rule(2), rule(3)]

const cases = [
  { name: 'authorizes a missing rule', claims: [claimOf(a)], there: [], authorize: [a], revoke: [] },
  { name: 'leaves what is there alone', claims: [claimOf(a)], there: [ours(a)], authorize: [], revoke: [] },
  { name: 'accepts a rule made by others', claims: [claimOf(a)], there: [theirs(a)], authorize: [], revoke: [] },
  {
    name: 'revokes our rule that no pod claims',
    claims: [claimOf(a)],
    there: [ours(a), ours(b)],
    authorize: [],
    revoke: [b]
  },
  { name: 'leaves the rules of others alone', claims: [], there: [theirs(b)], authorize: [], revoke: [] },
  {
    name: 'keeps, but does not make, what may not be authorized',
    claims: [claimOf(a, 1, false), claimOf(b, 1, false)],
    there: [ours(a)],
    authorize: [],
    revoke: []
  }
]
for (const { name, claims, there, authorize, revoke } of cases) {
  t.test(name, async (t) => {
    const plan = planChanges(claimsOf(...claims), viewOf(there), () => true, ROOM)
    t.same(
      plan.authorize.map((claim) => claim.rule),
      authorize
    )
    t.same(plan.revoke.map(ruleKey), revoke.map(ruleKey))
    t.same(plan.orphans, [])
  })
}

t.test('a rule that nobody can explain is an orphan, not revoked', async (t) => {
  const plan = planChanges(new Map(), viewOf([ours(a), ours(b)]), ({ fromPort }) => fromPort === 1, ROOM)
  t.same([plan.revoke.map(ruleKey), plan.orphans.map(ruleKey)], [[ruleKey(a)], [ruleKey(b)]])
})

t.test('a proven rule is there, a possible one is made again', async (t) => {
  const unseen = new Map([
    [ruleKey(a), 'proven' as const],
    [ruleKey(b), 'possible' as const]
  ])
  t.same(
    planChanges(claimsOf(claimOf(a), claimOf(b)), viewOf([], unseen), () => true, ROOM).authorize.map(
      (claim) => claim.rule
    ),
    [b]
  )
})

t.test('a full group revokes first, and serves older pods before younger', async (t) => {
  const plan = planChanges(claimsOf(claimOf(b, 30), claimOf(c, 20)), viewOf([ours(a)]), () => true, {
    ipv4: 1,
    ipv6: 60
  })
  t.equal(plan.revokeFirst, true)
  t.same([plan.authorize.map((claim) => claim.rule), plan.waiting.map((claim) => claim.rule)], [[c], [b]])
})

t.test('foreign rules fill a group too, and each family has its own room', async (t) => {
  const six = rule(1, 'fd00::1/128')
  const plan = planChanges(claimsOf(claimOf(b), claimOf(six)), viewOf([theirs(a)]), () => true, { ipv4: 1, ipv6: 1 })
  t.same(
    [plan.authorize.map((claim) => claim.rule), plan.waiting.map((claim) => claim.rule), plan.revokeFirst],
    [[six], [b], false]
  )
})

const anyRule = fc
  .record({ port: fc.integer({ min: 1, max: 8 }), six: fc.boolean() })
  .map(({ port, six }) => rule(port, six ? 'fd00::1/128' : '10.64.0.7/32'))
t.test(
  'never touches a foreign or claimed rule, never passes the quota, and a second plan after the first is empty',
  async () => {
    const arbitrary = fc.record({
      claims: fc.array(
        fc.tuple(anyRule, fc.integer({ min: 1, max: 9 }), fc.boolean()).map(([of, age, may]) => claimOf(of, age, may))
      ),
      there: fc.uniqueArray(
        fc.tuple(anyRule, fc.boolean()).map(([of, mine]) => (mine ? ours(of) : theirs(of))),
        { selector: ruleKey }
      ),
      quota: fc.record({ ipv4: fc.integer({ min: 0, max: 9 }), ipv6: fc.integer({ min: 0, max: 9 }) }),
      explained: fc.func(fc.boolean())
    })
    fc.assert(
      fc.property(arbitrary, ({ claims, there, quota, explained }) => {
        const claimed = claimsOf(...claims)
        const explain = (of: ObservedRule) => explained(ruleKey(of))
        const plan = planChanges(claimed, viewOf(there), explain, quota)
        if (plan.revoke.some((of) => !of.owned || claimed.has(ruleKey(of)))) return false
        const after = [
          ...there.filter((of) => !plan.revoke.includes(of)),
          ...plan.authorize.map((claim) => ours(claim.rule))
        ]
        for (const family of ['ipv4', 'ipv6'] as const) {
          const inFamily = (of: Rule) => of.cidr.includes(':') === (family === 'ipv6')
          const made = plan.authorize.some((claim) => inFamily(claim.rule))
          if (made && after.filter(inFamily).length > quota[family]) return false
        }
        const again = planChanges(claimed, viewOf(after), explain, quota)
        return again.authorize.length === 0 && again.revoke.length === 0
      }),
      { numRuns: 2000 }
    )
  }
)
