/** kube-sg itself on the bed: the shipped manifests, and each Deployment's replicas as processes of this host. */
import { join } from 'node:path'
import { issueAccounts, type Accounts } from './accounts.ts'
import { awaitBackstop } from './backstop.ts'
import { startBalancer, type Balancer } from './balancer.ts'
import type { BedPlan, Settings } from './bedPlan.ts'
import { bundleInto } from './bundles.ts'
import { POD_CIDRS, type ControlPlane } from './controlPlane.ts'
import { AWS_APART, awsOf, REGION } from './ec2Process.ts'
import { answersOk, type KubeObject } from './kubeApi.ts'
import { applyBy } from './kubectl.ts'
import { environmentOf, onThisHost, readManifests, workloadOf, type Workload } from './manifests.ts'
import { manifestFiles } from './manifestFiles.ts'
import { followMounts, type Mount } from './mounts.ts'
import type { PortBlock } from './ports.ts'
import type { ProcessSpec, ProcessTable } from './processTable.ts'

const NAMESPACE = 'kube-sg'

const bundlesOf = ({ directory }: BedPlan): string => join(directory, 'bundles')

export interface Product {
  readonly balancer: Balancer
  /** Metrics URL of each process, by its name on the bed. */
  readonly metrics: ReadonlyMap<string, string>
  close(): Promise<void>
}

export interface ProductOptions {
  readonly plan: BedPlan
  /** The supervisor. */
  readonly pid: number
  readonly root: string
  readonly node: string
  /** Program file of kubectl. */
  readonly kubectl: string
  readonly controlPlane: ControlPlane
  readonly ports: PortBlock
  readonly processes: ProcessTable
  readonly ec2Url: string
  readonly signal: AbortSignal
  readonly tell: (step: string) => void
}

/** Installs kube-sg as its user would, and returns once every replica is ready. */
export async function startProduct(options: ProductOptions): Promise<Product> {
  const { plan, controlPlane, processes, tell } = options
  const balancerPort = await options.ports.next()
  const [{ workloads, checked }] = await Promise.all([
    applyManifests(options, balancerPort),
    bundleInto(bundlesOf(plan), options)
  ])
  const accounts = issueAccounts(controlPlane.api, { ...controlPlane, directory: plan.directory, tell })
  const parts = await layOutProcesses(options, workloads, accounts)
  for (const spec of parts.specs) processes.add(spec)

  tell(`certs-job, ${plan.webhooks} webhook and ${plan.workers} worker processes`)
  const started = (kind: string): Promise<unknown> =>
    Promise.all(parts.specs.flatMap(({ name }) => (name.startsWith(kind) ? [processes.run('start', name)] : [])))
  const balancer = await startBalancer({ port: balancerPort, replicas: parts.replicas, delay: plan.balancerDelay })
  let endMounts = (): Promise<void> => Promise.resolve()
  const close = async (): Promise<void> => {
    accounts.close()
    await Promise.all([endMounts(), balancer.close()])
  }
  const serve = async (): Promise<void> => {
    await processes.run('start', 'certs-job')
    endMounts = await followMounts(controlPlane.api, parts.mounts, { period: 1000, tell })
    await started('webhook-')
  }
  try {
    await Promise.all([checked, serve(), started('worker-')])
  } catch (error) {
    await close()
    throw error
  }
  return { balancer, metrics: parts.metrics, close }
}

/** What the user of kube-sg says of their cluster, where the manifests ask for it. */
const userConfigMap = (plan: BedPlan): KubeObject & { readonly data: Settings } => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name: 'kube-sg', namespace: NAMESPACE },
  data: { CLUSTER_ID: plan.clusterId, AWS_REGION: REGION, POD_CIDRS: POD_CIDRS.join(',') }
})

async function applyManifests(
  { plan, root, controlPlane, kubectl, signal, tell }: ProductOptions,
  port: number
): Promise<{ workloads: readonly KubeObject[]; checked: Promise<unknown> }> {
  tell('manifests')
  const folder = join(root, 'manifests')
  const { objects, workloads } = readManifests(await manifestFiles(folder))
  const administrator = { kubectl, kubeconfig: controlPlane.kubeconfig }
  const apply = (some: readonly KubeObject[]): Promise<unknown> =>
    applyBy(
      administrator,
      some.map((object) => onThisHost(object, port))
    )
  await apply([...objects, userConfigMap(plan)])
  if (plan.backstop) {
    tell('policies')
    for (const each of [join(folder, 'backstop'), join(folder, 'backstop', 'webhooks')])
      await apply(readManifests(await manifestFiles(each)).objects)
    await awaitBackstop(controlPlane.api, signal)
  }
  const checked = applyBy(administrator, workloads, '--dry-run=server')
  checked.catch(() => undefined)
  return { workloads, checked }
}

