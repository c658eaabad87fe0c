/** One leader among the replicas, by a Lease of coordination.k8s.io/v1. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { microTime } from '../../shared/kubernetes/microTime.ts'
import type { Logger } from '../../shared/logger.ts'
import { faultOfTiming } from '../election.ts'
import type { ElectionTiming } from '../election.ts'
import { campaign } from './leaseCampaign.ts'
import type { Campaign } from './leaseCampaign.ts'
import { createLeaseStore } from './leaseStore.ts'
import { watchReleases } from './leaseWatch.ts'

export interface ElectOptions extends ElectionTiming {
  readonly connection: Connection
  readonly namespace: string
  readonly name: string
  /** Such as the pod's name. A random part is added: two processes of one name must never both lead. */
  readonly identity: string
  readonly logger: Logger
  readonly onLead: () => void
  readonly onLost: (reason: string) => void
}

/**
 * Runs until stopped or lost. A holder that stops is followed at once, one that dies after leaseDuration, plus a retryPeriod at most. An API
 * server that is silent for less than renewDeadline less retryPeriod costs nothing.
 * `performance.now()` stands still while a machine is suspended: one that wakes up may lead for a moment too long.
 * @throws Error when the three times cannot work together
 */
export function elect(options: ElectOptions): Campaign {
  const { leaseDuration, renewDeadline, retryPeriod, logger } = options
  const timing = { leaseDuration, renewDeadline, retryPeriod }
  const fault = faultOfTiming(timing)
  if (fault !== undefined) throw new Error(`${fault} (${JSON.stringify(timing)})`)
  return campaign({
    store: createLeaseStore(options),
    identity: `${options.identity}_${randomUUID()}`,
    timing,
    clock: {
      now: () => performance.now(),
      wallTime: () => microTime(Date.now()),
      sleep: (ms, signal) => sleep(ms, undefined, { signal }),
      random: Math.random
    },
    logger,
    watchReleases: (onRelease, signal) => void watchReleases(options, onRelease, signal),
    onLead: options.onLead,
    onLost: options.onLost
  })
}
