import fc from 'fast-check'
import t from 'tap'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol, Rule } from '../shared/rules.ts'
import type { Claim } from './desired.ts'
import { planChanges } from './plan.ts'
import type { Background, Plan } from './plan.ts'
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
  uncertain: [],
  unseen
})
const knowing = (
  explained: (rule: ObservedRule) => boolean,
  keptFor: (rule: ObservedRule) => string | undefined = () => undefined,
  inherited = false
): Background => ({
  explained,
  keptFor,
  inherited,
  promised: () => undefined,
  refused: () => false,
  suspect: () => false,
  modifiable: () => true,
  lastAskedBy: keptFor,
  describes: ({ description }, { uid }) => description === uid
})
const EXPLAINED = knowing(() => true)
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
    const plan = planChanges(claimsOf(...claims), viewOf(there), EXPLAINED, ROOM)
    t.same(
      plan.authorize.map((claim) => claim.rule),
      authorize
    )
    t.same(plan.revoke.map(ruleKey), revoke.map(ruleKey))
    t.same(plan.orphans, [])
  })
}

t.test('a rule that nobody can explain is an orphan, not revoked', async (t) => {
  const plan = planChanges(
    new Map(),
    viewOf([ours(a), ours(b)]),
    knowing(({ fromPort }) => fromPort === 1),
    ROOM
  )
  t.same([plan.revoke.map(ruleKey), plan.orphans.map(ruleKey)], [[ruleKey(a)], [ruleKey(b)]])
})

t.test('a proven rule is there, a possible one is made again', async (t) => {
  const unseen = new Map([
    [ruleKey(a), 'proven' as const],
    [ruleKey(b), 'possible' as const]
  ])
  t.same(
    planChanges(claimsOf(claimOf(a), claimOf(b)), viewOf([], unseen), EXPLAINED, ROOM).authorize.map(
      (claim) => claim.rule
    ),
    [b]
  )
})

t.test('a full group revokes first, and serves older pods before younger', async (t) => {
  const plan = planChanges(claimsOf(claimOf(b, 30), claimOf(c, 20)), viewOf([ours(a)]), EXPLAINED, {
    ipv4: 1,
    ipv6: 60
  })
  t.equal(plan.makeRoom.length, 1)
  t.same([plan.authorize.map((claim) => claim.rule), plan.waiting.map((claim) => claim.rule)], [[c], [b]])
})

t.test('foreign rules fill a group too, and each family has its own room', async (t) => {
  const six = rule(1, 'fd00::1/128')
  const plan = planChanges(claimsOf(claimOf(b), claimOf(six)), viewOf([theirs(a)]), EXPLAINED, { ipv4: 1, ipv6: 1 })
  t.same(
    [plan.authorize.map((claim) => claim.rule), plan.waiting.map((claim) => claim.rule), plan.makeRoom.length > 0],
    [[six], [b], false]
  )
})

const FULL = { ipv4: 1, ipv6: 60 }
const keptForEditor: Background = {
  ...knowing(
    () => true,
    () => '20'
  ),
  describes: () => true
}
const changesOf = (plan: ReturnType<typeof planChanges>) =>
  plan.modify.map(({ claim, ruleId }) => [ruleId, ruleKey(claim.rule)])

t.test('in a full group the rule of a pod that asks for another becomes it, though an older pod waits', async (t) => {
  const plan = planChanges(claimsOf(claimOf(b, 10), claimOf(c, 20)), viewOf([ours(a)]), keptForEditor, FULL)
  t.same(changesOf(plan), [[`sgr-${ruleKey(a)}`, ruleKey(c)]])
  t.same([plan.revoke, plan.authorize, plan.orphans, plan.makeRoom.length > 0], [[], [], [], false])
  t.same(
    plan.waiting.map((claim) => claim.rule),
    [b]
  )
})

