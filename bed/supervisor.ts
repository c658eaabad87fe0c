/**
 * The process that is the parent of everything on one bed, in a session of its own.
 *
 * It lives as long as its standard input is open, so a bed ends with whoever started it, however that one ended; once
 * told `stay` there, it lives until it is told to end.
 */
import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BedPlan, Settings } from './bedPlan.ts'
import { serveControl } from './control.ts'
import { startControlPlane, type ControlPlane } from './controlPlane.ts'
import { exportLines, metricsVariables } from './environment.ts'
import { awaitGrant, createFirstGroup, permitFirstGroup } from './firstGroup.ts'
import { answersOk } from './kubeApi.ts'
import { takeLock } from './lock.ts'
import { reservePorts, type PortBlock } from './ports.ts'
import { createProcessTable, VERBS, type ProcessTable, type Verb } from './processTable.ts'
import { awsOf, startProduct, type Product } from './product.ts'
import { programsFolder } from './programs.ts'

/** What a bed says of itself once it is up. */
export interface BedFacts {
  readonly supervisor: number
  readonly environment: Settings
  readonly kubectl: string
  readonly kubeconfig: string
  readonly server: string
  readonly caFile: string
  /** Empty without the simulator. */
  readonly ec2Url: string
}

export interface SupervisorOptions {
  readonly plan: BedPlan
  readonly pid: number
  readonly root: string
  readonly node: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly leash: readonly string[]
  /** Told each step of the start. */
  readonly progress: (line: string) => void
  /** Told what happens later, for the log. */
  readonly tell: (line: string) => void
}

export interface Supervisor {
  /** Settled when all is up; rejected, with nothing left running, when that fails. */
  readonly up: Promise<BedFacts>
  /** Ends everything, once. */
  end(): Promise<void>
  /** Settled when everything has ended. */
  readonly ended: Promise<unknown>
}

/** What has to be given up at the end, latest first. */
type Closers = (() => Promise<void> | void)[]

/** Starts a bed. */
export function superviseBed(options: SupervisorOptions): Supervisor {
  const { tell } = options
  const closers: Closers = []
  const stop = new AbortController()
  const ended = Promise.withResolvers<undefined>()
  let ending: Promise<void> | undefined
  const end = (): Promise<void> => (ending ??= close())
  async function close(): Promise<void> {
    stop.abort(new Error('the bed was told to end'))
    await started.catch(() => undefined)
    for (const closer of closers.reverse()) {
      await Promise.resolve(closer()).catch((error: unknown) => tell(`at the end: ${String(error)}`))
    }
    ended.resolve(undefined)
  }
  const started: Promise<BedFacts> = start(options, closers, stop.signal, () => started, end)
  const up = started.catch(async (error: unknown) => {
    await end()
    throw error
  })
  up.catch(() => undefined)
  return { up, end, ended: ended.promise }
}

async function start(
  options: SupervisorOptions,
  closers: Closers,
  signal: AbortSignal,
  started: () => Promise<BedFacts>,
  end: () => Promise<void>
): Promise<BedFacts> {
  const { plan, pid, progress, tell } = options
  const { directory } = plan
  await mkdir(directory, { recursive: true })
  const release = await takeLock(join(directory, 'lock'), {
    pid,
    signal,
    onWait: (owner) => {
      throw new Error(`a bed is running in ${directory} already (process ${owner})`)
    }
  })
  closers.push(release)
  await removeState(directory)
  closers.push(() => removeState(directory))
  const processes = createProcessTable({ directory, leash: options.leash, tell })
  closers.push(() => processes.killAll())
  // Steps of the start that wait for something give up once the processes have been ended.
  signal.addEventListener('abort', () => void processes.killAll())
  closers.push(await serveControl(directory, handler(processes, started, end)))
  const programs = await programsFolder({ pid, environment: options.environment, progress, signal })
  const ports = await reservePorts()
  closers.push(() => ports.close())
  signal.throwIfAborted()
  const common = { ports, processes, signal, tell: progress }
  const [controlPlane, ec2Url] = await Promise.all([
    startControlPlane({ ...common, directory, programs, kwok: plan.kwok }),
    plan.ec2 ? startEc2(options, ports, processes) : ''
  ])
  closers.push(() => controlPlane.api.close())
  const kubectl = join(programs, 'kubectl')
  let environment: Settings = { KUBECONFIG: controlPlane.kubeconfig }
  if (plan.ec2) environment = { ...environment, ...userAws(ec2Url), CLUSTER_ID: plan.clusterId }
  if (plan.product) {
    const product = await startProduct({ ...options, ...common, kubectl, controlPlane, ec2Url })
    closers.push(() => product.close())
    await controlPlane.settled
    environment = { ...environment, ...(await firstSteps(options, controlPlane, product, ec2Url, signal)) }
  }
  await controlPlane.settled
  await writeEnvironment(directory, environment, kubectl)
  const { server, caFile, kubeconfig } = controlPlane
  return { supervisor: pid, environment, kubectl, kubeconfig, server, caFile, ec2Url }
}

