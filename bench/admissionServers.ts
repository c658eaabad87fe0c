/** The servers under measurement, each a process of its own: the webhook as it ships, and the bare one beside it. */
import { fork, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { files, mount, selfSigned } from '../webhook/tlsFixture.ts'
import type { TestPair } from '../webhook/tlsFixture.ts'
import type { Counted, Round } from './admissionLoad.ts'
import { shippedArguments, shippedEnvironment } from './shippedEnvironment.ts'

const ROOT = join(import.meta.dirname, '..')
const MANIFEST = '30-webhook.yaml'

export interface MeasuredServer {
  readonly pid: number
  readonly port: number
  /** Milliseconds from the start of the process to its first answer of `ready`; of the bare one, to its listening. */
  readonly startMs: number
  /** Seconds of CPU that the process has used in all the threads that it has. */
  cpuSeconds(): Promise<number>
  /** MiB resident, and the most that ever were. */
  memory(): Promise<{ readonly resident: number; readonly peak: number }>
  end(): void
}

export interface Arena {
  readonly ca: string
  bare(): Promise<MeasuredServer>
  /** From the bundle, with its own logging, metrics and certificate watch. */
  webhook(): Promise<MeasuredServer>
  load(round: Omit<Round, 'ca'>): Promise<Counted>
  close(): Promise<void>
}

/** Bundles the webhook, and starts what it asks for permission: an API server that permits everything. */
export async function openArena(): Promise<Arena> {
  const directory = await mkdtemp(join(tmpdir(), 'kube-sg-bench-'))
  await finish(spawn(process.execPath, [join(ROOT, 'scripts/bundle.ts'), join(directory, 'dist')], { cwd: ROOT }))
  const pair = await selfSigned('localhost')
  const permitting = await startPermitting()
  const kubeconfig = join(directory, 'kubeconfig')
  await writeFile(kubeconfig, kubeconfigOf(permitting.port))
  const client = fork(join(import.meta.dirname, 'admissionLoad.ts'))
  const children: ChildProcess[] = [client]
  return {
    ca: pair.cert,
    async bare() {
      const startedAt = performance.now()
      const { child, port } = await spawnBare(pair)
      children.push(child)
      return measured(child, port, performance.now() - startedAt)
    },
    async webhook() {
      const { child, ready } = await spawnWebhook(directory, pair, kubeconfig)
      const startedAt = performance.now()
      children.push(child)
      const port = await ready()
      return measured(child, port, performance.now() - startedAt)
    },
    load: (round) => askLoad(client, { ...round, ca: pair.cert }),
    async close() {
      for (const child of children) child.kill('SIGKILL')
      permitting.close()
      await rm(directory, { recursive: true, force: true })
    }
  }
}

/** Started, and listening; its heap and its malloc are set as the webhook's are. */
export async function spawnBare(pair: TestPair, more: Readonly<Record<string, string>> = {}) {
  const bare = [...(await shippedArguments(MANIFEST)), join(import.meta.dirname, 'admissionBare.ts')]
  const child = spawn(process.execPath, bare, {
    env: {
      ...process.env,
      ...(await shippedEnvironment(MANIFEST)),
      BARE_CERT: pair.cert,
      BARE_KEY: pair.key,
      ...more
    },
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  return { child, port: (JSON.parse(line.toString()) as { port: number }).port }
}

let webhooks = 0

async function spawnWebhook(directory: string, pair: TestPair, kubeconfig: string) {
  const tls = join(directory, `tls-${++webhooks}`)
  const log = join(directory, `webhook-${webhooks}.log`)
  await mkdir(tls)
  await mount(tls, files(pair))
  const [port, health] = [await freePort(), await freePort()]
  const env = {
    ...(await shippedEnvironment(MANIFEST)),
    KUBECONFIG: kubeconfig,
    TLS_DIR: tls,
    PORT: String(port),
    HEALTH_PORT: String(health),
    PATH: process.env.PATH
  }
  const output = await open(log, 'w')
  const bundle = [...(await shippedArguments(MANIFEST)), join(directory, 'dist/webhook.js')]
  const child = spawn(process.execPath, bundle, {
    env,
    stdio: ['ignore', output.fd, 'inherit']
  })
  await output.close()
  const ready = async (): Promise<number> => {
    for (;;) {
      if (child.exitCode !== null) throw new Error(`the webhook ended: ${await readFile(log, 'utf8')}`)
      if (await isReady(health)) return port
      await sleep(2)
    }
  }
  return { child, ready }
}

const isReady = (health: number): Promise<boolean> =>
  fetch(`http://127.0.0.1:${health}/readyz`).then(
    ({ ok }) => ok,
    () => false
  )

function measured(child: ChildProcess, port: number, startMs: number): MeasuredServer {
  const { pid = 0 } = child
  const read = (name: string): Promise<string> => readFile(`/proc/${pid}/${name}`, 'utf8')
  return {
    pid,
    port,
    startMs,
    async cpuSeconds() {
      const threads = await readdir(`/proc/${pid}/task`)
      const times = await Promise.all(threads.map((thread) => read(`task/${thread}/schedstat`)))
      return times.reduce((sum, text) => sum + Number(text.split(' ')[0]), 0) / 1e9
    },
    async memory() {
      const status = await read('status')
      const mib = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024
      return { resident: mib('VmRSS'), peak: mib('VmHWM') }
    },
    end: () => void child.kill('SIGKILL')
  }
}

async function askLoad(client: ChildProcess, round: Round): Promise<Counted> {
  const answer = once(client, 'message') as Promise<[Counted & { readonly error?: string }]>
  client.send(round)
  const [counted] = await answer
  if (counted.error !== undefined) throw new Error(`the load could not be made: ${counted.error}`)
  return counted
}

async function startPermitting(): Promise<{ port: number; close: () => void }> {
  const server = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(201, { 'content-type': 'application/json' })
      response.end(JSON.stringify({ kind: 'SubjectAccessReview', status: { allowed: true } }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { port: (server.address() as AddressInfo).port, close: () => server.close().closeAllConnections() }
}

const kubeconfigOf = (port: number): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'bench', cluster: { server: `http://127.0.0.1:${port}`, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'bench', user: { token: 'bench' } }],
    contexts: [{ name: 'bench', context: { cluster: 'bench', user: 'bench' } }],
    'current-context': 'bench'
  })

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function finish(child: ChildProcess): Promise<void> {
  const [code] = (await once(child, 'exit')) as [number | null]
  if (code !== 0)
    throw new Error(`the bundle could not be made (exit ${String(code)}): run 'npm run bundle' to see why`)
}
