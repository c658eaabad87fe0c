/** Which pod is meant, and how a log line says it. Pure. */

export interface PodRef {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/** The log keys of a pod, as Kubernetes' components write them. */
export function podKeys(pod: PodRef): { pod: { namespace: string; name: string }; podUID: string } {
  return { pod: { namespace: pod.namespace, name: pod.name }, podUID: pod.uid }
}