const handler =
  (processes: ProcessTable, started: () => Promise<BedFacts>, end: () => Promise<void>) =>
  async (path: string, body: unknown): Promise<unknown> => {
    if (path === '/facts') return started()
    if (path === '/status') return processes.status()
    if (path === '/down') {
      // The answer must leave before the socket closes: whoever asked then waits for the process to end.
      setImmediate(() => void end())
      return {}
    }
    if (path !== '/run') throw new Error(`the bed does not know ${path}`)
    const { verb, name, environment } = body as { verb: Verb; name: string; environment?: Settings }
    if (!VERBS.includes(verb)) throw new Error(`'${verb}' is none of ${VERBS.join(', ')}`)
    await processes.run(verb, name, environment)
    return {}
  }

async function startEc2(options: SupervisorOptions, ports: PortBlock, processes: ProcessTable): Promise<string> {
  const port = await ports.next()
  const url = `http://127.0.0.1:${port}`
  options.progress('ec2')
  processes.add({
    name: 'ec2',
    command: options.node,
    args: [join(options.root, 'bed', 'ec2', 'main.ts')],
    environment: { PORT: String(port) },
    cwd: options.plan.directory,
    ready: () => answersOk(`${url}/_sim/groups`),
    // It holds its groups in memory: to start it again unasked would hide that they are gone.
    restart: false
  })
  await processes.run('start', 'ec2')
  return url
}

function userAws(ec2Url: string): Settings {
  const {
    AWS_REGION = '',
    AWS_ENDPOINT_URL_EC2 = '',
    AWS_ACCESS_KEY_ID = '',
    AWS_SECRET_ACCESS_KEY = ''
  } = awsOf(ec2Url, 'bed-user')
  return { AWS_REGION, AWS_ENDPOINT_URL_EC2, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY }
}

async function firstSteps(
  { plan, progress }: SupervisorOptions,
  { api }: ControlPlane,
  { balancer, metrics }: Product,
  ec2Url: string,
  signal: AbortSignal
): Promise<Settings> {
  progress('a security group, and a pod that could be granted it')
  const groupId = await createFirstGroup(awsOf(ec2Url, 'bed-user'), plan.clusterId)
  await permitFirstGroup(api, groupId)
  if (plan.webhooks > 0) await awaitGrant(api, groupId, { leader: plan.workers > 0, signal })
  return {
    SECURITY_GROUP_ID: groupId,
    WEBHOOK_ADDR: `127.0.0.1:${balancer.port}`,
    ...metricsVariables(metrics)
  }
}

async function writeEnvironment(directory: string, environment: Settings, kubectl: string): Promise<void> {
  const bin = join(directory, 'bin')
  await mkdir(bin, { recursive: true })
  await symlink(kubectl, join(bin, 'kubectl'))
  await writeFile(join(directory, 'env'), exportLines(environment, bin), { mode: 0o600 })
}

/** Everything but the logs. */
async function removeState(directory: string): Promise<void> {
  for (const name of ['control-plane', 'accounts', 'mounts', 'bin', 'env', 'processes.json']) {
    await rm(join(directory, name), { recursive: true, force: true })
  }
}
