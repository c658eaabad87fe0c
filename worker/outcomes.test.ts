import fc from 'fast-check'
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import { ruleKey } from '../shared/rules.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { rulesOf } from './desired.ts'
import type { Claim, Refusal } from './desired.ts'
import { conditionOfLiving, failureOutcome, IN_EFFECT, isNews, outcomesOf, withOpenGate } from './outcomes.ts'
import type { Outcome, ReasonedCondition, RunResult } from './outcomes.ts'
import { asking, GROUP, OTHER_GROUP, podOf, viewOf } from './podFixture.ts'
import type { ObservedPod } from './pods.ts'
import { Ec2Failure } from './securityGroups.ts'

const claimsOf = (pod: ObservedPod): Claim[] =>
  rulesOf(pod.declaration.requests, GROUP, pod.addresses).map((rule) => ({ rule, pod, authorizable: true }))

function resultOf(
  tweak: Partial<RunResult> & { pods?: ObservedPod[]; there?: Claim[]; refusals?: Refusal[] }
): RunResult {
  const { pods = [], refusals = [], there = [], ...rest } = tweak
  const claims = new Map(pods.flatMap(claimsOf).map((claim) => [ruleKey(claim.rule), claim]))
  const owned = there.map(({ rule }, index) => ({ ...rule, id: `sgr-${index}`, owned: true, description: '' }))
  return {
    desired: { claims, refusals },
    // Views may have more to tell than is asked for here.
    view: { owned, foreign: [], unseen: new Map() } as unknown as RunResult['view'],
    waiting: [],
    failed: new Map(),
    failure: undefined,
    quota: { ipv4: 60, ipv6: 50 },
    former: new Set(),
    ...rest
  }
}

const waiting = (count: number): ObservedPod[] =>
  Array.from({ length: count }, (_, index) =>
    podOf(String(index), { addresses: [`10.64.${index >> 8}.${index & 255}`] })
  )

t.test(
  'a full group names its quota, the place in the order, and how many wait; exact only at the front',
  async (t) => {
    const pods = waiting(150)
    const outcomes = outcomesOf(GROUP, resultOf({ pods, waiting: pods.flatMap(claimsOf) }))
    const told = (uid: string): string => outcomes.get(uid)?.message ?? ''
    t.match(outcomes.get('2'), { inEffect: false, reason: 'RuleQuotaExceeded' })
    t.match(
      told('2'),
      `security group '${GROUP}' holds all of its 60 IPv4 rules; this pod is number 3 of those that wait (more than 100 in all): raise the EC2 quota`
    )
    t.match(told('9'), 'is number 10 of')
    t.match(told('10'), 'is beyond number 10 of')
    t.match(told('120'), 'is beyond number 100 of')
    const few = waiting(3)
    t.match(
      outcomesOf(GROUP, resultOf({ pods: few, waiting: few.flatMap(claimsOf) })).get('0')?.message,
      'number 1 of those that wait (3 in all)'
    )
    const six = podOf('six', { addresses: ['fd00:64::7'] })
    t.match(
      outcomesOf(GROUP, resultOf({ pods: [six], waiting: claimsOf(six) })).get('six')?.message,
      'all of its 50 IPv6 rules'
    )
  }
)

t.test(
  'what happens at the front of a long line is told to few: of 500 that wait, at most 11 are told when one goes',
  async (t) => {
    const pods = waiting(500)
    const before = outcomesOf(GROUP, resultOf({ pods, waiting: pods.flatMap(claimsOf) }))
    const left = pods.slice(1)
    const after = outcomesOf(GROUP, resultOf({ pods: left, waiting: left.flatMap(claimsOf) }))
    const changed = left.filter(({ uid }) => before.get(uid)?.message !== after.get(uid)?.message)
    t.equal(changed.length, 11, 'numbers 1 to 10, and the one beyond 100 that is no longer')
  }
)

