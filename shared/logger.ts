/** One JSON line an event, with the keys of Kubernetes' structured logging (pod, podUID, err, securityGroupID, ...). */
import { destination, pino } from 'pino'
import type { Logger } from 'pino'

export type { Logger } from 'pino'

/** Who an event is about, as Kubernetes' components log it. */
export interface PodRef {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

/** The log keys of a pod. */
export function podKeys(pod: PodRef): { pod: { namespace: string; name: string }; podUID: string } {
  return { pod: { namespace: pod.namespace, name: pod.name }, podUID: pod.uid }
}

/** @param level one of pino's: trace, debug, info, warn, error, fatal, silent */
export function createLogger(component: string, level: string): Logger {
  return pino(
    {
      level,
      base: { component },
      errorKey: 'err',
      timestamp: () => `,"ts":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) }
    },
    destination({ fd: 1, sync: true })
  )
}
