/** A bed for tests and the demo: a real control plane, EC2, and kube-sg on it. It ends with the process that starts it. */
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { issueToken } from './accounts.ts'
import { planBed, type BedOptions, type Settings } from './bedPlan.ts'
import { askBed } from './control.ts'
import { connectKubeApi, type KubeApi, type KubeObject } from './kubeApi.ts'
import { applyBy, runKubectl, type Answer } from './kubectl.ts'
import { kubeconfig } from './kubeconfig.ts'
import type { ProcessStatus, Verb } from './processTable.ts'
import { simulatorClient, type SimulatorClient } from './simulator.ts'
import { ROOT, startSupervisor } from './starter.ts'
import type { BedFacts } from './raise.ts'

export type { Answer } from './kubectl.ts'
export type { BedOptions } from './bedPlan.ts'
export { eventually, KubeError, type KubeObject } from './kubeApi.ts'

export interface Bed extends SimulatorClient {
  readonly directory: string
  /** As in its `env` file. */
  readonly env: Settings
  /** Kubeconfig file of an administrator. */
  readonly kubeconfig: string
  readonly server: string
  /** etcd's client address; it serves its API as JSON under /v3/. */
  readonly etcdUrl: string
  readonly caFile: string
  readonly ec2Url: string
  /** Program file of kubectl. */
  readonly kubectlPath: string
  /** The Kubernetes API as the administrator. */
  readonly api: KubeApi
  /** Returns when it is so; `environment` holds from then on, on top of what the process was given. */
  ctl(verb: Verb, name: string, environment?: Settings): Promise<void>
  status(): Promise<readonly ProcessStatus[]>
  /** Runs kubectl as the administrator, or with another kubeconfig given in `args`. */
  kubectl(args: readonly string[], input?: string): Promise<Answer>
  /** kubectl apply of YAML text or objects. @throws Error with what kubectl said */
  apply(what: string | KubeObject | readonly KubeObject[]): Promise<string>
  /** A kubeconfig file of a service account, `namespace/name`, good for 10 hours. */
  tokenKubeconfig(serviceAccount: string): Promise<string>
  /** The log of a process so far. */
  log(name: string): Promise<string>
  /** Ends everything of this bed, and removes its directory. */
  readonly stop: () => Promise<void>
}

export interface StartBedOptions extends BedOptions {
  /** Told each step of the start. */
  readonly progress?: (line: string) => void
}

/** Starts a bed that lives no longer than this process. A cold cache makes the first one wait for a build of minutes. */
export async function startBed(options: StartBedOptions = {}): Promise<Bed> {
  const name = options.name ?? `t-${randomBytes(4).toString('hex')}`
  const directory = options.directory ?? join(ROOT, '.run', name)
  const plan = planBed({ ...options, name, directory })
  const started = await startSupervisor(plan, { life: 'bound', progress: options.progress ?? (() => undefined) })
  const bed = await attach(directory, started.facts)
  return {
    ...bed,
    async stop() {
      await bed.api.close()
      await started.end()
      await rm(directory, { recursive: true, force: true })
    }
  }
}

/** The bed that runs in `directory`, started by another process; to `stop` it here is to end it. @throws NoBed */
export async function attachToBed(directory: string): Promise<Bed> {
  return attach(directory, (await askBed(directory, '/facts')) as BedFacts)
}

async function attach(directory: string, facts: BedFacts): Promise<Bed> {
  const config = await readFile(facts.kubeconfig, 'utf8')
  const token = (JSON.parse(config) as { users: [{ user: { token: string } }] }).users[0].user.token
  const api = connectKubeApi(facts.server, await readFile(facts.caFile, 'utf8'), token)
  return {
    ...simulatorClient(facts.ec2Url),
    directory,
    env: facts.environment,
    kubeconfig: facts.kubeconfig,
    server: facts.server,
    etcdUrl: facts.etcdUrl,
    caFile: facts.caFile,
    ec2Url: facts.ec2Url,
    kubectlPath: facts.kubectl,
    api,
    async ctl(verb, name, environment) {
      await askBed(directory, '/run', { verb, name, environment })
    },
    status: async () => (await askBed(directory, '/status')) as ProcessStatus[],
    kubectl: (args, input) => runKubectl(facts, args, input),
    apply: (what) => applyBy(facts, what),
    tokenKubeconfig: (account) => writeTokenKubeconfig(api, facts, directory, account),
    log: (name) => readFile(join(directory, 'logs', `${name}.log`), 'utf8'),
    async stop() {
      await api.close()
      await askBed(directory, '/down')
    }
  }
}

async function writeTokenKubeconfig(
  api: KubeApi,
  facts: BedFacts,
  directory: string,
  serviceAccount: string
): Promise<string> {
  const [namespace = '', name = ''] = serviceAccount.split('/')
  const token = await issueToken(api, namespace, name, 36_000)
  const folder = join(directory, 'accounts')
  await mkdir(folder, { recursive: true })
  const path = join(folder, `${namespace}.${name}.${randomBytes(4).toString('hex')}.kubeconfig`)
  await writeFile(path, kubeconfig({ ...facts, namespace, token }), { mode: 0o600 })
  return path
}
