/** What each pod has of a group after a run, and the condition that sums it up over all its groups. Pure. */
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { ruleKey } from '../shared/rules.ts'
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

/** Everything that a run found out about one group. */
export interface RunResult {
  readonly desired: Desired
  readonly view: GroupView
  readonly waiting: readonly Claim[]
  /** Claims that EC2 refused one by one. */
  readonly failed: ReadonlyMap<RuleKey, Ec2Failure>
  /** What stopped the whole run, or its authorizations. */
  readonly failure: Ec2Failure | undefined
  readonly quota: number
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
  const what = failure.kind === 'unavailable' ? 'EC2 failed or did not answer' : `EC2 answered ${failure.code}${said}`
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
    else if (place !== undefined) outcomes.set(pod.uid, quotaOutcome(groupId, result.quota, place))
  }
  for (const [uid, all] of granted) if (all && !firm.has(uid)) outcomes.set(uid, IN_EFFECT)
  if (result.failure !== undefined) {
    for (const uid of result.former) if (!outcomes.has(uid)) outcomes.set(uid, failureOutcome(groupId, result.failure))
  }
  return outcomes
}

function placesOf(waiting: readonly Claim[]): Map<string, number> {
  const places = new Map<string, number>()
  for (const { pod } of waiting) if (!places.has(pod.uid)) places.set(pod.uid, places.size + 1)
  return places
}

function quotaOutcome(groupId: SecurityGroupId, quota: number, place: number): Outcome {
  // Exact only at the front: else every place that frees would rewrite the condition of everybody who waits.
  const far = [1000, 100, 10].find((step) => place > step)
  const where = far === undefined ? `number ${String(place)}` : `beyond number ${String(far)}`
  const message = `security group '${groupId}' holds all of its ${String(quota)} rules; this pod is ${where} of those that wait: ${HANDLING.quota.advice}`
  return { inEffect: false, reason: HANDLING.quota.reason, message }
}

/**
 * The condition of a living pod; undefined when nothing is to be said yet.
 * @param outcomes by group; a group that is missing has not been looked at since the pod asked for it
 */
export function conditionOfLiving(
  view: PodView,
  outcomes: ReadonlyMap<SecurityGroupId, Outcome> | undefined
): Condition | undefined {
  const { declaration, annotated, condition } = view.pod
  const bad = (reason: Reason, message: string): Condition => ({ status: 'False', reason, message })
  if (declaration.violations.length > 0) {
    const all = declaration.violations.map(({ field, message }) => `${field}: ${message}`).join('; ')
    return bad('InvalidAnnotation', cut(all))
  }
  if (!annotated)
    return condition === undefined ? undefined : bad('NothingRequested', 'the pod asks for no security group')
  const groups = [...new Set(declaration.requests.map(({ groupId }) => groupId))]
  const missing = groups
    .map((groupId) => outcomes?.get(groupId))
    .find((outcome) => outcome !== undefined && !outcome.inEffect)
  if (missing !== undefined) return bad(missing.reason, cut(missing.message))
  // A readiness gate without anything to wait for must not hold the pod back for ever.
  if (groups.length === 0 && declaration.settings.readinessGate) {
    return { status: 'True', reason: 'NothingRequested', message: 'the pod asks for no security group' }
  }
  if (groups.length === 0 || !groups.every((groupId) => outcomes?.get(groupId)?.inEffect)) return undefined
  return { status: 'True', reason: IN_EFFECT.reason, message: `every rule is in effect in ${groups.join(', ')}` }
}

/** The condition of a pod that has ended. @param held why its rules are still there, undefined when they are gone */
export function conditionOfEnded(held: string | undefined): Condition {
  return held === undefined
    ? { status: 'False', reason: 'RulesRevoked', message: 'the pod no longer holds its address; its rules are gone' }
    : { status: 'False', reason: 'RevokeFailed', message: cut(held) }
}

export function sameCondition(one: Condition | undefined, other: Condition | undefined): boolean {
  return one?.status === other?.status && one?.reason === other?.reason && one?.message === other?.message
}

/** Kubernetes allows 32 KiB; an Event's note 1 KiB, and both say the same. */
const cut = (text: string): string => (text.length <= 1000 ? text : `${text.slice(0, 997)}...`)