interface Parts {
  readonly specs: ProcessSpec[]
  readonly mounts: Mount[]
  readonly replicas: { readonly port: number; readonly readyUrl: string }[]
  readonly metrics: Map<string, string>
}

const COMPONENTS: Readonly<Record<string, { bundle: string; kind: 'webhook' | 'worker' | 'certs' }>> = {
  'kube-sg-webhook': { bundle: 'webhook', kind: 'webhook' },
  'kube-sg-worker': { bundle: 'worker', kind: 'worker' },
  'kube-sg-certs': { bundle: 'certs-job', kind: 'certs' }
}

async function layOutProcesses(
  options: ProductOptions,
  objects: readonly KubeObject[],
  accounts: Accounts
): Promise<Parts> {
  const parts: Parts = { specs: [], mounts: [], replicas: [], metrics: new Map() }
  // A Job in the manifests only runs the CronJob's template once, at install: the bed does that by itself.
  for (const workload of objects.filter(({ kind }) => kind !== 'Job').map(workloadOf)) {
    const component = COMPONENTS[workload.name]
    if (component === undefined) throw new Error(`the bed does not know what the workload ${workload.name} starts`)
    const kubeconfigPath = await accounts.kubeconfigOf(workload.namespace, workload.serviceAccount)
    const { plan } = options
    if (component.kind === 'certs') {
      parts.specs.push(processOf(options, component.bundle, 'certs-job', workload, kubeconfigPath, plan.settings.certs))
      continue
    }
    const count = component.kind === 'webhook' ? plan.webhooks : plan.workers
    for (let index = 0; index < count; index++) {
      await addReplica(options, parts, { workload, kubeconfigPath, index, ...component, kind: component.kind })
    }
  }
  return parts
}

interface ReplicaOf {
  readonly workload: Workload
  readonly kubeconfigPath: string
  readonly index: number
  readonly bundle: string
  readonly kind: 'webhook' | 'worker'
}

async function addReplica(
  options: ProductOptions,
  parts: Parts,
  { workload, kubeconfigPath, index, bundle, kind }: ReplicaOf
): Promise<void> {
  const { plan, ports } = options
  const name = `${kind}-${index}`
  const health = await ports.next()
  const port = kind === 'webhook' ? await ports.next() : undefined
  const own: Settings = {
    HEALTH_PORT: String(health),
    ...(port === undefined ? { ...awsOf(options.ec2Url, 'bed-worker'), ...AWS_APART } : { PORT: String(port) }),
    ...plan.settings[kind]
  }
  const spec = processOf(options, bundle, name, workload, kubeconfigPath, own)
  parts.specs.push({ ...spec, restart: true, ready: () => answersOk(`http://127.0.0.1:${health}/readyz`) })
  parts.metrics.set(name, `http://127.0.0.1:${health}/metrics`)
  for (const { secret, volume } of workload.secrets) {
    parts.mounts.push({
      namespace: workload.namespace,
      secret,
      directory: join(plan.directory, 'mounts', name, volume)
    })
  }
  if (port !== undefined) parts.replicas.push({ port, readyUrl: `http://127.0.0.1:${health}/readyz` })
}

function processOf(
  { plan, node }: ProductOptions,
  bundle: string,
  name: string,
  workload: Workload,
  kubeconfigPath: string,
  own: Settings
): ProcessSpec {
  const given = environmentOf(workload, `${workload.name}-${name}`, { 'kube-sg': userConfigMap(plan).data })
  // Where the container sees a mounted Secret, this host has a folder of the replica's own.
  for (const { mountPath, volume } of workload.secrets) {
    for (const [key, value] of Object.entries(given)) {
      if (value === mountPath) given[key] = join(plan.directory, 'mounts', name, volume)
    }
  }
  return {
    name,
    command: node,
    args: [join(bundlesOf(plan), `${bundle}.js`), ...workload.args],
    environment: { ...given, KUBECONFIG: kubeconfigPath, ...own },
    cwd: plan.directory,
    restart: false
  }
}