t.test('where there is room nothing is modified: both rules are there for a moment', async (t) => {
  const plan = planChanges(claimsOf(claimOf(c, 20)), viewOf([ours(a)]), keptForEditor, { ipv4: 2, ipv6: 0 })
  t.same([plan.modify, plan.authorize.length, plan.revoke.length], [[], 1, 1])
})

t.test('a rule of the other family is no place', async (t) => {
  const six = rule(1, 'fd00::1/128')
  const plan = planChanges(claimsOf(claimOf(six, 20)), viewOf([ours(a)]), keptForEditor, { ipv4: 1, ipv6: 0 })
  t.same([plan.modify, plan.revoke.map(ruleKey), plan.waiting.length], [[], [ruleKey(a)], 1])
})

t.test('more ranges than before wait, fewer are revoked', async (t) => {
  const more = planChanges(claimsOf(claimOf(b, 20), claimOf(c, 20)), viewOf([ours(a)]), keptForEditor, FULL)
  t.same([more.modify.length, more.waiting.length, more.revoke.length], [1, 1, 0])
  const two = { ipv4: 2, ipv6: 60 }
  const fewer = planChanges(claimsOf(claimOf(c, 20)), viewOf([ours(a), ours(b)]), keptForEditor, two)
  t.same([fewer.modify.length, fewer.waiting.length, fewer.revoke.length], [1, 0, 1])
})

t.test('what a lost reply left open', async (t) => {
  const candidates = [ours(a), { ...ours(b), id: ours(a).id }]
  const view = {
    ...viewOf([]),
    uncertain: [{ id: ours(a).id, candidates }],
    unseen: new Map(candidates.map((of) => [ruleKey(of), 'possible' as const]))
  }
  const wanted = planChanges(claimsOf(claimOf(b, 20)), view, EXPLAINED, ROOM)
  t.same([changesOf(wanted), wanted.authorize, wanted.revoke], [[[ours(a).id, ruleKey(b)]], [], []], 'is said again')
  const back = planChanges(claimsOf(claimOf(a, 20)), view, EXPLAINED, ROOM)
  t.same(
    [changesOf(back), back.authorize],
    [[[ours(a).id, ruleKey(a)]], []],
    'or the other thing, if that is asked for'
  )
  const kept = planChanges(claimsOf(claimOf(b, 20, false)), view, EXPLAINED, ROOM)
  t.same([kept.modify, kept.revoke, kept.orphans], [[], [], []], 'stays where nothing may be made')
  const gone = planChanges(new Map(), view, EXPLAINED, ROOM)
  t.same(
    gone.revoke.map(({ id }) => id),
    [ours(a).id],
    'is revoked by its id when nobody asks for either'
  )
  const half = planChanges(
    new Map(),
    view,
    knowing((of) => of.fromPort === 1),
    ROOM
  )
  t.same([half.revoke, half.orphans], [[], []], 'waits for a read when not all that it may be is explained')
  const full = planChanges(claimsOf(claimOf(c, 10)), view, EXPLAINED, FULL)
  t.same([full.makeRoom.length > 0, full.authorize.length], [true, 1], 'and takes its room')
})

t.test('what was read before our time is not revoked where a claim is missing that it may have become', async (t) => {
  const before = knowing(
    () => true,
    () => '20',
    true
  )
  const missing = claimsOf(claimOf(c, 20))
  for (const quota of [ROOM, FULL]) {
    const plan = planChanges(missing, viewOf([ours(a)]), before, quota)
    t.same([plan.modify, plan.revoke, plan.orphans], [[], [], []], JSON.stringify(quota))
  }
  const [wide, part] = [{ ...rule(400), toPort: 500 }, rule(450)]
  const order = planChanges(claimsOf(claimOf(a, 20), claimOf(part, 20)), viewOf([ours(wide)]), before, ROOM).authorize
  t.same(
    order.map((claim) => claim.rule),
    [part, a],
    'what may pass by it comes first'
  )
  const unknown = claimsOf(claimOf(c, 20, false))
  const strange = { ...before, lastAskedBy: () => undefined }
  t.same(planChanges(unknown, viewOf([ours(a)]), strange, ROOM).revoke, [], 'though nobody knows yet whether it may')
  const proven = new Map([[ruleKey(c), 'proven' as const]])
  t.same(planChanges(missing, viewOf([ours(a)], proven), before, ROOM).revoke, [])
  const elsewhere = { ...ours(rule(1, '10.64.0.9/32')), description: '20' }
  t.same(planChanges(missing, viewOf([elsewhere]), before, ROOM).revoke, [], 'at another address of the pod')
  t.equal(planChanges(missing, viewOf([{ ...elsewhere, description: '' }]), before, ROOM).revoke.length, 1)
  t.equal(planChanges(new Map(), viewOf([ours(a)]), before, ROOM).revoke.length, 1)
})

