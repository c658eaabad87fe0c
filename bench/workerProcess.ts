/** The worker as it ships: one bundled file, run as a process of its own, and what it costs. */
import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { eventually } from '../bed/bed.ts'
import { AWS_APART, awsOf, REGION } from '../bed/ec2Process.ts'
import { shippedArguments, shippedEnvironment } from './shippedEnvironment.ts'

export interface BenchedWorker {
  readonly pid: number
  /** When it was started, in milliseconds since 1970. */
  readonly startedAt: number
  /** Resolves with the first line of its log that says so. */
  logged(message: string): Promise<void>
  /** The sum of a metric over all its labels. */
  metric(name: string): Promise<number>
  /** Where its inspector listens. */
  inspectorUrl(): Promise<string>
  /** Bytes of its heap right after a full collection. */
  heap(): Promise<number>
  stop(): Promise<void>
}

export interface WorkerOptions {
  /** Of the bundled file. */
  readonly file: string
  readonly apiUrl: string
  readonly ec2Url: string
  readonly settings?: Readonly<Record<string, string>>
  /** Appended to what the Deployment sets. */
  readonly nodeOptions?: string
}

export const CLUSTER_ID = 'bench'

/** Bundles as the image does. @returns the folder of the bundles, to be removed */
export async function bundle(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'kube-sg-bench-'))
  await promisify(execFile)(process.execPath, ['scripts/bundle.ts', folder], { cwd: join(import.meta.dirname, '..') })
  return folder
}

export async function startWorker({
  apiUrl,
  ec2Url,
  file,
  nodeOptions,
  settings
}: WorkerOptions): Promise<BenchedWorker> {
  const folder = await mkdtemp(join(tmpdir(), 'kube-sg-bench-'))
  const kubeconfig = join(folder, 'kubeconfig')
  await writeFile(kubeconfig, kubeconfigOf(apiUrl))
  const shipped = await shippedEnvironment('40-worker.yaml')
  const startedAt = Date.now()
  const child = spawn(process.execPath, [...(await shippedArguments('40-worker.yaml')), file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...awsOf(ec2Url, 'bench'),
      ...AWS_APART,
      AWS_REGION: REGION,
      CLUSTER_ID,
      HEALTH_PORT: '0',
      KUBECONFIG: kubeconfig,
      NODE_ENV: 'production',
      ...shipped,
      NODE_OPTIONS: `${shipped.NODE_OPTIONS ?? ''} --inspect-port=0 ${nodeOptions ?? ''}`,
      POD_CIDRS: '10.64.0.0/10,fd00:64::/32',
      ...settings
    }
  })
  const seen = new Map<string, Record<string, unknown>>()
  let ended: string | undefined
  let inspector: string | undefined
  createInterface(child.stdout).on('line', (line) => {
    const said = JSON.parse(line) as Record<string, unknown>
    if (typeof said.msg === 'string' && !seen.has(said.msg)) seen.set(said.msg, said)
    if (said.level === 'error' || said.level === 'fatal') process.stderr.write(`  worker: ${line.slice(0, 500)}\n`)
  })
  createInterface(child.stderr).on('line', (line) => {
    const url = /^Debugger listening on (ws:\S+)/.exec(line)?.[1]
    if (url !== undefined) inspector = url
    else if (!/^(For help|Debugger (attached|ending))/.test(line)) process.stderr.write(`  worker: ${line}\n`)
  })
  const exited = new Promise<void>((resolve) =>
    child.on('exit', (code, signal) => resolve(void (ended = String(code ?? signal))))
  )
  const until = <T>(what: string, ask: () => T | undefined): Promise<T> =>
    eventually(
      what,
      () => {
        if (ended !== undefined) throw new Error(`the worker has ended: ${ended}`)
        return ask()
      },
      { within: 600_000, every: 5 }
    )
  const healthPort = (): Promise<number> =>
    until('its health port', () => seen.get('worker started')?.healthPort as number | undefined)
  const inspectorUrl = (): Promise<string> => {
    if (inspector === undefined) child.kill('SIGUSR1')
    return until('its inspector', () => inspector)
  }
  return {
    pid: child.pid ?? 0,
    startedAt,
    async logged(message) {
      await until(`the worker to say '${message}'`, () => seen.get(message))
    },
    async metric(name) {
      const answer = await fetch(`http://127.0.0.1:${await healthPort()}/metrics`)
      const lines = (await answer.text())
        .split('\n')
        .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0)
    },
    inspectorUrl,
    heap: async () => collectedHeap(await inspectorUrl()),
    async stop() {
      child.kill('SIGTERM')
      await exited
      await rm(folder, { recursive: true, force: true })
    }
  }
}

async function collectedHeap(url: string): Promise<number> {
  const socket = new WebSocket(url)
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve, { once: true })
    socket.addEventListener('error', reject, { once: true })
  })
  let id = 0
  const ask = (method: string): Promise<{ usedSize?: number }> =>
    new Promise((resolve) => {
      const mine = ++id
      socket.addEventListener('message', ({ data }) => {
        const answer = JSON.parse(String(data)) as { id?: number; result: { usedSize?: number } }
        if (answer.id === mine) resolve(answer.result)
      })
      socket.send(JSON.stringify({ id: mine, method }))
    })
  await ask('HeapProfiler.collectGarbage')
  const { usedSize } = await ask('Runtime.getHeapUsage')
  socket.close()
  return usedSize ?? NaN
}

const kubeconfigOf = (server: string): string =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: { token: 'bench' } }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }]
  })
