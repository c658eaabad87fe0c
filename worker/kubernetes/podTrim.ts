/** Cuts a Pod of the API server down to what decides about its rules. */
import { canonicalAddress } from '../../shared/address.ts'
import { ours, parseAnnotations } from '../../shared/annotation.ts'
import { CONDITION, FINALIZER, MANAGED_LABEL, MANAGED_VALUE, MIRROR_POD_KEY } from '../../shared/names.ts'
import type { Condition, ObservedPod } from '../pods.ts'
import { createSharing } from './sharing.ts'
import type { Sharing } from './sharing.ts'

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
    readonly readinessGates?: readonly { readonly conditionType?: string }[]
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

/**
 * The pods of one Deployment say mostly the same: what they have in common is kept once by each trimmer.
 * @returns a trimmer; it throws an Error when it is given no Pod at all, for then nothing could be told of it
 */
export function createPodTrim(): (object: unknown) => ObservedPod {
  const sharing = createSharing()
  return (object) => trimPod(object, sharing)
}

function trimPod(object: unknown, { of, text }: Sharing): ObservedPod {
  const { metadata, spec, status } = object as RawPod
  if (metadata?.uid === undefined || metadata.name === undefined || metadata.namespace === undefined) {
    throw new Error('the API server sent a Pod without uid, name or namespace')
  }
  const createdAt = time(metadata.creationTimestamp) ?? 0
  const mirror = metadata.annotations?.[MIRROR_POD_KEY] !== undefined
  const mine = mirror ? {} : ours(metadata.annotations)
  const nodeName = spec?.nodeName
  const addresses = (status?.podIPs ?? [{ ip: status?.podIP ?? '' }]).map(({ ip }) => canonicalAddress(ip ?? ''))
  return {
    namespace: text(metadata.namespace),
    name: metadata.name,
    uid: metadata.uid,
    createdAt,
    startedAt: time(status?.startTime) ?? createdAt,
    deletionTimestamp: time(metadata.deletionTimestamp),
    gracePeriodSeconds: metadata.deletionGracePeriodSeconds,
    phase: text(status?.phase ?? ''),
    hostNetwork: spec?.hostNetwork ?? false,
    nodeName: nodeName === undefined || nodeName === '' ? undefined : text(nodeName),
    serviceAccountName: text(spec?.serviceAccountName ?? 'default'),
    addresses: [...new Set(addresses.filter((address) => address !== undefined))],
    declaration: of('declaration', Object.entries(mine).flat(), () => parseAnnotations(mine)),
    annotated: Object.keys(mine).length > 0,
    gated: spec?.readinessGates?.some(({ conditionType }) => conditionType === CONDITION) ?? false,
    labelled: metadata.labels?.[MANAGED_LABEL] === MANAGED_VALUE,
    finalized: metadata.finalizers?.includes(FINALIZER) ?? false,
    heldByFinalizer: (metadata.finalizers?.length ?? 0) > 0,
    containersTerminatedAt: terminatedAt(spec?.containers?.length ?? 0, status),
    condition: conditionOf(status, of)
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

function conditionOf(status: RawPod['status'], of: Sharing['of']): Condition | undefined {
  const found = status?.conditions?.find(({ type }) => type === CONDITION)
  if (found === undefined) return undefined
  const { message = '', reason = '' } = found
  const truth = found.status === 'True' ? 'True' : 'False'
  return of<Condition>('condition', [truth, reason, message], () => ({ status: truth, reason, message }))
}
