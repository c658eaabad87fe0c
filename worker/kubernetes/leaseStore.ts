/** The Lease object, as an election reads and writes it. */
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../../shared/kubernetes/status.ts'
import type { LeaseRecord } from '../election.ts'

/** The lease as read, with what a later write of it needs. */
export interface StoredLease {
  readonly record: LeaseRecord
  /** The store's own, such as the whole object with its resourceVersion. */
  readonly version: unknown
}

/** Each call ends after `timeout` milliseconds; one that failed may still take effect later. */
export interface LeaseStore {
  /** Undefined when there is none. */
  read(timeout: number, signal: AbortSignal): Promise<StoredLease | undefined>
  /** Creates it, or replaces just what was read; `conflict` when somebody else wrote, created or deleted it since. */
  write(
    previous: StoredLease | undefined,
    record: LeaseRecord,
    timeout: number,
    signal: AbortSignal
  ): Promise<StoredLease | 'conflict'>
}

interface LeaseObject {
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly resourceVersion?: string }
  readonly spec?: Partial<LeaseRecord> | null
}

export interface StoreOptions {
  readonly connection: Connection
  readonly namespace: string
  readonly name: string
  /** Milliseconds: what a lease without a duration of its own is taken to have. */
  readonly leaseDuration: number
}

/** Plain JSON, so that a replaced lease keeps what others wrote on it, labels and unknown fields alike. */
export function createLeaseStore(options: StoreOptions): LeaseStore {
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
