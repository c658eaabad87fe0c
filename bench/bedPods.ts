/** Pods of a bed for benches: made fast, and watched for the moments that count. */
import { pino } from 'pino'
import type { Bed } from '../bed/bed.ts'
import type { SimulatedCall } from '../bed/simulator.ts'
import { connect } from '../shared/kubernetes/connection.ts'
import { createPodTrim } from '../worker/kubernetes/podTrim.ts'
import { reflect } from '../worker/kubernetes/reflector.ts'
import { endOf } from '../worker/pods.ts'
import type { ObservedPod } from '../worker/pods.ts'

/** When a watch beside the worker's showed it first, in milliseconds since 1970. */
export interface Sighting {
  readonly uid: string
  addresses: readonly string[]
  addressedAt: number | undefined
  /** Its first end signal. */
  endedAt: number | undefined
  /** Its condition says that its rules are in effect. */
  toldAt: number | undefined
  goneAt: number | undefined
}

export interface BedPods {
  /** By name. */
  readonly sightings: ReadonlyMap<string, Sighting>
  count(isSo: (sighting: Sighting) => boolean): number
  stop(): Promise<void>
}

const NAMESPACE_PODS = '/api/v1/namespaces/default/pods'

export async function watchBedPods(bed: Bed): Promise<BedPods> {
  const logger = pino({ level: 'silent' })
  const connection = await connect({ source: { kubeconfig: bed.kubeconfig }, logger, userAgent: 'kube-sg-bench' })
  const sightings = new Map<string, Sighting>()
  const see = (pod: ObservedPod): void => {
    const now = Date.now()
    const known = sightings.get(pod.name)
    const sighting: Sighting =
      known?.uid === pod.uid
        ? known
        : {
            uid: pod.uid,
            addresses: [],
            addressedAt: undefined,
            endedAt: undefined,
            toldAt: undefined,
            goneAt: undefined
          }
    sightings.set(pod.name, sighting)
    if (pod.addresses.length > 0) {
      sighting.addresses = pod.addresses
      sighting.addressedAt ??= now
    }
    if (endOf(pod, false, now) !== undefined) sighting.endedAt ??= now
    if (pod.condition?.status === 'True') sighting.toldAt ??= now
  }
  const reflection = reflect({
    connection,
    logger,
    path: NAMESPACE_PODS,
    trim: createPodTrim(),
    handler: {
      replaced: (pods) => pods.forEach(see),
      changed: see,
      deleted(pod) {
        see(pod)
        const sighting = sightings.get(pod.name)
        if (sighting === undefined) return
        sighting.goneAt = Date.now()
        sighting.endedAt ??= sighting.goneAt
      }
    }
  })
  await reflection.synced
  return {
    sightings,
    count: (isSo) => [...sightings.values()].filter(isSo).length,
    async stop() {
      await reflection.stop()
      await connection.close()
    }
  }
}

/** On a node already: the scheduler is not what is measured. */
export async function createBedPod(bed: Bed, name: string, groupId: string): Promise<void> {
  await bed.api.call('POST', NAMESPACE_PODS, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, annotations: { [`sg.amazonaws.com/${groupId}`]: 'tcp:443' } },
    spec: { nodeName: `node-${name.length % 2}`, containers: [{ name: 'app', image: 'example.com/app' }] }
  })
}

export async function deleteBedPod(bed: Bed, name: string): Promise<void> {
  await bed.api.call('DELETE', `${NAMESPACE_PODS}/${name}`)
}

/** So many requests at once as a controller may have under way. */
export async function inParallel<T>(items: readonly T[], run: (item: T) => Promise<void>): Promise<void> {
  const left = items.values()
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      for (const item of left) await run(item)
    })
  )
}

/** The number of the last call so far. */
export const lastCall = async (bed: Bed): Promise<number> => (await bed.calls()).at(-1)?.n ?? 0

export const sourceOf = (address: string): string => `${address}/${address.includes(':') ? '128' : '32'}`

/**
 * When a rule for the source was authorized in the group, or revoked, first at or after `from`.
 * @returns milliseconds since 1970; undefined when it never was
 */
export function effectOf(
  calls: readonly SimulatedCall[],
  action: 'Authorize' | 'Revoke',
  source: string,
  from: number
): number | undefined {
  return calls.find(
    (call) =>
      call.action === `${action}SecurityGroupIngress` &&
      call.code === '' &&
      call.endedAt >= from &&
      call.rules.some(({ cidr }) => cidr === source)
  )?.endedAt
}
