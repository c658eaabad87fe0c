/** One leader among the replicas, by a Lease of coordination.k8s.io/v1. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { microTime } from '../../shared/kubernetes/microTime.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../../shared/kubernetes/status.ts'
import type { Logger } from '../../shared/logger.ts'
import { faultOfTiming } from '../election.ts'
import type { ElectionTiming, LeaseRecord } from '../election.ts'
import { campaign } from './leaseCampaign.ts'
import type { Campaign, LeaseStore, StoredLease } from './leaseCampaign.ts'

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
 * Runs until stopped or lost. A holder that dies is followed after leaseDuration, plus a retryPeriod at most. An API
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
    onLead: options.onLead,
    onLost: options.onLost
  })
}

interface LeaseObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion?: string }
  readonly spec?: Partial<LeaseRecord> | null
}

/** Plain JSON, so that a replaced lease keeps what others wrote on it, labels and unknown fields alike. */
export function createLeaseStore(
  options: Pick<ElectOptions, 'connection' | 'namespace' | 'name' | 'leaseDuration'>
): LeaseStore {
  const { connection, namespace, name } = options
  const all = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`
  const one = `${all}/${encodeURIComponent(name)}`
  const stored = (answer: unknown): StoredLease => {
    const object = answer as LeaseObject
    return { record: readRecord(object, options.leaseDuration), version: object }
  }
  return {
    async read(timeout, signal) {
      try {
        return stored(await connection.requestAhead({ path: one, timeout, signal }))
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    },
    async write(previous, record, timeout, signal) {
      const found = previous?.version as LeaseObject | undefined
      const head = { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease' }
      const body =
        found === undefined ? { ...head, metadata: { name, namespace }, spec: record } : replace(found, record)
      const where =
        found === undefined ? ({ method: 'POST', path: all } as const) : ({ method: 'PUT', path: one } as const)
      try {
        return stored(await connection.requestAhead({ ...where, body, timeout, signal }))
      } catch (error) {
        if (isConflict(error) || isAlreadyExists(error) || (found !== undefined && isNotFound(error))) return 'conflict'
        throw error
      }
    }
  }
}

/** The resourceVersion that was read goes along: the API server refuses the write when somebody was faster. */
const replace = (found: LeaseObject, record: LeaseRecord): object => ({ ...found, spec: { ...found.spec, ...record } })

function readRecord(object: LeaseObject, leaseDuration: number): LeaseRecord {
  const { holderIdentity, leaseDurationSeconds, acquireTime, renewTime, leaseTransitions } = object.spec ?? {}
  return {
    holderIdentity: holderIdentity ?? '',
    leaseDurationSeconds: leaseDurationSeconds ?? leaseDuration / 1000,
    leaseTransitions: leaseTransitions ?? 0,
    ...(acquireTime === undefined ? {} : { acquireTime }),
    ...(renewTime === undefined ? {} : { renewTime })
  }
}
