/** Raises a bed from nothing: programs, control plane, EC2, and kube-sg on them. */
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BedPlan, Settings } from './bedPlan.ts'
import { startControlPlane, type ControlPlane } from './controlPlane.ts'
import { awsOf, startEc2 } from './ec2Process.ts'
import { exportLines, metricsVariables } from './environment.ts'
import { awaitGrant, createFirstGroup, permitFirstGroup } from './firstGroup.ts'
import { reservePorts } from './ports.ts'
import type { ProcessTable } from './processTable.ts'
import { startProduct, type Product } from './product.ts'
import { programsFolder } from './programs.ts'

/** What a bed says of itself once it is up. */
export interface BedFacts {
  readonly supervisor: number
  readonly environment: Settings
  readonly kubectl: string
  readonly kubeconfig: string
  readonly server: string
  /** Base URL of etcd. */
  readonly etcdUrl: string
  readonly caFile: string
  /** Empty without the simulator. */
  readonly ec2Url: string
}

export interface RaiseOptions {
  readonly plan: BedPlan
  readonly pid: number
  readonly root: string
  readonly node: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly processes: ProcessTable
  /** Aborted when the bed is to end; the processes have been ended then. */
  readonly signal: AbortSignal
  /** Given, as it comes, what must be given up when the bed ends. */
  readonly atEnd: (close: () => Promise<void> | void) => void
  readonly tell: (step: string) => void
}

export async function raiseBed(options: RaiseOptions): Promise<BedFacts> {
  const { plan, pid, signal, atEnd } = options
  const { directory } = plan
  const programs = await programsFolder({ ...options, progress: options.tell })
  const ports = await reservePorts()
  atEnd(() => ports.close())
  signal.throwIfAborted()
  const site = { ...options, directory, programs, ports, kwok: plan.kwok, audit: plan.audit }
  const [controlPlane, ec2Url] = await Promise.all([startControlPlane(site), plan.ec2 ? startEc2(site) : ''])
  atEnd(() => controlPlane.api.close())
  const kubectl = join(programs, 'kubectl')
  let environment: Settings = { KUBECONFIG: controlPlane.kubeconfig }
  if (plan.ec2) environment = { ...environment, ...awsOf(ec2Url, 'bed-user'), CLUSTER_ID: plan.clusterId }
  if (plan.product) {
    const product = await startProduct({ ...site, kubectl, controlPlane, ec2Url })
    atEnd(() => product.close())
    await controlPlane.settled
    environment = { ...environment, ...(await takeFirstSteps(options, controlPlane, product, ec2Url)) }
  }
  await controlPlane.settled
  await writeEnvironment(directory, environment, kubectl)
  const { server, etcd: etcdUrl, caFile, kubeconfig } = controlPlane
  return { supervisor: pid, environment, kubectl, kubeconfig, server, etcdUrl, caFile, ec2Url }
}

async function takeFirstSteps(
  { plan, signal, tell }: RaiseOptions,
  { api }: ControlPlane,
  { balancer, metrics }: Product,
  ec2Url: string
): Promise<Settings> {
  tell('a security group, and a pod that could be granted it')
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
