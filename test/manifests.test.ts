import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import {
  CA_SECRET,
  LEGACY_BARE_KEY,
  MIRROR_POD_KEY,
  NAMESPACE,
  PREFIX,
  TLS_SECRET,
  WEBHOOK_CONFIGURATION,
  WEBHOOK_SERVICE,
  WORKER_ACCOUNT,
  WORKER_LEASE
} from '../shared/names.ts'

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
  readonly [field: string]: unknown
}
interface Container {
  readonly args: readonly string[]
  readonly securityContext: unknown
  readonly resources: { readonly requests: object; readonly limits: object }
  readonly readinessProbe?: unknown
  readonly livenessProbe?: unknown
}
interface PodSpec {
  readonly serviceAccountName: string
  readonly securityContext: unknown
  readonly volumes?: readonly { readonly secret?: { readonly secretName: string } }[]
  readonly containers: readonly Container[]
}
interface Webhook {
  readonly name: string
  readonly clientConfig: { readonly service: unknown; readonly caBundle?: string }
  readonly [field: string]: unknown
}
interface Rule {
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
  readonly resourceNames?: readonly string[]
}

const folder = new URL('../manifests/', import.meta.url)
const all = readdirSync(folder)
  .filter((name) => name.endsWith('.yaml'))
  .sort()
  .flatMap((name) =>
    parseAllDocuments(readFileSync(new URL(name, folder), 'utf8')).map((document) => document.toJS() as Manifest)
  )
const ofKind = (...kinds: string[]): Manifest[] => all.filter(({ kind }) => kinds.includes(kind))
const named = (kind: string, name: string): Manifest | undefined =>
  ofKind(kind).find(({ metadata }) => metadata.name === name)
const path = (object: unknown, ...keys: string[]): unknown =>
  keys.reduce((at, key) => (at as Record<string, unknown> | undefined)?.[key], object)

t.test('files apply in the order of their names: what is needed first comes first', async (t) => {
  const kinds = all.map(({ kind }) => kind)
  t.equal(kinds[0], 'Namespace')
  t.ok(kinds.lastIndexOf('ServiceAccount') < kinds.indexOf('Deployment'))
  t.ok(kinds.lastIndexOf('Secret') < kinds.indexOf('Deployment'))
  t.ok(kinds.lastIndexOf('Job') < kinds.indexOf('MutatingWebhookConfiguration'))
})

t.test('the names that the code knows', async (t) => {
  t.ok(named('Namespace', NAMESPACE))
  t.ok(named('Service', WEBHOOK_SERVICE))
  t.ok(named('ServiceAccount', WORKER_ACCOUNT))
  for (const name of [TLS_SECRET, CA_SECRET]) t.ok(named('Secret', name), name)
  for (const kind of ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'])
    t.ok(named(kind, WEBHOOK_CONFIGURATION), kind)
  const namespaced = ofKind(
    'ServiceAccount',
    'Role',
    'RoleBinding',
    'Secret',
    'Service',
    'Deployment',
    'CronJob',
    'Job'
  )
  t.same([...new Set(namespaced.map(({ metadata }) => metadata.namespace))], [NAMESPACE])
})

t.test('applying again must not wipe what the certificates job wrote', async (t) => {
  for (const secret of ofKind('Secret'))
    t.same([secret.data, secret.stringData, secret.type], [undefined, undefined, 'Opaque'])
  for (const configuration of ofKind('MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'))
    for (const { clientConfig, name } of configuration.webhooks as Webhook[])
      t.equal(clientConfig.caBundle, undefined, name)
})

t.test('least privilege', async (t) => {
  const roles = ofKind('Role', 'ClusterRole')
  const rules = roles.flatMap((role) => role.rules as Rule[])
  t.notMatch(JSON.stringify(roles), '*')
  for (const { resources, verbs, resourceNames } of rules) {
    t.notMatch(verbs, ['delete'])
    if (resources.includes('secrets'))
      t.same(
        [verbs, resourceNames],
        [
          ['get', 'patch'],
          [CA_SECRET, TLS_SECRET]
        ]
      )
    if (resources.some((resource) => resource.endsWith('webhookconfigurations')))
      t.same([verbs, resourceNames], [['get', 'patch'], [WEBHOOK_CONFIGURATION]])
    if (resources.includes('leases') && !verbs.includes('create')) t.same(resourceNames, [WORKER_LEASE])
  }
  t.same(ofKind('ClusterRoleBinding', 'RoleBinding').length, roles.length)
})

function podSpecs(): PodSpec[] {
  return ofKind('Deployment', 'CronJob', 'Job').map((workload) => {
    const job = workload.kind === 'CronJob' ? path(workload, 'spec', 'jobTemplate', 'spec') : workload.spec
    return path(job, 'template', 'spec') as PodSpec
  })
}

t.test('every container is as restricted as the namespace demands, and read-only', async (t) => {
  t.equal(path(named('Namespace', NAMESPACE)?.metadata, 'labels', 'pod-security.kubernetes.io/enforce'), 'restricted')
  t.equal(podSpecs().length, 4)
  for (const spec of podSpecs()) {
    t.match(spec.securityContext, { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } })
    t.ok(named('ServiceAccount', spec.serviceAccountName), spec.serviceAccountName)
    for (const { securityContext, resources } of spec.containers) {
      t.same(securityContext, {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] }
      })
      t.match(resources, { requests: { cpu: String, memory: String }, limits: { memory: String } })
    }
  }
})

