import fc from 'fast-check'
import t from 'tap'
import { ruleKey } from '../shared/rules.ts'
import type { Rule, RuleKey } from '../shared/rules.ts'
import type { Claim } from './desired.ts'
import { createGroupStates, summarize } from './groupSummary.ts'
import type { QuotaUse, SummaryFacts } from './groupSummary.ts'
import { GROUP, podOf } from './podFixture.ts'
import type { ObservedRule } from './securityGroups.ts'

const rule = (port: number, cidr = '10.64.0.7/32'): Rule =>
  ({ protocol: 'tcp', fromPort: port, toPort: port, cidr }) as Rule
const observed = (it: Rule, owned: boolean): ObservedRule => ({ ...it, id: ruleKey(it), owned, description: '' })
const claim = (it: Rule, uid = 'a'): [RuleKey, Claim] => [
  ruleKey(it),
  { rule: it, pod: podOf(uid), authorizable: true }
]

const useOf = (used: number, quota = 60): QuotaUse => ({ ipv4: { used, quota }, ipv6: { used: 0, quota: 60 } })

function factsOf(
  tweak: Partial<SummaryFacts> & { owned?: Rule[]; foreign?: Rule[]; claims?: [RuleKey, Claim][] } = {}
): SummaryFacts {
  const { claims = [], foreign = [], owned = [], ...rest } = tweak
  const view = {
    owned: owned.map((it) => observed(it, true)),
    foreign: foreign.map((it) => observed(it, false)),
    unseen: new Map(),
    uncertain: []
  }
  return {
    missing: false,
    desired: { claims: new Map(claims), refusals: [] },
    view,
    quota: { ipv4: 60, ipv6: 50 },
    waiting: [],
    orphans: [],
    ...rest
  }
}

t.test('rules are counted by family, foreign ones included', async (t) => {
  const facts = factsOf({ owned: [rule(1), rule(1, 'fd00:64::7/128')], foreign: [rule(2), rule(3, '192.0.2.0/24')] })
  t.same(summarize(facts).use, { ipv4: { used: 3, quota: 60 }, ipv6: { used: 1, quota: 50 } })
})

t.test('relied on are claims that only a foreign rule puts into effect', async (t) => {
  const facts = factsOf({
    owned: [rule(1)],
    foreign: [rule(1), rule(2), rule(3)],
    claims: [claim(rule(1)), claim(rule(2))]
  })
  t.same([...summarize(facts).reliedOn], [ruleKey(rule(2))])
})

t.test('a pod waits once, however many of its rules do', async (t) => {
  const waiting = [claim(rule(1))[1], claim(rule(2))[1], claim(rule(3), 'b')[1]]
  t.equal(summarize(factsOf({ waiting })).waiting, 2)
})

t.test(
  'in use: asked for, also by those who are refused, or holding a rule of ours; never when it does not exist',
  async (t) => {
    const refusals = [{ pod: podOf('a'), keeps: false, reason: 'NotPermitted', message: '' }] as const
    t.equal(summarize(factsOf()).inUse, false)
    t.equal(summarize(factsOf({ foreign: [rule(1)] })).inUse, false)
    t.equal(summarize(factsOf({ owned: [rule(1)] })).inUse, true)
    t.equal(summarize(factsOf({ claims: [claim(rule(1))] })).inUse, true)
    t.equal(summarize(factsOf({ desired: { claims: new Map(), refusals } })).inUse, true)
    t.equal(summarize(factsOf({ claims: [claim(rule(1))], missing: true })).inUse, false)
  }
)

t.test('warnings come in turns, however the group fills and empties', async () => {
  fc.assert(
    fc.property(
      fc.array(fc.record({ rules: fc.nat(70), quota: fc.integer({ min: 1, max: 70 }), inUse: fc.boolean() })),
      (steps) => {
        const states = createGroupStates()
        let warned = false
        return steps.every(({ inUse, quota, rules }) => {
          const summary = { ...summarize(factsOf()), inUse, use: useOf(rules, quota) }
          const { crossings } = states.take(GROUP, summary)
          const before = warned
          for (const { nearlyFull } of crossings) warned = nearlyFull
          const full = inUse && rules > 0 && rules >= 0.8 * quota
          const roomy = !inUse || rules < 0.7 * quota
          return crossings.length === (before === warned ? 0 : 1) && (!full || warned) && (!roomy || !warned)
        })
      }
    )
  )
})
