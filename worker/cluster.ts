/** What the worker asks of the API server about pods and nodes; worker/kubernetes is its adapter. */
import type { PodRef } from '../shared/podRef.ts'
import type { Condition, ObservedPod } from './pods.ts'

export interface Cluster {
  /** Undefined: there is no pod of that name. */
  pod(namespace: string, name: string): Promise<ObservedPod | undefined>
  /** Every pod, labelled or not, whose primary address this is. */
  podsAt(address: string): Promise<readonly ObservedPod[]>
  /** Pods that carry our marks but escape our watch. */
  overlookedPods(): Promise<readonly PodRef[]>
  nodeExists(name: string): Promise<boolean>
  /** Puts label and finalizer on a living pod. False: the pod is being deleted or has gone, so none can be put. */
  stamp(pod: PodRef): Promise<boolean>
  /** Takes our finalizer off, and of a living pod the label too, by value and uid. Done too when that pod is gone. */
  release(pod: PodRef, alsoLabel: boolean): Promise<void>
  /** Writes the condition; nothing happens when that pod is gone. */
  writeCondition(pod: PodRef, condition: Condition, transitionAt: number | undefined): Promise<void>
}

/** A change that was not made, for another may lead by now. The next leader makes it. */
export class LeaseInDoubt extends Error {
  override readonly name = 'LeaseInDoubt'
  constructor(change: string) {
    super(`pod is not to be changed (${change}): the lease is not ours for long enough`)
  }
}

/**
 * The same cluster, whose pods are changed only while we may write: a leader that was stopped and wakes up believes what was true when it fell
 * asleep, and would release a pod whose rules its successor has made.
 */
export function whileLeading(cluster: Cluster, mayWrite: () => boolean): Cluster {
  const guard = (change: string): void => {
    if (!mayWrite()) throw new LeaseInDoubt(change)
  }
  return {
    ...cluster,
    async stamp(pod) {
      guard('stamp')
      return cluster.stamp(pod)
    },
    async release(pod, alsoLabel) {
      guard('release')
      await cluster.release(pod, alsoLabel)
    },
    async writeCondition(pod, condition, transitionAt) {
      guard('condition')
      await cluster.writeCondition(pod, condition, transitionAt)
    }
  }
}
