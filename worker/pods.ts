/** The little that the worker keeps of a pod, and what follows from it. Pure. */
import type { Declaration } from '../shared/annotation.ts'
import type { PodRef } from '../shared/podRef.ts'

/** A pod condition as last written, or as it should be. */
export interface Condition {
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
}

/** A pod cut down to what decides about its rules. Times are milliseconds since 1970, by the API server's clock. */
export interface ObservedPod extends PodRef {
  readonly createdAt: number
  /** When the kubelet took it up; creation when it has not. */
  readonly startedAt: number
  /** metadata.deletionTimestamp: the moment by which its grace period ends. */
  readonly deletionTimestamp: number | undefined
  /** metadata.deletionGracePeriodSeconds */
  readonly gracePeriodSeconds: number | undefined
  readonly phase: string
  readonly hostNetwork: boolean
  readonly nodeName: string | undefined
  readonly serviceAccountName: string
  /** status.podIPs, canonical; what is no address is left out. */
  readonly addresses: readonly string[]
  readonly declaration: Declaration
  readonly annotated: boolean
  /** Our readiness gate is in its spec: there it stays for as long as the pod lives, whatever becomes of the annotation. */
  readonly gated: boolean
  readonly labelled: boolean
  readonly finalized: boolean
  /** Whether any finalizer, ours or another's, keeps the object. */
  readonly heldByFinalizer: boolean
  /** Once no container runs and every ordinary one has terminated: when the last one did. */
  readonly containersTerminatedAt: number | undefined
  readonly condition: Condition | undefined
}

/** Why a pod no longer holds its addresses, and since when. */
export interface End {
  readonly at: number
  readonly reason: 'terminal' | 'graceOver' | 'containersTerminated' | 'nodeGone' | 'gone'
}

/**
 * Whether the pod has ended, that is, no longer holds its addresses. A pod that drains, crashes and restarts, or sits on a
 * node that is not ready still holds them. A terminal phase counts whoever wrote it: the kubelet reports it only when
 * nothing runs (kubernetes/pkg/kubelet/status), and keeps podIP in the status though the address is free.
 * @param nodeGone the Node object is known to be gone
 * @param now used when the pod itself does not tell since when
 */
export function endOf(pod: ObservedPod, nodeGone: boolean, now: number): End | undefined {
  if (pod.phase === 'Succeeded' || pod.phase === 'Failed') {
    return { at: pod.containersTerminatedAt ?? pod.deletionTimestamp ?? now, reason: 'terminal' }
  }
  if (pod.deletionTimestamp !== undefined && pod.gracePeriodSeconds === 0)
    return { at: pod.deletionTimestamp, reason: 'graceOver' }
  if (pod.containersTerminatedAt !== undefined && pod.containersTerminatedAt > deletionAskedAt(pod))
    return { at: pod.containersTerminatedAt, reason: 'containersTerminated' }
  return nodeGone ? { at: now, reason: 'nodeGone' } : undefined
}

/**
 * What had terminated before may be running again and the status not tell it yet: once asked to delete, the kubelet starts nothing. Times
 * are whole seconds there, so that of the same second nobody knows which came first; then the terminal phase tells, a moment later.
 */
function deletionAskedAt({ deletionTimestamp, gracePeriodSeconds }: ObservedPod): number {
  return deletionTimestamp === undefined ? Infinity : deletionTimestamp - (gracePeriodSeconds ?? 0) * 1000
}

/** Of two living pods that report one address, the later-started holds it: the CNI gave it out again. */
export function startedLater(one: ObservedPod, other: ObservedPod): ObservedPod {
  if (one.startedAt !== other.startedAt) return one.startedAt > other.startedAt ? one : other
  if (one.createdAt !== other.createdAt) return one.createdAt > other.createdAt ? one : other
  return one.uid > other.uid ? one : other
}
