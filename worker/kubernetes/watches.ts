/** The worker's two watches: labelled pods into the cache, nodes into a small table. */
import { canonicalAddress } from '../../shared/address.ts'
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { isExpired } from '../../shared/kubernetes/status.ts'
import type { Logger } from '../../shared/logger.ts'
import { MANAGED_LABEL, MANAGED_VALUE } from '../../shared/names.ts'
import type { WorkerMetrics } from '../metrics.ts'
import type { PodCache } from '../podCache.ts'
import { createPodTrim } from './podTrim.ts'
import { reflect } from './reflector.ts'
import type { RawObject, ReflectOptions, Reflection } from './reflector.ts'

export interface WatchOptions {
  readonly connection: Connection
  readonly logger: Logger
  /** Milliseconds since 1970. */
  readonly now: () => number
  readonly metrics?: Pick<WorkerMetrics, 'watchFailed' | 'watchListed'>
}

/** Whole pods are large, and of each little is kept: small pages never grow old in memory, and large ones do. */
const PODS_PER_PAGE = 100

const counted = ({ metrics }: WatchOptions, resource: string): Pick<ReflectOptions<never>, 'onError'> => ({
  onError: (error) => metrics?.watchFailed(resource, isExpired(error) ? 'expired' : 'other')
})

export function watchPods(options: WatchOptions, cache: PodCache): Reflection {
  const { connection, logger, metrics, now } = options
  return reflect({
    connection,
    logger,
    path: '/api/v1/pods',
    labelSelector: `${MANAGED_LABEL}=${MANAGED_VALUE}`,
    pageSize: PODS_PER_PAGE,
    trim: createPodTrim(),
    ...counted(options, 'pods'),
    handler: {
      replaced(pods) {
        metrics?.watchListed('pods')
        cache.replace(pods, now())
      },
      changed: (pod) => cache.change(pod, now()),
      deleted: (pod) => cache.vanish(pod, now())
    }
  })
}

export interface NodeTable {
  readonly reflection: Reflection
  names(): ReadonlySet<string>
  /** Canonical; which no pod may claim. */
  addresses(): ReadonlySet<string>
  /** AWS Regions that the Nodes' labels name. */
  regions(): ReadonlySet<string>
}

/** Set by the cloud provider and the kubelet (kubernetes.io/docs/reference/labels-annotations-taints). */
const REGION_LABEL = 'topology.kubernetes.io/region'

/** @param onChange nodes have come, come back, or gone */
export function watchNodes(options: WatchOptions, onChange: () => void): NodeTable {
  const { connection, logger, metrics } = options
  const nodes = new Map<string, TrimmedNode>()
  let addresses: ReadonlySet<string> = new Set()
  const collect = (): void => {
    addresses = new Set([...nodes.values()].flatMap((node) => node.addresses))
  }
  const change = (gone: Iterable<string>, there: readonly TrimmedNode[]): void => {
    let changed = false
    for (const name of gone) changed = nodes.delete(name) || changed
    const kept = nodes.size
    for (const node of there) nodes.set(node.name, node)
    collect()
    if (changed || nodes.size > kept) onChange()
  }
  const reflection = reflect({
    connection,
    logger,
    path: '/api/v1/nodes',
    trim: trimNode,
    ...counted(options, 'nodes'),
    handler: {
      replaced(items) {
        metrics?.watchListed('nodes')
        const seen = new Set(items.map(({ name }) => name))
        const gone = [...nodes.keys()].filter((name) => !seen.has(name))
        change(gone, items)
      },
      changed: (node) => change([], [node]),
      deleted: ({ name }) => change([name], [])
    }
  })
  return {
    reflection,
    names: () => new Set(nodes.keys()),
    addresses: () => addresses,
    regions: () => new Set([...nodes.values()].map(({ region }) => region).filter((region) => region !== undefined))
  }
}

interface TrimmedNode {
  readonly name: string
  readonly addresses: readonly string[]
  readonly region: string | undefined
}

function trimNode({ metadata, status }: RawObject): TrimmedNode {
  const reported = (status as { addresses?: readonly { address?: string }[] } | undefined)?.addresses ?? []
  const addresses = reported
    .map(({ address }) => canonicalAddress(address ?? ''))
    .filter((address) => address !== undefined)
  return { name: metadata.name, addresses, region: metadata.labels?.[REGION_LABEL] }
}
