/** What each pod has of a group after a run, and the condition that sums it up over all its groups. Pure. */
import { familyOf, ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { HANDLING } from './failures.ts'
import type { Claim, Desired, PodView } from './desired.ts'
import type { GroupView } from './observation.ts'
import type { Condition } from './pods.ts'
import type { Reason } from './reasons.ts'
import type { Ec2Failure } from './securityGroups.ts'

/** What a pod has of one group. */
export interface Outcome {
  readonly inEffect: boolean
  readonly reason: Reason
  readonly message: string
}

/** A condition of ours, as it should be. */
export interface ReasonedCondition extends Condition {
  readonly reason: Reason
}

/** Everything that a run found out about one group. */
export interface RunResult {
  readonly desired: Desired
  readonly view: GroupView
  readonly waiting: readonly Claim[]
  /** Claims that EC2 refused one by one. */
  readonly failed: ReadonlyMap<RuleKey, Ec2Failure>
  /** What stopped the whole run, or its authorizations. */
  readonly failure: Ec2Failure | undefined
  readonly quota: Readonly<Record<Family, number>>
  /** Pods whose former rules the run tried to revoke. */
  readonly former: ReadonlySet<string>
}

export const IN_EFFECT: Outcome = { inEffect: true, reason: 'RulesInEffect', message: '' }

/** How a failure reads on a pod. EC2's own words are left out where they change from call to call. */
export function failureOutcome(groupId: SecurityGroupId | undefined, failure: Ec2Failure): Outcome {
  const { reason, advice } = HANDLING[failure.kind]
  const said = failure.kind === 'rejected' && failure.cause instanceof Error ? ` (${failure.cause.message})` : ''
  const where = groupId === undefined ? '' : ` on security group '${groupId}'`
  // The code of a call without an answer is the network's, and changes from try to try.
  const what =
    failure.kind === 'unavailable'
      ? 'EC2 failed or did not answer'
      : `EC2 answered ${failure.code}${said} to ${failure.action}`
  return { inEffect: false, reason, message: `${what}${where}: ${advice}` }
}

/** The outcome of every pod that claims something of the group, or was refused. */
export function outcomesOf(groupId: SecurityGroupId, result: RunResult): Map<string, Outcome> {
  const outcomes = new Map<string, Outcome>()
  const present = new Set<RuleKey>([...result.view.owned, ...result.view.foreign].map(ruleKey))
  const places = placesOf(result.waiting)
  const firm = new Set<string>()
  for (const { keeps, message, pod, reason } of result.desired.refusals) {
    outcomes.set(pod.uid, { inEffect: false, reason, message })
    if (!keeps) firm.add(pod.uid)
  }
  const granted = new Map<string, boolean>()
  for (const [key, { pod }] of result.desired.claims) {
    const there = present.has(key) || result.view.unseen.get(key) === 'proven'
    granted.set(pod.uid, there && (granted.get(pod.uid) ?? true))
    if (there) continue
    const failed = result.failed.get(key) ?? result.failure
    const place = places.get(pod.uid)
    if (failed !== undefined && place === undefined) outcomes.set(pod.uid, failureOutcome(groupId, failed))
    else if (place !== undefined) outcomes.set(pod.uid, quotaOutcome(groupId, result.quota, place, places.size))
  }
  for (const [uid, all] of granted) if (all && !firm.has(uid)) outcomes.set(uid, IN_EFFECT)
  if (result.failure !== undefined) {
    for (const uid of result.former) if (!outcomes.has(uid)) outcomes.set(uid, failureOutcome(groupId, result.failure))
  }
  return outcomes
}

/** Where a pod stands among those that wait, and for which family. */
interface Place {
  readonly number: number
  readonly family: Family
}

function placesOf(waiting: readonly Claim[]): Map<string, Place> {
  const places = new Map<string, Place>()
  for (const { pod, rule } of waiting) {
    if (!places.has(pod.uid)) places.set(pod.uid, { number: places.size + 1, family: familyOf(rule.cidr) })
  }
  return places
}

/** Exact only at the front: else every place that frees, and every pod that comes, would rewrite the condition of all that wait. */
const STEPS = [1000, 100, 10]

function quotaOutcome(
  groupId: SecurityGroupId,
  quota: Readonly<Record<Family, number>>,
  { family, number }: Place,
  all: number
): Outcome {
  const far = STEPS.find((step) => number > step)
  const many = STEPS.find((step) => all > step)
  const where = far === undefined ? `number ${String(number)}` : `beyond number ${String(far)}`
  const total = many === undefined ? String(all) : `more than ${String(many)}`
  const full = `security group '${groupId}' holds all of its ${String(quota[family])} ${NAME_OF[family]} rules`
  const message = `${full}; this pod is ${where} of those that wait (${total} in all): ${HANDLING.quota.advice}`
  return { inEffect: false, reason: HANDLING.quota.reason, message }
}

const NAME_OF: Readonly<Record<Family, string>> = { ipv4: 'IPv4', ipv6: 'IPv6' }

/** The pods of a rolling update may wait for each other: the new ones for room, and the update for the new ones. */
const DEADLOCK =
  'the pod has a readiness gate: a rolling update waits for it, and only the end of an old pod frees room; let the update end old pods first (maxSurge: 0 and maxUnavailable: 1 or more)'

/**
 * The condition of a living pod; undefined when nothing is to be said yet.
 * @param outcomes by group; a group that is missing has not been looked at since the pod asked for it
 */
export function conditionOfLiving(
  view: PodView,
  outcomes: ReadonlyMap<SecurityGroupId, Outcome> | undefined
): ReasonedCondition | undefined {
  const { annotated, condition, declaration, gated } = view.pod
  const bad = (reason: Reason, message: string): ReasonedCondition => ({ status: 'False', reason, message })
  if (declaration.violations.length > 0) {
    const all = declaration.violations.map(({ field, message }) => `${field}: ${message}`).join('; ')
    return bad('InvalidAnnotation', cut(all))
  }
  if (!annotated && !gated) return condition === undefined ? undefined : { status: 'False', ...NOTHING }
  const groups = [...new Set(declaration.requests.map(({ groupId }) => groupId))]
  const missing = groups
    .map((groupId) => outcomes?.get(groupId))
    .filter((outcome) => outcome !== undefined && !outcome.inEffect)
  const [first] = missing
  if (first !== undefined) {
    const told = new Set(missing.map((outcome) => outcome?.message ?? ''))
    const waits = missing.some((outcome) => outcome?.reason === 'RuleQuotaExceeded')
    if (waits && gated) told.add(DEADLOCK)
    return bad(first.reason, cut([...told].join('; ')))
  }
  // A readiness gate without anything to wait for must not hold the pod back for ever.
  if (groups.length === 0 && gated) return { status: 'True', ...NOTHING }
  if (groups.length === 0 || !groups.every((groupId) => outcomes?.get(groupId)?.inEffect)) return undefined
  return { status: 'True', reason: IN_EFFECT.reason, message: `every rule is in effect in ${groups.join(', ')}` }
}

/**
 * What is written of a living pod. A readiness gate that opened stays open, for it holds back the start and not the life: the status
 * stays, and reason and message tell.
 */
export function withOpenGate({ end, pod }: PodView, condition: ReasonedCondition): ReasonedCondition {
  const open = pod.gated && pod.condition?.status === 'True' && end === undefined
  if (!open || condition.status === 'True') return condition
  return { ...condition, status: 'True', message: cut(`${GATE_STAYS_OPEN}${condition.message}`) }
}

const NOTHING = { reason: 'NothingRequested', message: 'the pod asks for no security group' } as const
const GATE_STAYS_OPEN = 'the readiness gate stays open; '

/** Their messages count: places in an order, rules that are left. The condition follows; an Event of each step would help nobody. */
const COUNTING = new Set<Reason>(['RuleQuotaExceeded', 'RevokeFailed'])

/** Whether the change is one of state, and so worth an Event. */
export function isNews(before: Condition | undefined, after: ReasonedCondition): boolean {
  if (before?.status !== after.status || before.reason !== after.reason) return true
  return !COUNTING.has(after.reason) && before.message !== after.message
}

/** The condition of a pod that has ended. @param held why its rules are still there, undefined when they are gone */
export function conditionOfEnded(held: string | undefined): ReasonedCondition {
  return held === undefined
    ? { status: 'False', reason: 'RulesRevoked', message: 'the pod no longer holds its address; its rules are gone' }
    : { status: 'False', reason: 'RevokeFailed', message: cut(held) }
}

export function sameCondition(one: Condition | undefined, other: Condition | undefined): boolean {
  return one?.status === other?.status && one?.reason === other?.reason && one?.message === other?.message
}

/**
 * Kubernetes allows 32 KiB; an Event's note 1 KiB, and both say the same. One line, and nothing that the API server would mend: what it
 * gives back must be what we wrote.
 */
function cut(words: string): string {
  const text = words.replace(/\s+/g, ' ')
  return (text.length <= 1000 ? text : `${text.slice(0, 997)}...`).toWellFormed()
}
