/** What the bed takes from the shipped manifests, and the little that it changes in them. Pure. */
import { parseAllDocuments } from 'yaml'
import type { KubeObject } from './kubeApi.ts'

export interface Manifests {
  /** To be applied. */
  readonly objects: readonly KubeObject[]
  /** To be checked by a dry run, and started as processes of this host. */
  readonly workloads: readonly KubeObject[]
}

const WORKLOADS = ['Deployment', 'CronJob', 'Job']

/** @throws Error naming the file when a document is not YAML or no object of Kubernetes */
export function readManifests(files: readonly { readonly name: string; readonly text: string }[]): Manifests {
  const all = files.flatMap(({ name, text }) =>
    parseAllDocuments(text).flatMap((document) => {
      if (document.errors[0] !== undefined) throw new Error(`${name}: ${document.errors[0].message}`)
      const object = document.toJS() as KubeObject | null
      if (object === null) return []
      if (object.kind === undefined || object.metadata?.name === undefined) {
        throw new Error(`${name} holds a document without kind or metadata.name`)
      }
      return [object]
    })
  )
  const isWorkload = (object: KubeObject): boolean => WORKLOADS.includes(object.kind ?? '')
  return { objects: all.filter((object) => !isWorkload(object)), workloads: all.filter(isWorkload) }
}

/**
 * Points the webhook's Service at this host and the webhook configurations at the port there. The API server still
 * dials by Service name and verifies the certificate for that name.
 */
export function onThisHost(object: KubeObject, port: number): KubeObject {
  if (object.kind === 'Service') {
    return { ...object, spec: { ...(object.spec as object), type: 'ExternalName', externalName: 'localhost' } }
  }
  if (!/^(Mutating|Validating)WebhookConfiguration$/.test(object.kind ?? '')) return object
  const webhooks = object.webhooks as { clientConfig: { service: object } }[]
  return {
    ...object,
    webhooks: webhooks.map((webhook) => ({
      ...webhook,
      clientConfig: { ...webhook.clientConfig, service: { ...webhook.clientConfig.service, port } }
    }))
  }
}

interface Container {
  readonly args?: readonly string[]
  readonly env?: readonly {
    readonly name: string
    readonly value?: string
    readonly valueFrom?: { readonly fieldRef?: { readonly fieldPath: string } }
  }[]
  readonly envFrom?: readonly { readonly configMapRef?: { readonly name: string; readonly optional?: boolean } }[]
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
}

interface PodSpec {
  readonly serviceAccountName?: string
  readonly containers: readonly [Container, ...Container[]]
  readonly volumes?: readonly { readonly name: string; readonly secret?: { readonly secretName: string } }[]
}

/** The first container of a workload and what surrounds it. */
export interface Workload {
  readonly name: string
  readonly namespace: string
  readonly serviceAccount: string
  /** Arguments after the program file that the image holds. */
  readonly args: readonly string[]
  readonly container: Container
  readonly secrets: readonly { readonly secret: string; readonly mountPath: string; readonly volume: string }[]
}

export function workloadOf(object: KubeObject): Workload {
  const template =
    object.kind === 'CronJob'
      ? (object.spec as { jobTemplate: { spec: { template: { spec: PodSpec } } } }).jobTemplate.spec.template
      : (object.spec as { template: { spec: PodSpec } }).template
  const container = template.spec.containers[0]
  const secretOf = new Map(template.spec.volumes?.map(({ name, secret }) => [name, secret?.secretName]) ?? [])
  return {
    name: object.metadata?.name ?? '',
    namespace: object.metadata?.namespace ?? 'default',
    serviceAccount: template.spec.serviceAccountName ?? 'default',
    args: (container.args ?? []).slice(1),
    container,
    secrets: (container.volumeMounts ?? []).flatMap(({ name, mountPath }) => {
      const secret = secretOf.get(name)
      return secret === undefined ? [] : [{ secret, mountPath, volume: name }]
    })
  }
}

/**
 * The environment that a kubelet would give the workload's container in the pod `podName`.
 * @throws Error for what the bed cannot resolve
 */
export function environmentOf(
  workload: Workload,
  podName: string,
  configMaps: Readonly<Record<string, Readonly<Record<string, string>>>>
): Record<string, string> {
  const fields: Readonly<Record<string, string>> = {
    'metadata.name': podName,
    'metadata.namespace': workload.namespace,
    'spec.serviceAccountName': workload.serviceAccount,
    'spec.nodeName': 'node-0',
    'status.podIP': '127.0.0.1',
    'status.hostIP': '127.0.0.1'
  }
  const environment: Record<string, string> = {}
  for (const { configMapRef } of workload.container.envFrom ?? []) {
    const data = configMaps[configMapRef?.name ?? '']
    if (data !== undefined) Object.assign(environment, data)
    else if (configMapRef?.optional !== true) throw new Error(`${workload.name}: the bed has no such envFrom source`)
  }
  for (const { name, value, valueFrom } of workload.container.env ?? []) {
    const field = valueFrom === undefined ? undefined : fields[valueFrom.fieldRef?.fieldPath ?? '']
    if (valueFrom !== undefined && field === undefined) {
      throw new Error(`${workload.name}: the bed cannot resolve valueFrom of ${name}: ${JSON.stringify(valueFrom)}`)
    }
    environment[name] = field ?? value ?? ''
  }
  return environment
}