t.test('each pod has one outcome: refused, failed, waiting or in effect', async (t) => {
  const [good, bad, poor, out] = ['a', 'b', 'c', 'd'].map((uid, index) =>
    podOf(uid, { addresses: [`10.64.0.${index}`] })
  )
  if (good === undefined || bad === undefined || poor === undefined || out === undefined) throw new Error()
  const cause = new Ec2Failure(
    'AuthorizeSecurityGroupIngress',
    'rejected',
    'InvalidParameterValue',
    new Error('its words')
  )
  const outcomes = outcomesOf(
    GROUP,
    resultOf({
      pods: [good, bad, poor],
      there: claimsOf(good),
      failed: new Map(claimsOf(bad).map(({ rule }) => [ruleKey(rule), cause])),
      waiting: claimsOf(poor),
      refusals: [{ pod: out, keeps: false, reason: 'NotPermitted', message: 'may not' }]
    })
  )
  t.same([...outcomes].map(([uid, { reason }]) => [uid, reason]).sort(), [
    ['a', 'RulesInEffect'],
    ['b', 'AuthorizeFailed'],
    ['c', 'RuleQuotaExceeded'],
    ['d', 'NotPermitted']
  ])
  t.equal(
    outcomes.get('b')?.message,
    `EC2 answered InvalidParameterValue (its words) to AuthorizeSecurityGroupIngress on security group '${GROUP}': EC2 refuses this rule`
  )
})

const twice = parseAnnotations({
  [`sg.amazonaws.com/${GROUP}`]: 'tcp:443',
  [`sg.amazonaws.com/${OTHER_GROUP}`]: 'tcp:80'
})
const lacking = (reason: Outcome['reason'], message: string): Outcome => ({ inEffect: false, reason, message })
const outcomesBy = (...pairs: [SecurityGroupId, Outcome][]): Map<SecurityGroupId, Outcome> => new Map(pairs)

t.test('the condition names the trouble of every group, the first one gives the reason', async (t) => {
  const view = viewOf(podOf('a', { declaration: twice }))
  const both = outcomesBy([OTHER_GROUP, lacking('NotPermitted', 'may not')], [GROUP, lacking('Throttled', 'slow')])
  t.same(conditionOfLiving(view, both), { status: 'False', reason: 'Throttled', message: 'slow; may not' })
  const same = outcomesBy([GROUP, lacking('Throttled', 'slow')], [OTHER_GROUP, lacking('Throttled', 'slow')])
  t.equal(conditionOfLiving(view, same)?.message, 'slow')
  t.equal(conditionOfLiving(view, outcomesBy([GROUP, IN_EFFECT])), undefined, 'nobody has looked at the other yet')
  t.same(conditionOfLiving(view, outcomesBy([GROUP, IN_EFFECT], [OTHER_GROUP, IN_EFFECT])), {
    status: 'True',
    reason: 'RulesInEffect',
    message: `every rule is in effect in ${GROUP}, ${OTHER_GROUP}`
  })
})

const gated = (status?: 'True' | 'False'): ObservedPod =>
  podOf('a', {
    gated: true,
    declaration: parseAnnotations({
      [`sg.amazonaws.com/${GROUP}`]: 'tcp:443',
      'sg.amazonaws.com/readiness-gate': 'true'
    }),
    condition: status === undefined ? undefined : { status, reason: 'RulesInEffect', message: '' }
  })
const FULL = outcomesBy([GROUP, lacking('RuleQuotaExceeded', 'full')])

t.test('a readiness gate in a full group: the message names how a rolling update comes to stand', async (t) => {
  const deadlock = /full; the pod has a readiness gate: a rolling update waits for it.*maxSurge: 0/
  t.match(conditionOfLiving(viewOf(gated()), FULL)?.message, deadlock)
  t.notMatch(conditionOfLiving(viewOf(podOf('a')), FULL)?.message, /readiness gate/)
  t.notMatch(conditionOfLiving(viewOf(gated()), outcomesBy([GROUP, lacking('Throttled', 'x')]))?.message, /readiness/)
})

