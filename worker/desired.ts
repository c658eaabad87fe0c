/** Which rules one security group should hold, and for whom. Pure. */
import { describeRule, ruleFor, ruleKey } from '../shared/rules.ts'
import type { Rule, RuleKey, RuleRequest, SecurityGroupId } from '../shared/rules.ts'
import type { Network } from '../shared/address.ts'
import type { End, ObservedPod } from './pods.ts'
import type { Reason } from './reasons.ts'
import type { Leave } from './standing.ts'

/** A pod with the addresses that it holds: those it reports, and those it reported before its status went blank. */
export interface PodView {
  readonly pod: ObservedPod
  readonly addresses: readonly string[]
  readonly end: End | undefined
}

/** One living pod wanting one rule. */
export interface Claim {
  readonly rule: Rule
  readonly pod: ObservedPod
  /** False: what is there stays, but nothing new is made. */
  readonly authorizable: boolean
}

/** Why a pod gets nothing from this group. */
export interface Refusal {
  readonly pod: ObservedPod
  /** What is there already stays: the denial is not confirmed, or nobody could tell. */
  readonly keeps: boolean
  readonly reason: Reason
  readonly message: string
}

export interface Desired {
  readonly claims: ReadonlyMap<RuleKey, Claim>
  readonly refusals: readonly Refusal[]
}

/** All that is known beside the pods. */
export interface Surroundings {
  /** The pod that holds the address, of all living ones that report it. */
  readonly holder: (address: string) => string | undefined
  readonly permission: (pod: ObservedPod) => Leave
  readonly optIn: Leave
  /** Undefined while nobody could tell. */
  readonly exists: boolean | undefined
  readonly optInTag: string
  readonly podNetwork: Network
  readonly nodeAddresses: ReadonlySet<string>
}

/** The rules that a declaration means for these addresses in this group. */
export function rulesOf(
  requests: readonly RuleRequest[],
  groupId: SecurityGroupId,
  addresses: readonly string[]
): Rule[] {
  return requests
    .filter((request) => request.groupId === groupId)
    .flatMap((request) => addresses.map((address) => ruleFor(request, address)))
    .filter((rule) => rule !== undefined)
}

/**
 * The claims of the living pods on one group, and why the others get none.
 *
 * Nothing new is made for a pod that our finalizer does not hold (it could vanish unseen), nothing for an address outside the pod
 * network or of a node (anyone who can write pods/status could name it), nor without the group owner's opt-in and the
 * service account's permission. The webhook has checked most of this; it can be bypassed, so it is checked again.
 */
export function desire(groupId: SecurityGroupId, views: readonly PodView[], around: Surroundings): Desired {
  const claims = new Map<RuleKey, Claim>()
  const refusals: Refusal[] = []
  for (const view of views) {
    const { pod, end } = view
    if (end !== undefined) continue
    const judged = judge(groupId, view, around)
    for (const refusal of judged.refusals) refusals.push({ pod, ...refusal })
    for (const rule of judged.rules) {
      const key = ruleKey(rule)
      if (!claims.has(key)) claims.set(key, { rule, pod, authorizable: judged.authorizable })
    }
  }
  return { claims, refusals }
}

interface Judged {
  readonly rules: readonly Rule[]
  readonly authorizable: boolean
  readonly refusals: readonly Omit<Refusal, 'pod'>[]
}

function judge(groupId: SecurityGroupId, view: PodView, around: Surroundings): Judged {
  const { pod } = view
  const whole = refusalOfPod(groupId, pod, around)
  const refusals: Omit<Refusal, 'pod'>[] = []
  if (whole !== undefined)
    refusals.push({ reason: whole.reason, message: whole.message, keeps: whole.leave !== 'refused' })
  if (whole?.leave === 'refused') return { rules: [], authorizable: false, refusals }
  const mine = view.addresses.filter((address) => {
    const refusal = refusalOfAddress(address, pod, around)
    if (refusal !== undefined) refusals.push({ ...refusal, keeps: false })
    return refusal === undefined
  })
  const rules = rulesOf(pod.declaration.requests, groupId, mine)
  if (mine.length > 0 && rules.length === 0) refusals.push({ ...NO_RULE_FOR_FAMILY, keeps: false })
  return { rules, authorizable: whole === undefined && pod.finalized, refusals }
}

const NO_RULE_FOR_FAMILY = {
  reason: 'NoRuleForFamily' as const,
  message: "'icmp' is for IPv4 addresses and 'icmpv6' for IPv6 addresses, and the pod has none of that family"
}

/** Undefined when nothing stands against the pod's use of the group. */
function refusalOfPod(
  groupId: SecurityGroupId,
  pod: ObservedPod,
  around: Surroundings
): { reason: Reason; message: string; leave: Exclude<Leave, 'granted'> } | undefined {
  if (pod.hostNetwork) {
    const message = "the pod uses hostNetwork: its address is the node's, shared by all that runs there"
    return { reason: 'HostNetworkRefused', message, leave: 'refused' }
  }
  if (around.exists === false) {
    const message = `security group '${groupId}' does not exist in this Region: correct its id, or create it`
    return { reason: 'SecurityGroupNotFound', message, leave: 'keep' }
  }
  if (around.optIn === 'unknown') {
    return {
      reason: 'EC2Unavailable',
      message: `security group '${groupId}' could not be read from EC2 yet`,
      leave: 'unknown'
    }
  }
  if (around.optIn !== 'granted') {
    const message = `security group '${groupId}' is not opted in: its owner must tag it ${around.optInTag} = allowed`
    return { reason: 'SecurityGroupNotOptedIn', message, leave: around.optIn }
  }
  const permission = around.permission(pod)
  if (permission !== 'granted') {
    const account = `${pod.namespace}/${pod.serviceAccountName}`
    if (permission === 'unknown') {
      const message = `whether service account '${account}' may use security group '${groupId}' could not be asked yet`
      return { reason: 'PermissionUnknown', message, leave: 'unknown' }
    }
    const message = `service account '${account}' may not use security group '${groupId}': RBAC must grant it the verb 'use' on it`
    return { reason: 'NotPermitted', message, leave: permission }
  }
  return undefined
}

function refusalOfAddress(
  address: string,
  pod: ObservedPod,
  around: Surroundings
): { reason: Reason; message: string } | undefined {
  if (around.nodeAddresses.has(address)) {
    return { reason: 'AddressRefused', message: `'${address}' is the address of a node, not of a pod` }
  }
  if (!around.podNetwork.contains(address)) {
    const { cidrs } = around.podNetwork
    return { reason: 'AddressRefused', message: `'${address}' is outside of POD_CIDRS (${cidrs.join(', ')})` }
  }
  const holder = around.holder(address)
  if (holder !== undefined && holder !== pod.uid) {
    return {
      reason: 'AddressConflict',
      message: `'${address}' is reported by a pod that started later, which holds it now`
    }
  }
  return undefined
}

/**
 * The claims of one group in the order in which they are served: older pods first, so that a full group is fair.
 * @param isFirst of the claims of one pod
 */
export function inOrderOfAge(claims: Iterable<Claim>, isFirst: (claim: Claim) => boolean = () => false): Claim[] {
  return [...claims].sort(
    (one, other) =>
      one.pod.createdAt - other.pod.createdAt ||
      compare(one.pod.uid, other.pod.uid) ||
      Number(isFirst(other)) - Number(isFirst(one)) ||
      compare(describeRule(one.rule), describeRule(other.rule))
  )
}

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
