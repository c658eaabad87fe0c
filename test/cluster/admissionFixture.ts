/** For tests of admission: namespaces, pods and questions about them, in words of the tests. */
import { eventually } from '../../bed/bed.ts'
import type { Answer, Bed, KubeObject } from '../../bed/bed.ts'

export const A = 'sg.amazonaws.com/sg-0123abcd'
export const B = 'sg.amazonaws.com/sg-0123abce'
export const FINALIZER = 'sg.amazonaws.com/revoke-rules'
export const MANAGED = 'sg.amazonaws.com/managed'
export const GATE = 'sg.amazonaws.com/readiness-gate'

/** Nobody asks about what the worker does: with the rights of an administrator, this is a way past admission. */
export const UNSEEN = ['--as=system:serviceaccount:kube-sg:kube-sg-worker', '--as-group=system:masters']

export interface Admission {
  /** A new namespace whose default service account may use group A. */
  readonly namespace: () => Promise<string>
  /** kubectl create. */
  readonly create: (object: KubeObject, ...flags: readonly string[]) => Promise<Answer>
  readonly podOf: (namespace: string, name: string) => Promise<KubeObject>
  /** Merge patch of the pod, or of what is behind its path. */
  readonly patch: (namespace: string, name: string, patch: unknown, subresource?: string) => Promise<KubeObject>
  /** How many requests have arrived at all replicas so far. */
  readonly arrived: () => Promise<number>
  /** How many requests for the resource, such as `replicasets`, have been decided so far. */
  readonly decided: (resource: string) => Promise<number>
}

export function admissionOf(bed: Bed): Admission {
  let count = 0
  const expositions = (): Promise<string[]> => {
    const urls = [bed.env.METRICS_WEBHOOK_0, bed.env.METRICS_WEBHOOK_1].filter((url) => url !== undefined)
    return Promise.all(urls.map(async (url) => (await fetch(url)).text()))
  }
  return {
    async namespace() {
      const name = `admission-${++count}`
      await bed.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }])
      await bed.apply(permission(name, 'sg-0123abcd'))
      await eventually('the service account', () =>
        bed.api.answers(`/api/v1/namespaces/${name}/serviceaccounts/default`).then((so) => so || undefined)
      )
      return name
    },
    create: (object, ...flags) => bed.kubectl(['create', ...flags, '-f', '-'], JSON.stringify(object)),
    podOf: (namespace, name) => bed.api.call('GET', pathOf(namespace, name)),
    patch: (namespace, name, patch, subresource) =>
      bed.api.patch(pathOf(namespace, name) + (subresource === undefined ? '' : `/${subresource}`), patch),
    async arrived() {
      return sum(await expositions(), 'controller_runtime_webhook_requests_total{')
    },
    async decided(resource) {
      return sum(await expositions(), `kube_sg_webhook_decisions_total{resource="${resource}",`)
    }
  }
}

export const pathOf = (namespace: string, name: string): string => `/api/v1/namespaces/${namespace}/pods/${name}`

/** The sum of all series that begin so. */
function sum(expositions: readonly string[], beginning: string): number {
  const lines = expositions.flatMap((text) => text.split('\n')).filter((line) => line.startsWith(beginning))
  return lines.map((line) => Number(line.slice(line.lastIndexOf(' ')))).reduce((a, b) => a + b, 0)
}

export function permission(namespace: string, groupId: string, account = 'default'): KubeObject[] {
  const metadata = { name: `use-${groupId}`, namespace }
  const rule = {
    apiGroups: ['sg.amazonaws.com'],
    resources: ['securitygroups'],
    resourceNames: [groupId],
    verbs: ['use']
  }
  return [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata, rules: [rule] },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', namespace, name: account }]
    }
  ]
}

export const pod = (
  namespace: string,
  name: string,
  annotations: object,
  more: object = {},
  spec: object = {}
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, annotations, ...more } as NonNullable<KubeObject['metadata']>,
  spec: { containers: [{ name: 'c', image: 'x' }], ...spec }
})

/** What the API server answered instead of success. */
export const refusal = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no refusal',
    (error: unknown) => error
  )

export interface Workload {
  readonly kind: string
  readonly apiVersion: string
  /** Where its pod template is. */
  readonly path: string
  readonly body: (annotations: object, podSpec?: object) => object
}

/** Every kind that holds a pod template. */
export function workloads(): Workload[] {
  const template = (annotations: object, podSpec: object = {}): object => ({
    metadata: { labels: { a: 'b' }, annotations },
    spec: { containers: [{ name: 'c', image: 'x' }], ...podSpec }
  })
  const once = (annotations: object, podSpec: object = {}): object =>
    template(annotations, { restartPolicy: 'Never', ...podSpec })
  const selector = { matchLabels: { a: 'b' } }
  const apps = ['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet'].map((kind): Workload => ({
    kind,
    apiVersion: 'apps/v1',
    path: 'spec.template',
    body: (...of) => ({ spec: { selector, template: template(...of) } })
  }))
  return [
    ...apps,
    {
      kind: 'ReplicationController',
      apiVersion: 'v1',
      path: 'spec.template',
      body: (...of) => ({ spec: { selector: { a: 'b' }, template: template(...of) } })
    },
    {
      kind: 'Job',
      apiVersion: 'batch/v1',
      path: 'spec.template',
      body: (...of) => ({ spec: { template: once(...of) } })
    },
    {
      kind: 'CronJob',
      apiVersion: 'batch/v1',
      path: 'spec.jobTemplate.spec.template',
      body: (...of) => ({ spec: { schedule: '1 1 1 1 *', jobTemplate: { spec: { template: once(...of) } } } })
    },
    { kind: 'PodTemplate', apiVersion: 'v1', path: 'template', body: (...of) => ({ template: template(...of) }) }
  ]
}