t.test('this node takes the arguments of every container, and what is run is one of the bundles', async (t) => {
  for (const { args } of podSpecs().flatMap((spec) => spec.containers)) {
    const [entry, ...flags] = [...args].reverse()
    t.match(entry, /^\/app\/(certs-job|webhook|worker)\.js$/)
    const { status, stderr } = spawnSync(process.execPath, [...flags, '--eval', ''], { encoding: 'utf8' })
    t.equal(status, 0, `${flags.join(' ')} ${stderr}`)
  }
})

t.test('the first run of the certificates job is the same as all others', async (t) => {
  const cron = path(ofKind('CronJob')[0], 'spec', 'jobTemplate', 'spec')
  const { ttlSecondsAfterFinished, ...once } = ofKind('Job')[0]?.spec as Record<string, unknown>
  t.same(once, cron)
  t.type(ttlSecondsAfterFinished, 'number', 'a Job that stays could not be applied with another image')
})

t.test('both Deployments: two replicas, probes, and never all of them away', async (t) => {
  for (const deployment of ofKind('Deployment')) {
    t.match(deployment.spec, { replicas: 2, strategy: { type: 'RollingUpdate' } })
    const [container] = (path(deployment.spec, 'template', 'spec') as PodSpec).containers
    t.match(container, {
      livenessProbe: { httpGet: { path: '/livez' } },
      readinessProbe: { httpGet: { path: '/readyz' } }
    })
    t.match(named('PodDisruptionBudget', deployment.metadata.name)?.spec, {
      maxUnavailable: 1,
      selector: path(deployment.spec, 'selector')
    })
  }
})

t.test('every webhook is narrow, quick and without side effects', async (t) => {
  const entries = [
    ...(named('MutatingWebhookConfiguration', WEBHOOK_CONFIGURATION)?.webhooks as Webhook[]),
    ...(named('ValidatingWebhookConfiguration', WEBHOOK_CONFIGURATION)?.webhooks as Webhook[])
  ]
  t.same(
    entries.map(({ name, failurePolicy }) => [name, failurePolicy]),
    [
      ['stamp.sg.amazonaws.com', 'Fail'],
      ['pods.sg.amazonaws.com', 'Fail'],
      ['bindings.sg.amazonaws.com', 'Fail'],
      ['workloads.sg.amazonaws.com', 'Ignore']
    ]
  )
  for (const entry of entries) {
    t.match(entry, {
      admissionReviewVersions: ['v1'],
      sideEffects: 'None',
      matchPolicy: 'Equivalent',
      clientConfig: { service: { namespace: NAMESPACE, name: WEBHOOK_SERVICE, port: 443 } },
      namespaceSelector: {
        matchExpressions: [
          { key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [NAMESPACE, 'kube-system'] }
        ]
      }
    })
    t.ok(Number(entry.timeoutSeconds) <= 5, entry.name)
    const conditions = JSON.stringify(entry.matchConditions)
    t.match(conditions, `k.startsWith(\\"${PREFIX}\\") || k == \\"${LEGACY_BARE_KEY}\\"`, entry.name)
    if (!/^(stamp|pods)/.test(entry.name)) continue
    t.match(conditions, `request.userInfo.username != \\"system:serviceaccount:${NAMESPACE}:${WORKER_ACCOUNT}\\"`)
    t.match(conditions, `\\"${MIRROR_POD_KEY}\\" in object.metadata.annotations`)
  }
})
