/** etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK: how each is started and when it serves. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { answersOk, connectKubeApi, eventually, KubeError, type KubeApi, type KubeObject } from './kubeApi.ts'
import { kubeconfig } from './kubeconfig.ts'
import type { PortBlock } from './ports.ts'
import type { ProcessSpec, ProcessTable } from './processTable.ts'

/** The pod network, and the service network apart from it. */
export const POD_CIDRS = ['10.64.0.0/16', 'fd00:64::/64'] as const
const SERVICE_CIDR = '10.96.0.0/16'

export interface ControlPlane {
  /** Base URL of the API server. */
  readonly server: string
  /** Certificate that the API server is trusted by, a PEM file. */
  readonly caFile: string
  /** Kubeconfig file of an administrator. */
  readonly kubeconfig: string
  readonly api: KubeApi
  /** Settled once pods can be created in the namespace default and, with KWOK, scheduled. */
  readonly settled: Promise<void>
}

export interface ControlPlaneOptions {
  readonly directory: string
  readonly programs: string
  readonly ports: PortBlock
  readonly processes: ProcessTable
  readonly kwok: boolean
  readonly signal: AbortSignal
  readonly tell: (step: string) => void
}

const ACCOUNTS = {
  admin: ['kube-sg-bed-admin', 'system:masters'],
  'controller-manager': ['system:kube-controller-manager', ''],
  scheduler: ['system:kube-scheduler', ''],
  kwok: ['kwok', 'system:masters']
} as const

type Account = keyof typeof ACCOUNTS