t.test('a duplicate that no read shows may be a rule of the pod that is asked for no more: that stays', async (t) => {
  const proven = new Map([[ruleKey(c), 'proven' as const]])
  for (const quota of [ROOM, FULL]) {
    const plan = planChanges(claimsOf(claimOf(c, 20)), viewOf([ours(a)], proven), keptForEditor, quota)
    t.same([plan.modify, plan.authorize, plan.revoke, plan.orphans], [[], [], [], []])
    t.equal(planChanges(claimsOf(claimOf(c, 20)), viewOf([ours(a)], proven), EXPLAINED, quota).revoke.length, 1)
  }
})

t.test('a rule that lets in what another one of its pod is to let in stays until that is there', async (t) => {
  const wide = { ...rule(1), toPort: 9 }
  const left = (wanted: Rule, there: ObservedRule[], background = keptForEditor, quota = ROOM) =>
    planChanges(claimsOf(claimOf(wanted, 20)), viewOf(there), background, quota).revoke.map(ruleKey)
  t.same(left(wide, [ours(a), ours(rule(10))]), [ruleKey(rule(10))])
  t.same(left({ ...a, protocol: 'all' as Protocol, fromPort: -1, toPort: -1 }, [ours(a)]), [])
  t.same(left(wide, [ours(a), ours(wide)]), [ruleKey(a)], 'it is there')
  t.same(left(a, [ours(wide)]), [], 'part of it is asked for all along')
  t.same(left({ ...wide, fromPort: 5, toPort: 20 }, [ours(wide)]), [], 'likewise')
  t.same(left({ ...wide, fromPort: 10, toPort: 20 }, [ours(wide)]), [ruleKey(wide)], 'nothing of it is')
  t.same(left({ ...a, protocol: 'udp' as Protocol }, [ours(a)]), [ruleKey(a)], 'another protocol')
  t.same(left(a, [{ ...ours(a), protocol: 'all' as Protocol, fromPort: -1, toPort: -1 }]), [])
  t.same(left({ ...wide, cidr: '10.64.0.8/32' }, [ours(a)]), [ruleKey(a)], 'at another address')
  t.same(left(wide, [ours(a)], EXPLAINED), [ruleKey(a)], "another pod's")
  t.same(left(wide, [ours(a)], EXPLAINED, FULL), [ruleKey(a)], 'in a full group')
})

