/** etcd, kube-apiserver, kube-controller-manager, kube-scheduler and KWOK: how each is started and when it serves. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { prepareAudit } from './audit.ts'
import { answersOk, connectKubeApi, type KubeApi } from './kubeApi.ts'
import { kubeconfig } from './kubeconfig.ts'
import { awaitPods, createNodes } from './nodes.ts'
import type { PortBlock } from './ports.ts'
import type { ProcessSpec, ProcessTable } from './processTable.ts'

/** The pod network, and the service network apart from it. */
export const POD_CIDRS = ['10.64.0.0/16', 'fd00:64::/64'] as const
const SERVICE_CIDR = '10.96.0.0/16'

export interface ControlPlane {
  /** Base URL of the API server. */
  readonly server: string
  /** Base URL of etcd, which serves its API as JSON there too. */
  readonly etcd: string
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
  readonly audit: boolean
  readonly signal: AbortSignal
  readonly tell: (step: string) => void
}

/** Who speaks to the API server by a token of its own. */
const ACCOUNTS = {
  admin: { user: 'kube-sg-bed-admin', groups: 'system:masters' },
  'controller-manager': { user: 'system:kube-controller-manager', groups: '' },
  scheduler: { user: 'system:kube-scheduler', groups: '' },
  kwok: { user: 'kwok', groups: 'system:masters' }
} as const

/** Starts the control plane; the API server serves when this returns. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { processes, ports, tell } = options
  const folder = join(options.directory, 'control-plane')
  const etcdPort = await ports.next()
  const apiPort = await ports.next()
  const server = `https://127.0.0.1:${apiPort}`
  const caFile = join(folder, 'apiserver.crt')
  const adminToken = await writeCredentials(folder, server, caFile)
  const audit = options.audit ? await prepareAudit(options.directory) : []
  const door = awaitDoor(server, caFile, adminToken)
  processes.add(etcd(options, folder, etcdPort))
  processes.add({ ...apiserver(options, folder, etcdPort, apiPort, audit), ready: door.open })
  const rest = controllers(options, folder)
  if (options.kwok) rest.push(kwok(options, await ports.next(), kubeconfigOf(folder, 'kwok')))
  for (const spec of rest) processes.add(spec)

  tell('etcd and kube-apiserver')
  await Promise.all([processes.run('start', 'etcd'), processes.run('start', 'apiserver')])
  const api = door.api()
  tell(rest.map(({ name }) => name).join(', '))
  const settled = startRest(api, options, rest)
  settled.catch(() => undefined)
  return {
    server,
    etcd: `http://127.0.0.1:${etcdPort}`,
    caFile,
    kubeconfig: kubeconfigOf(folder, 'admin'),
    api,
    settled
  }
}

async function startRest(api: KubeApi, options: ControlPlaneOptions, specs: readonly ProcessSpec[]): Promise<void> {
  const nodes = options.kwok ? createNodes(api) : Promise.resolve()
  await Promise.all([nodes, ...specs.map(({ name }) => options.processes.run('start', name))])
  await awaitPods(api, options.kwok, options.signal)
}

/** The API server makes its certificate at its first start: only then can it be asked anything. */
function awaitDoor(
  server: string,
  caFile: string,
  token: string
): { open: () => Promise<boolean>; api: () => KubeApi } {
  let served: KubeApi | undefined
  return {
    async open() {
      if (served !== undefined) return served.answers('/readyz')
      const ca = await readFile(caFile, 'utf8').catch(() => undefined)
      if (ca === undefined) return false
      const api = connectKubeApi(server, ca, token)
      if (await api.answers('/readyz')) served = api
      else await api.close()
      return served !== undefined
    },
    api() {
      if (served === undefined) throw new Error('the API server was never asked whether it is ready')
      return served
    }
  }
}

const kubeconfigOf = (folder: string, account: keyof typeof ACCOUNTS): string => join(folder, `${account}.kubeconfig`)

/** @returns the administrator's token */
async function writeCredentials(folder: string, server: string, caFile: string): Promise<string> {
  await mkdir(join(folder, 'etcd'), { recursive: true, mode: 0o700 })
  const names = Object.keys(ACCOUNTS) as (keyof typeof ACCOUNTS)[]
  const tokens = new Map(names.map((name) => [name, randomBytes(16).toString('hex')]))
  const lines = [...tokens].map(([name, token]) => `${token},${ACCOUNTS[name].user},${name},"${ACCOUNTS[name].groups}"`)
  await writeFile(join(folder, 'tokens.csv'), `${lines.join('\n')}\n`, { mode: 0o600 })
  for (const [name, token] of tokens) {
    await writeFile(kubeconfigOf(folder, name), kubeconfig({ server, caFile, token }), { mode: 0o600 })
  }
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' }
  })
  await writeFile(join(folder, 'service-accounts.key'), privateKey, { mode: 0o600 })
  await writeFile(join(folder, 'service-accounts.pub'), publicKey)
  return tokens.get('admin') ?? ''
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

const apiserver = (
  options: ControlPlaneOptions,
  folder: string,
  etcdPort: number,
  port: number,
  flags: readonly string[]
): ProcessSpec =>
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
    ...flags
  ])

function controllers(options: ControlPlaneOptions, folder: string): ProcessSpec[] {
  // At the usual 20 calls a second the controller manager needs 6 s to make its controllers' accounts.
  const common = ['--leader-elect=false', '--secure-port=0', '--kube-api-qps=1000', '--kube-api-burst=2000']
  return [
    {
      ...program(options, 'controller-manager', 'kube-controller-manager', [
        `--kubeconfig=${kubeconfigOf(folder, 'controller-manager')}`,
        `--service-account-private-key-file=${join(folder, 'service-accounts.key')}`,
        `--root-ca-file=${join(folder, 'apiserver.crt')}`,
        '--use-service-account-credentials',
        ...common
      ]),
      ready: () => Promise.resolve(true)
    },
    {
      ...program(options, 'scheduler', 'kube-scheduler', [
        `--kubeconfig=${kubeconfigOf(folder, 'scheduler')}`,
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
