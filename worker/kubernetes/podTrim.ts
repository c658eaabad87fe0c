/** Cuts a Pod of the API server down to what decides about its rules. */
import { canonicalAddress } from '../../shared/address.ts'
import { ours, parseAnnotations } from '../../shared/annotation.ts'
import { CONDITION, FINALIZER, MANAGED_LABEL, MANAGED_VALUE, MIRROR_POD_KEY } from '../../shared/names.ts'
import type { Condition, ObservedPod } from '../pods.ts'

/** The parts of a Pod that are read (k8s.io/api/core/v1). Everything may be missing: the API server leaves out what is empty. */
export interface RawPod {
  readonly metadata?: {
    readonly namespace?: string
    readonly name?: string
    readonly uid?: string
    readonly creationTimestamp?: string
    readonly deletionTimestamp?: string
    readonly deletionGracePeriodSeconds?: number
    readonly annotations?: Readonly<Record<string, string>>
    readonly labels?: Readonly<Record<string, string>>
    readonly finalizers?: readonly string[]
  }
  readonly spec?: {
    readonly nodeName?: string
    readonly hostNetwork?: boolean
    readonly serviceAccountName?: string
    readonly containers?: readonly unknown[]
  }
  readonly status?: {
    readonly phase?: string
    readonly startTime?: string
    readonly podIP?: string
    readonly podIPs?: readonly { readonly ip?: string }[]
    readonly conditions?: readonly { type?: string; status?: string; reason?: string; message?: string }[]
    readonly containerStatuses?: readonly RawContainerStatus[]
    readonly initContainerStatuses?: readonly RawContainerStatus[]
    readonly ephemeralContainerStatuses?: readonly RawContainerStatus[]
  }
}

interface RawContainerStatus {
  readonly state?: { readonly running?: unknown; readonly terminated?: { readonly finishedAt?: string | null } }
}

/** @throws Error when it is no Pod at all, for then nothing could be told of it */
export function trimPod(object: unknown): ObservedPod {
  const { metadata, spec, status } = object as RawPod
  if (metadata?.uid === undefined || metadata.name === undefined || metadata.namespace === undefined) {
    throw new Error('the API server sent a Pod without uid, name or namespace')
  }
  const createdAt = time(metadata.creationTimestamp) ?? 0
  const mirror = metadata.annotations?.[MIRROR_POD_KEY] !== undefined
  const mine = mirror ? {} : ours(metadata.annotations)
  const addresses = (status?.podIPs ?? [{ ip: status?.podIP ?? '' }]).map(({ ip }) => canonicalAddress(ip ?? ''))
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    uid: metadata.uid,
    createdAt,
    startedAt: time(status?.startTime) ?? createdAt,
    deletionTimestamp: time(metadata.deletionTimestamp),
    gracePeriodSeconds: metadata.deletionGracePeriodSeconds,
    phase: status?.phase ?? '',
    hostNetwork: spec?.hostNetwork ?? false,
    nodeName: spec?.nodeName === '' ? undefined : spec?.nodeName,
    serviceAccountName: spec?.serviceAccountName ?? 'default',
    addresses: [...new Set(addresses.filter((address) => address !== undefined))],
    declaration: parseAnnotations(mine),
    annotated: Object.keys(mine).length > 0,
    labelled: metadata.labels?.[MANAGED_LABEL] === MANAGED_VALUE,
    finalized: metadata.finalizers?.includes(FINALIZER) ?? false,
    heldByFinalizer: (metadata.finalizers?.length ?? 0) > 0,
    containersTerminatedAt: terminatedAt(spec?.containers?.length ?? 0, status),
    condition: conditionOf(status)
  }
}

const time = (text: string | null | undefined): number | undefined => {
  const at = Date.parse(text ?? '')
  return Number.isNaN(at) ? undefined : at
}

/** When the last container terminated, if each ordinary one has and none of any kind runs. */
function terminatedAt(containers: number, status: RawPod['status']): number | undefined {
  const ordinary = status?.containerStatuses ?? []
  const others = [...(status?.initContainerStatuses ?? []), ...(status?.ephemeralContainerStatuses ?? [])]
  const terminated = ordinary.filter(({ state }) => state?.terminated !== undefined)
  if (containers === 0 || terminated.length < containers || others.some(({ state }) => state?.running !== undefined))
    return undefined
  const times = [...terminated, ...others]
    .map(({ state }) => time(state?.terminated?.finishedAt))
    .filter((at) => at !== undefined)
  return times.length === 0 ? undefined : Math.max(...times)
}

function conditionOf(status: RawPod['status']): Condition | undefined {
  const found = status?.conditions?.find(({ type }) => type === CONDITION)
  if (found === undefined) return undefined
  return {
    status: found.status === 'True' ? 'True' : 'False',
    reason: found.reason ?? '',
    message: found.message ?? ''
  }
}
