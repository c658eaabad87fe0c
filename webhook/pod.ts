/** The little that we read of a pod, a pod template and the objects that hold one. Pure. */
import { MIRROR_POD_KEY } from '../shared/names.ts'
import { UNNAMED_SERVICE_ACCOUNT } from '../shared/permission.ts'
import type { Annotations } from '../shared/annotation.ts'
import type { Place } from './json.ts'

/** What a pod and a pod template have in common. */
export interface PodShape {
  /** Where the metadata and spec stand, such as `spec.template`; empty for a pod itself. */
  readonly base: string
  readonly annotations: Annotations
  readonly labels: Readonly<Record<string, string>>
  readonly finalizers: readonly string[]
  readonly readinessGates: readonly string[]
  readonly hostNetwork: boolean
  readonly serviceAccount: string
}

export interface Pod extends PodShape {
  /** The API server's copy of a static pod: the kubelet owns it, and nothing of ours reaches it. */
  readonly mirror: boolean
  /** Neither deleted nor ended: only such a pod can still take a finalizer that means something. */
  readonly living: boolean
}

/**
 * @param created whether the pod is only now being created: then it lives, whatever the manifest says of its end, as the
 * API server resets status and deletionTimestamp, but only after mutating admission (rest.BeforeCreate)
 * @throws MalformedReview when a field that we read has the wrong type
 */
export function readPod(place: Place, created: boolean): Pod {
  const shape = readShape(place, '')
  const phase = place.at('status').text('phase')
  const deleting = place.at('metadata').text('deletionTimestamp') !== undefined
  return {
    ...shape,
    mirror: Object.hasOwn(shape.annotations, MIRROR_POD_KEY),
    living: created || (!deleting && phase !== 'Succeeded' && phase !== 'Failed')
  }
}

const TEMPLATE_PATHS: Readonly<Record<string, readonly string[]>> = {
  CronJob: ['spec', 'jobTemplate', 'spec', 'template'],
  PodTemplate: ['template']
}

/** The kinds whose pod template is checked when they are applied; their pods are made later by controllers. */
export const WORKLOADS: ReadonlySet<string> = new Set([
  'Deployment',
  'StatefulSet',
  'DaemonSet',
  'ReplicaSet',
  'ReplicationController',
  'Job',
  'CronJob',
  'PodTemplate'
])

/** @param kind one of {@link WORKLOADS} */
export function readTemplate(kind: string, place: Place): PodShape {
  const path = TEMPLATE_PATHS[kind] ?? ['spec', 'template']
  const template = path.reduce((at, key) => at.at(key), place)
  return readShape(template, path.join('.'))
}

/** The fields that say how many pods of the template a kind keeps at once; the others keep one, or one for each node. */
const COUNT_PATHS: Readonly<Record<string, readonly string[]>> = {
  Deployment: ['spec', 'replicas'],
  StatefulSet: ['spec', 'replicas'],
  ReplicaSet: ['spec', 'replicas'],
  ReplicationController: ['spec', 'replicas'],
  Job: ['spec', 'parallelism'],
  CronJob: ['spec', 'jobTemplate', 'spec', 'parallelism']
}

/** How many pods of its template a workload keeps, as far as it says. */
export function countPods(kind: string, place: Place): number {
  const path = COUNT_PATHS[kind] ?? []
  const { value } = path.reduce((at, key) => at.at(key), place)
  return typeof value === 'number' ? value : 1
}

/** Whether a controller made the object: then its maker was checked, and nobody reads an answer to it. */
export function hasController(place: Place): boolean {
  for (const owner of place.at('metadata').at('ownerReferences').list())
    if (owner.at('controller').boolean() === true) return true
  return false
}

function readShape(place: Place, base: string): PodShape {
  const [metadata, spec] = [place.at('metadata'), place.at('spec')]
  const account = spec.text('serviceAccountName') ?? ''
  return {
    base,
    annotations: metadata.at('annotations').strings(),
    labels: metadata.at('labels').strings(),
    finalizers: metadata.at('finalizers').texts(),
    readinessGates: spec.at('readinessGates').texts('conditionType'),
    hostNetwork: spec.at('hostNetwork').boolean() ?? false,
    serviceAccount: account === '' ? UNNAMED_SERVICE_ACCOUNT : account
  }
}