t.test('what a pod goes on asking for passes all the while, though the group has no room for all of it', async (t) => {
  const range = (fromPort: number, toPort: number): Rule => ({ ...a, fromPort, toPort })
  const wide = range(400, 500)
  const [one, two] = [range(443, 443), range(450, 450)]
  const planned = (wanted: Rule[], there: Rule[], quota: number) => {
    const claims = claimsOf(...wanted.map((of) => claimOf(of, 20)))
    const plan = planChanges(claims, viewOf(there.map(ours)), keptForEditor, { ipv4: quota, ipv6: 0 })
    return {
      modify: changesOf(plan),
      authorize: plan.authorize.map((claim) => ruleKey(claim.rule)),
      revoke: plan.revoke.map(ruleKey)
    }
  }
  t.same(
    planned([one, two], [wide], 2),
    { modify: [], authorize: [ruleKey(two)], revoke: [] },
    'one finds room, and until it is there the rule stays as it is'
  )
  t.same(
    planned([one, two], [wide, two], 2),
    { modify: [[`sgr-${ruleKey(wide)}`, ruleKey(one)]], authorize: [], revoke: [] },
    'it is there'
  )
  t.same(
    planned([b, two], [one, wide], 2).modify,
    [
      [`sgr-${ruleKey(wide)}`, ruleKey(two)],
      [`sgr-${ruleKey(one)}`, ruleKey(b)]
    ],
    'a rule becomes what passes by it already'
  )
  t.same(
    planned([range(100, 120), range(150, 350), range(360, 400)], [range(100, 200), range(300, 400)], 3),
    { modify: [], authorize: [ruleKey(range(360, 400))], revoke: [] },
    'nor does one become what leans on another that stays'
  )
  const all = { ...a, protocol: 'all' as Protocol, fromPort: -1, toPort: -1 }
  const dns = { ...range(53, 53), protocol: 'udp' as Protocol }
  t.same(
    planned([range(410, 410), dns], [all, range(400, 440)], 2).modify,
    [
      [`sgr-${ruleKey(range(400, 440))}`, ruleKey(range(410, 410))],
      [`sgr-${ruleKey(all)}`, ruleKey(dns)]
    ],
    'what can become one thing only does so, and what another leans on changes last'
  )
  const halves = [range(400, 450), range(451, 500)] as const
  t.same(
    planned([wide], [...halves], 2),
    { modify: [[`sgr-${ruleKey(halves[0])}`, ruleKey(wide)]], authorize: [], revoke: [] },
    'the other half stays until the whole is there'
  )
  t.same(planned([wide], [one, b], 2).revoke, [ruleKey(b)], 'what has nothing in common with it goes at once')
  const uncertain = { ...viewOf([]), uncertain: [{ id: 'sgr-1', candidates: [ours(wide), ours(one)] }] }
  t.same(
    planChanges(claimsOf(claimOf(two, 20)), uncertain, keptForEditor, ROOM).revoke,
    [],
    'nor what it may be still, and by which it passes then'
  )
  const denied = planChanges(claimsOf(claimOf(wide, 20, false)), viewOf([one, b].map(ours)), keptForEditor, ROOM)
  t.same([denied.authorize, denied.revoke.map(ruleKey)], [[], [ruleKey(b)]], 'while nobody knows whether it may')
  const crowded = claimsOf(claimOf(wide, 20, false), claimOf(rule(9), 30))
  const full = planChanges(crowded, viewOf([ours(one)]), keptForEditor, FULL)
  t.same(
    [full.authorize, full.revoke, full.makeRoom.length > 0],
    [[], [], false],
    'also where another waits for a place'
  )
  const heir = { ...keptForEditor, describes: () => false }
  t.equal(planChanges(crowded, viewOf([ours(one)]), heir, ROOM).revoke.length, 1, 'but not what was made for another')
  const others = { ...keptForEditor, lastAskedBy: () => 'somebody else' }
  t.equal(planChanges(claimsOf(claimOf(wide, 20, false)), viewOf([ours(one)]), others, ROOM).revoke.length, 1)
  const fixed = { ...keptForEditor, modifiable: () => false }
  const stays = planChanges(claimsOf(claimOf(wide, 20)), viewOf([one, b].map(ours)), fixed, ROOM)
  t.same([stays.modify, stays.revoke.map(ruleKey)], [[], [ruleKey(b)]], 'also one that EC2 does not let be modified')
  t.equal(planChanges(claimsOf(claimOf(c, 20)), viewOf([ours(a)]), fixed, FULL).modify.length, 0)
})

