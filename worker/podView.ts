/** How what is seen of a pod now goes together with what was seen of it before. Pure. */
import type { SecurityGroupId } from '../shared/rules.ts'
import type { PodView } from './desired.ts'
import { endOf } from './pods.ts'
import type { End, ObservedPod } from './pods.ts'

/** The group ids that the pod's declaration names. */
export function groupsOf(pod: ObservedPod): Set<SecurityGroupId> {
  return new Set(pod.declaration.requests.map((request) => request.groupId))
}

/** An address stays the pod's while its status is blank, until the status names another of that family. */
export function rememberAddresses(pod: ObservedPod, before: PodView | undefined): readonly string[] {
  const named = new Set(pod.addresses.map((address) => address.includes(':')))
  return [...pod.addresses, ...(before?.addresses ?? []).filter((address) => !named.has(address.includes(':')))]
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

/** What decides about rules, as one text, so that a heartbeat touches nothing. */
export function signature({ pod, addresses, end }: PodView): string {
  return JSON.stringify([
    pod.declaration.requests,
    addresses,
    end !== undefined,
    pod.finalized,
    pod.hostNetwork,
    pod.serviceAccountName
  ])
}