t.test('an open gate stays open and the message tells the truth; nothing else keeps its status', async (t) => {
  const lost: ReasonedCondition = { status: 'False', reason: 'NotPermitted', message: 'may not' }
  t.same(withOpenGate(viewOf(gated('True')), lost), {
    status: 'True',
    reason: 'NotPermitted',
    message: 'the readiness gate stays open; may not'
  })
  t.same(withOpenGate(viewOf(gated('False')), lost), lost)
  t.same(withOpenGate(viewOf(gated()), lost), lost)
  t.same(withOpenGate(viewOf(gated('True'), { end: { at: 1, reason: 'terminal' } }), lost), lost)
  t.same(withOpenGate(viewOf({ ...gated('True'), gated: false }), lost), lost)
  const without = { ...gated('True'), declaration: asking('tcp:443') }
  t.equal(withOpenGate(viewOf(without), lost).status, 'True', 'the annotation may go, the gate does not')
})

t.test('a pod that asks for nothing: said if anything was said before, and a gate opens', async (t) => {
  const nothing = { annotated: false, declaration: parseAnnotations({}) }
  t.equal(conditionOfLiving(viewOf(podOf('a', nothing)), undefined), undefined)
  const had = { ...nothing, condition: { status: 'True', reason: 'RulesInEffect', message: '' } } as const
  t.match(conditionOfLiving(viewOf(podOf('a', had)), undefined), { status: 'False', reason: 'NothingRequested' })
  const opened = { status: 'True', reason: 'NothingRequested' }
  t.match(conditionOfLiving(viewOf(podOf('a', { ...nothing, gated: true })), undefined), opened)
  t.match(conditionOfLiving(viewOf(podOf('a', { ...had, gated: true })), undefined), opened)
  const gateAlone = parseAnnotations({ 'sg.amazonaws.com/readiness-gate': 'true' })
  t.match(conditionOfLiving(viewOf(podOf('a', { declaration: gateAlone, gated: true })), undefined), opened)
})

t.test('news is a change of state, never of a place in the order', async (t) => {
  const at = (reason: ReasonedCondition['reason'], message: string): ReasonedCondition => ({
    status: 'False',
    reason,
    message
  })
  t.equal(isNews(undefined, at('Throttled', 'x')), true)
  t.equal(isNews(at('Throttled', 'x'), at('Throttled', 'x')), false)
  t.equal(isNews(at('Throttled', 'x'), at('Throttled', 'y')), true)
  t.equal(isNews(at('Throttled', 'x'), at('EC2Unavailable', 'x')), true)
  t.equal(isNews(at('RuleQuotaExceeded', 'number 2'), at('RuleQuotaExceeded', 'number 1')), false)
  t.equal(isNews(at('RevokeFailed', '2 rules'), at('RevokeFailed', '1 rule')), false)
  t.equal(isNews(at('RuleQuotaExceeded', 'x'), { ...at('RuleQuotaExceeded', 'x'), status: 'True' }), true)
})

t.test(
  'whatever EC2 says, the message is one line that names the group, and the condition is no longer than a note may be',
  async () => {
    const kinds = fc.constantFrom(
      'throttled',
      'unavailable',
      'quota',
      'denied',
      'credentials',
      'rejected',
      'groupNotFound'
    )
    fc.assert(
      fc.property(
        kinds,
        fc.string({ maxLength: 3000, unit: fc.constantFrom('a', '\n', '\ud83d', '\ude00', 'é') }),
        (kind, words) => {
          const outcome = failureOutcome(GROUP, new Ec2Failure('A', kind, 'Code', new Error(words)))
          const condition = conditionOfLiving(viewOf(podOf('a')), outcomesBy([GROUP, outcome]))
          const message = condition?.message ?? ''
          return message !== '' && message.length <= 1000 && message.isWellFormed() && !message.includes('\n')
        }
      )
    )
  }
)