/** Starts the control plane; the API server serves when this returns. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { directory, processes, ports, tell } = options
  const folder = join(directory, 'control-plane')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const tokens = Object.fromEntries(Object.keys(ACCOUNTS).map((name) => [name, randomBytes(16).toString('hex')]))
  await writeCredentials(folder, tokens)
  const etcdPort = await ports.next()
  const apiPort = await ports.next()
  const server = `https://127.0.0.1:${apiPort}`
  const caFile = join(folder, 'apiserver.crt')
  const account = (name: Account) => join(folder, `${name}.kubeconfig`)
  for (const name of Object.keys(ACCOUNTS) as Account[]) {
    await writeFile(account(name), kubeconfig({ server, caFile, token: tokens[name] ?? '' }), { mode: 0o600 })
  }
  let api: KubeApi | undefined
  const asked = (path: string) => async (): Promise<boolean> => {
    api ??= await readFile(caFile, 'utf8').then(
      (ca) => connectKubeApi(server, ca, tokens.admin ?? ''),
      () => undefined
    )
    return api !== undefined && (await api.answers(path))
  }

  processes.add(etcd(options, folder, etcdPort))
  processes.add({ ...apiserver(options, folder, etcdPort, apiPort), ready: asked('/readyz') })
  const rest = controllers(options, folder, account)
  if (options.kwok) rest.push(kwok(options, await ports.next(), account('kwok')))
  for (const spec of rest) processes.add(spec)

  tell('etcd and kube-apiserver')
  await Promise.all([processes.run('start', 'etcd'), processes.run('start', 'apiserver')])
  if (api === undefined) throw new Error('the API server is ready but left no certificate')
  tell(rest.map(({ name }) => name).join(', '))
  const settled = startRest(api, options, rest)
  settled.catch(() => undefined)
  return { server, caFile, kubeconfig: account('admin'), api, settled }
}

async function writeCredentials(folder: string, tokens: Readonly<Record<string, string>>): Promise<void> {
  const lines = Object.entries(ACCOUNTS).map(([name, [user, groups]]) => `${tokens[name]},${user},${name},"${groups}"`)
  await writeFile(join(folder, 'tokens.csv'), `${lines.join('\n')}\n`, { mode: 0o600 })
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' }
  })
  await writeFile(join(folder, 'service-accounts.key'), privateKey, { mode: 0o600 })
  await writeFile(join(folder, 'service-accounts.pub'), publicKey)
  await mkdir(join(folder, 'etcd'), { recursive: true })
  await chmod(join(folder, 'etcd'), 0o700)
}

const program = (options: ControlPlaneOptions, name: string, file: string, args: readonly string[]): ProcessSpec => ({
  name,
  command: join(options.programs, file),
  args,
  environment: {},
  cwd: options.directory,
  restart: true
})

const etcd = (options: ControlPlaneOptions, folder: string, port: number): ProcessSpec => {
  const url = `http://127.0.0.1:${port}`
  return {
    ...program(options, 'etcd', 'etcd', [
      `--data-dir=${join(folder, 'etcd')}`,
      `--listen-client-urls=${url}`,
      `--advertise-client-urls=${url}`,
      '--listen-peer-urls=http://127.0.0.1:0',
      '--unsafe-no-fsync',
      '--log-level=warn'
    ]),
    ready: () => answersOk(`${url}/health`)
  }
}

const apiserver = (options: ControlPlaneOptions, folder: string, etcdPort: number, port: number): ProcessSpec =>
  program(options, 'apiserver', 'kube-apiserver', [
    `--etcd-servers=http://127.0.0.1:${etcdPort}`,
    `--cert-dir=${folder}`,
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    '--advertise-address=127.0.0.1',
    '--endpoint-reconciler-type=none',
    `--service-cluster-ip-range=${SERVICE_CIDR}`,
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${join(folder, 'service-accounts.pub')}`,
    `--service-account-signing-key-file=${join(folder, 'service-accounts.key')}`,
    `--token-auth-file=${join(folder, 'tokens.csv')}`,
    '--authorization-mode=RBAC',
    '--allow-privileged=true',
    '--profiling=false'
  ])

function controllers(options: ControlPlaneOptions, folder: string, account: (name: Account) => string): ProcessSpec[] {
  // At the usual 20 calls a second the controller manager needs 6 s to make its controllers' accounts.
  const common = ['--leader-elect=false', '--profiling=false', '--kube-api-qps=1000', '--kube-api-burst=2000']
  return [
    {
      ...program(options, 'controller-manager', 'kube-controller-manager', [
        `--kubeconfig=${account('controller-manager')}`,
        `--service-account-private-key-file=${join(folder, 'service-accounts.key')}`,
        `--root-ca-file=${join(folder, 'apiserver.crt')}`,
        '--use-service-account-credentials',
        '--secure-port=0',
        ...common
      ]),
      ready: () => Promise.resolve(true)
    },
    {
      ...program(options, 'scheduler', 'kube-scheduler', [
        `--kubeconfig=${account('scheduler')}`,
        '--secure-port=0',
        ...common
      ]),
      ready: () => Promise.resolve(true)
    }
  ]
}

const kwok = (options: ControlPlaneOptions, port: number, account: string): ProcessSpec => ({
  ...program(options, 'kwok', 'kwok', [
    `--kubeconfig=${account}`,
    `--config=${join(import.meta.dirname, 'kwok', 'stages.yaml')}`,
    '--manage-all-nodes',
    `--cidr=${POD_CIDRS[0]}`,
    '--node-ip=10.63.0.1',
    // With leases, a KWOK that was killed would keep its successor from the nodes until they expire.
    '--node-lease-duration-seconds=0',
    `--server-address=127.0.0.1:${port}`
  ]),
  ready: () => answersOk(`http://127.0.0.1:${port}/healthz`)
})

async function createNodes(api: KubeApi): Promise<void> {
  const text = await readFile(join(import.meta.dirname, 'kwok', 'nodes.yaml'), 'utf8')
  for (const document of parseAllDocuments(text)) {
    await api.call('POST', '/api/v1/nodes', document.toJS()).catch((error: unknown) => {
      if (!(error instanceof KubeError && error.reason === 'AlreadyExists')) throw error
    })
  }
}

async function startRest(api: KubeApi, options: ControlPlaneOptions, specs: readonly ProcessSpec[]): Promise<void> {
  const nodes = options.kwok ? createNodes(api) : Promise.resolve()
  await Promise.all([nodes, ...specs.map(({ name }) => options.processes.run('start', name))])
  await awaitPods(api, options)
}

/** A pod is refused before its service account exists, and is not scheduled while the nodes are tainted not-ready. */
async function awaitPods(api: KubeApi, { kwok, signal }: ControlPlaneOptions): Promise<void> {
  await eventually(
    'the service account of the namespace default',
    () => api.call('GET', '/api/v1/namespaces/default/serviceaccounts/default'),
    { signal }
  )
  if (!kwok) return
  await eventually(
    'the nodes to be ready and untainted',
    async () => {
      const { items } = (await api.call('GET', '/api/v1/nodes')) as unknown as { items: KubeObject[] }
      const tainted = items.some((node) => ((node.spec as { taints?: unknown[] }).taints ?? []).length > 0)
      return items.length > 0 && !tainted ? true : undefined
    },
    { signal }
  )
}
