/** How what is seen of a pod now goes together with what was seen of it before. Pure. */
import type { Declaration } from '../shared/annotation.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import type { PodView } from './desired.ts'
import { endOf } from './pods.ts'
import type { End, ObservedPod } from './pods.ts'

/** The group ids that the pod's declaration names. */
export function groupsOf(pod: ObservedPod): Set<SecurityGroupId> {
  return new Set(pod.declaration.requests.map((request) => request.groupId))
}

/** The pod as it is seen now, in the texts that are kept of it already: each event brings copies, and tens of thousands of them are megabytes. */
export function withTextsOf(before: ObservedPod, pod: ObservedPod): ObservedPod {
  const addresses = sameTexts(before.addresses, pod.addresses) ? before.addresses : pod.addresses
  return { ...pod, uid: before.uid, name: before.name, addresses }
}

/** An address stays the pod's while its status is blank, until the status names another of that family. */
export function rememberAddresses(pod: ObservedPod, before: PodView | undefined): readonly string[] {
  const named = new Set(pod.addresses.map((address) => address.includes(':')))
  const hidden = (before?.addresses ?? []).filter((address) => !named.has(address.includes(':')))
  return hidden.length === 0 ? pod.addresses : [...pod.addresses, ...hidden]
}

/**
 * The end, and since when. Never in the future: a grace period that was cut short, or a node's clock that is ahead, must not
 * lengthen how long we hold the pod. The API server moves deletionTimestamp when grace becomes 0, so whoever saw it living knows better.
 */
export function endSeen(
  pod: ObservedPod,
  before: PodView | undefined,
  nodeGone: boolean,
  now: number
): End | undefined {
  const end = endOf(pod, nodeGone, now)
  if (end === undefined) return undefined
  const sawItLive = end.reason === 'graceOver' && before !== undefined && before.end === undefined
  return { ...end, at: sawItLive ? now : Math.min(end.at, now) }
}

/** Whether both decide the same about rules, so that a heartbeat touches nothing. */
export function decideAlike(one: PodView, other: PodView): boolean {
  return (
    sameRequests(one.pod.declaration, other.pod.declaration) &&
    sameTexts(one.addresses, other.addresses) &&
    (one.end === undefined) === (other.end === undefined) &&
    one.pod.finalized === other.pod.finalized &&
    one.pod.hostNetwork === other.pod.hostNetwork &&
    one.pod.serviceAccountName === other.pod.serviceAccountName
  )
}

const sameRequests = (one: Declaration, other: Declaration): boolean =>
  one === other || JSON.stringify(one.requests) === JSON.stringify(other.requests)

const sameTexts = (one: readonly string[], other: readonly string[]): boolean =>
  one === other || (one.length === other.length && one.every((text, index) => text === other[index]))
