/** Pods and nodes as the API server has them. Speaks Kubernetes on one side and our terms on the other, and decides nothing. */
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { isInvalid, isNotFound, isUidMismatch } from '../../shared/kubernetes/status.ts'
import { isOurs } from '../../shared/annotation.ts'
import type { PodRef } from '../../shared/podRef.ts'
import { CONDITION, FINALIZER, MANAGED_LABEL, MANAGED_VALUE, MIRROR_POD_KEY } from '../../shared/names.ts'
import type { Cluster } from '../cluster.ts'
import { createPodTrim } from './podTrim.ts'
import type { RawPod } from './podTrim.ts'
import { list } from './reflectorList.ts'

const STRATEGIC_MERGE = 'application/strategic-merge-patch+json'
/** The metadata alone, which the API server cuts out itself. */
const METADATA_LIST = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'

interface PodList {
  readonly items?: readonly unknown[]
}

/** @param within milliseconds from the decision to change a pod, by which the change is made or given up */
export function clusterOf(connection: Connection, within: number): Cluster {
  const trimPod = createPodTrim()
  const podPath = ({ namespace, name }: Pick<PodRef, 'namespace' | 'name'>): string =>
    `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`

  /** @returns false when the pod meant is gone */
  const patch = async (pod: PodRef, body: Record<string, unknown>, subresource = ''): Promise<boolean> => {
    try {
      await connection.request({
        method: 'PATCH',
        path: podPath(pod) + subresource,
        body,
        contentType: STRATEGIC_MERGE,
        within
      })
      return true
    } catch (error) {
      if (isNotFound(error) || isUidMismatch(error)) return false
      throw error
    }
  }

  return {
    async pod(namespace, name) {
      try {
        return trimPod(await connection.request({ path: podPath({ namespace, name }) }))
      } catch (error) {
        if (isNotFound(error)) return undefined
        throw error
      }
    },

    async podsAt(address) {
      const list = (await connection.request({
        path: '/api/v1/pods',
        query: { fieldSelector: `status.podIP=${address}` }
      })) as PodList
      return (list.items ?? []).map(trimPod)
    },

    async overlookedPods() {
      const found = await list({
        connection,
        path: '/api/v1/pods',
        labelSelector: `${MANAGED_LABEL}!=${MANAGED_VALUE}`,
        accept: METADATA_LIST,
        trim: ({ metadata }) => overlooked(metadata)
      })
      return found.items.filter((pod) => pod !== undefined)
    },

    async nodeExists(name) {
      try {
        await connection.request({ path: `/api/v1/nodes/${name}` })
        return true
      } catch (error) {
        if (isNotFound(error)) return false
        throw error
      }
    },

    async stamp(pod) {
      const metadata = { uid: pod.uid, finalizers: [FINALIZER], labels: { [MANAGED_LABEL]: MANAGED_VALUE } }
      try {
        return await patch(pod, { metadata })
      } catch (error) {
        // 'no new finalizers can be added if the object is being deleted'
        if (isInvalid(error) && error.message.includes('being deleted')) return false
        throw error
      }
    },

    async release(pod, alsoLabel) {
      const labels = alsoLabel ? { labels: { [MANAGED_LABEL]: null } } : {}
      // By value: others' finalizers stay, whatever their order has become; by uid: never a namesake's.
      await patch(pod, { metadata: { uid: pod.uid, '$deleteFromPrimitiveList/finalizers': [FINALIZER], ...labels } })
    },

    async writeCondition(pod, { message, reason, status }, transitionAt) {
      const since =
        transitionAt === undefined
          ? {}
          : { lastTransitionTime: new Date(transitionAt).toISOString().replace(/\.\d+Z/, 'Z') }
      const conditions = [{ type: CONDITION, status, reason, message, ...since }]
      await patch(pod, { metadata: { uid: pod.uid }, status: { conditions } }, '/status')
    }
  }
}

/** Undefined for a pod that is none of our business. */
function overlooked(metadata: RawPod['metadata']): PodRef | undefined {
  if (metadata?.namespace === undefined || metadata.name === undefined || metadata.uid === undefined) return undefined
  const annotations = metadata.annotations ?? {}
  const annotated = annotations[MIRROR_POD_KEY] === undefined && Object.keys(annotations).some(isOurs)
  if (!annotated && !(metadata.finalizers ?? []).includes(FINALIZER)) return undefined
  return { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid }
}