const anyRule = fc
  .record({ port: fc.integer({ min: 1, max: 8 }), width: fc.nat(2), six: fc.boolean() })
  .map(({ port, six, width }) => ({ ...rule(port, six ? 'fd00::1/128' : '10.64.0.7/32'), toPort: port + width }))
/** What is there when all that is planned has been done. */
const applied = ({ authorize, makeRoom, modify, revoke }: Plan, there: readonly ObservedRule[]): ObservedRule[] => {
  const gone = [...makeRoom, ...revoke]
  const left = there.filter((of) => !gone.includes(of) && !modify.some(({ ruleId }) => ruleId === of.id))
  const changed = modify.map(({ claim, ruleId }) => ({ ...ours(claim.rule), id: ruleId }))
  return [...left, ...changed, ...authorize.map((claim) => ours(claim.rule))]
}
const isEmpty = ({ authorize, makeRoom, modify, revoke }: Plan): boolean =>
  [authorize, makeRoom, modify, revoke].every((list) => list.length === 0)

t.test('never touches a foreign or claimed rule, never passes the quota, and soon has nothing to do', async () => {
  const arbitrary = fc.record({
    claims: fc.array(
      fc.tuple(anyRule, fc.integer({ min: 1, max: 9 }), fc.boolean()).map(([of, age, may]) => claimOf(of, age, may))
    ),
    there: fc.uniqueArray(
      fc.tuple(anyRule, fc.boolean()).map(([of, mine]) => (mine ? ours(of) : theirs(of))),
      { selector: ruleKey }
    ),
    quota: fc.record({ ipv4: fc.integer({ min: 0, max: 9 }), ipv6: fc.integer({ min: 0, max: 9 }) }),
    explained: fc.func(fc.boolean()),
    fixed: fc.func(fc.boolean()),
    refused: fc.func(fc.boolean()),
    kept: fc.func(fc.option(fc.integer({ min: 1, max: 9 }).map(String), { nil: undefined }))
  })
  fc.assert(
    fc.property(arbitrary, ({ claims, there, quota, explained, fixed, kept, refused }) => {
      const claimed = claimsOf(...claims)
      const background = {
        ...knowing(
          (of) => explained(ruleKey(of)),
          (of) => kept(ruleKey(of))
        ),
        modifiable: ({ id }: ObservedRule) => !fixed(id),
        refused: ({ rule: of }: Claim) => refused(ruleKey(of))
      }
      const plan = planChanges(claimed, viewOf(there), background, quota)
      const gone = [...plan.makeRoom, ...plan.revoke]
      if (gone.some((of) => !of.owned || claimed.has(ruleKey(of)))) return false
      const { modify } = plan
      const changed = new Set(modify.map(({ ruleId }) => ruleId))
      for (const { before, claim, ruleId } of modify) {
        const [old] = before
        if (old?.owned !== true || old.id !== ruleId || claimed.has(ruleKey(old))) return false
        if (old.cidr.includes(':') !== claim.rule.cidr.includes(':') || kept(ruleKey(old)) !== claim.pod.uid)
          return false
      }
      // Each claim is served once, and each rule has one fate.
      const served = [...modify.map(({ claim }) => claim), ...plan.authorize, ...plan.waiting]
      if (
        served.some(background.refused) ||
        new Set(served).size < served.length ||
        gone.some(({ id }) => changed.has(id))
      )
        return false
      const after = applied(plan, there)
      for (const family of ['ipv4', 'ipv6'] as const) {
        const inFamily = (of: Rule) => of.cidr.includes(':') === (family === 'ipv6')
        const made = plan.authorize.some((claim) => inFamily(claim.rule))
        if (made && after.filter(inFamily).length > quota[family]) return false
      }
      // What leaned on a rule that was not there yet goes next, and whoever gets its place comes then.
      let left = after
      for (let round = 0; round < 9; round++)
        left = applied(planChanges(claimed, viewOf(left), background, quota), left)
      return isEmpty(planChanges(claimed, viewOf(left), background, quota))
    }),
    { numRuns: 2000 }
  )
})
