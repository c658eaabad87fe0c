/** One JSON line an event, with the keys of Kubernetes' structured logging (pod, podUID, err, securityGroupID, ...). */
import { destination, pino } from 'pino'
import type { Logger } from 'pino'

export type { Logger } from 'pino'

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
