/** A cluster of many pods, stood in for, and the EC2 simulator with the rules that they have already. */
import { rm } from 'node:fs/promises'
import { EC2 } from '@aws-sdk/client-ec2'
import { awsOf, REGION } from '../bed/ec2Process.ts'
import { serveSimulator } from '../bed/ec2/serve.ts'
import { simulatorClient } from '../bed/simulator.ts'
import type { SimulatedCall, SimulatorClient } from '../bed/simulator.ts'
import { OPT_IN_VALUE, optInTag, OWNER_TAG } from '../shared/names.ts'
import { CLUSTER_UID, startStandIn } from './standIn.ts'
import type { StandIn } from './standIn.ts'
import { makePod } from './standInPods.ts'
import type { StandInPod } from './standInPods.ts'
import { bundle, CLUSTER_ID, startWorker } from './workerProcess.ts'
import type { BenchedWorker, WorkerOptions } from './workerProcess.ts'

export interface LargeCluster {
  readonly standIn: StandIn
  readonly ec2: SimulatorClient
  readonly groupIds: readonly string[]
  readonly pods: readonly StandInPod[]
  /** Of the worker. */
  readonly bundleFile: string
  /** A pod beside those that were there at the start; nobody has been told of it. */
  newPod(group: number): StandInPod
  startWorker(options?: Pick<WorkerOptions, 'nodeOptions' | 'settings'>): Promise<BenchedWorker>
  close(): Promise<void>
}

export interface LargeClusterOptions {
  readonly groups: number
  readonly podsPerGroup: number
  /** Pods that are none of ours. */
  readonly others: number
}

/** Every group is used by the pods of two Deployments, each with a service account of its own. */
export async function startLargeCluster(options: LargeClusterOptions): Promise<LargeCluster> {
  const folder = await bundle()
  const simulator = await serveSimulator({ port: 0, onDefect: console.error })
  const aws = awsOf(simulator.endpoint, 'seed')
  const credentials = { accessKeyId: aws.AWS_ACCESS_KEY_ID, secretAccessKey: aws.AWS_SECRET_ACCESS_KEY }
  const sdk = new EC2({ region: REGION, endpoint: simulator.endpoint, credentials })
  const ec2 = simulatorClient(simulator.endpoint)
  await ec2.settings({ buckets: 'off', rulesPerGroup: 1000 })
  const groupIds: string[] = []
  for (let group = 0; group < options.groups; group++) groupIds.push(await createGroup(sdk, group))
  let made = 0
  const newPod = (group: number): StandInPod => makePod(++made, 2 * group + (made % 2), groupIds[group] ?? '')
  const pods: StandInPod[] = []
  for (let group = 0; group < options.groups; group++) {
    const mine = Array.from({ length: options.podsPerGroup }, () => newPod(group))
    await authorize(sdk, mine)
    pods.push(...mine)
  }
  await ec2.settings({ buckets: 'on' })
  const standIn = await startStandIn(pods, options.others)
  return {
    standIn,
    ec2,
    groupIds,
    pods,
    bundleFile: `${folder}/worker.js`,
    newPod,
    startWorker: ({ nodeOptions = '', settings } = {}) =>
      startWorker({
        file: `${folder}/worker.js`,
        apiUrl: standIn.url,
        ec2Url: simulator.endpoint,
        nodeOptions,
        // The lease is not what is measured here, and this process, which grants it, is busy.
        settings: { RULES_PER_GROUP: '1000', LEASE_DURATION: '5m', RENEW_DEADLINE: '4m', ...settings }
      }),
    async close() {
      sdk.destroy()
      await standIn.close()
      await simulator.close()
      await rm(folder, { recursive: true, force: true })
    }
  }
}

/** The worker's calls after the n-th of all. */
export async function workerCalls(cluster: LargeCluster, since = 0): Promise<readonly SimulatedCall[]> {
  return (await cluster.ec2.calls(since)).filter(({ accessKey }) => accessKey === 'bench')
}

async function createGroup(sdk: EC2, number: number): Promise<string> {
  const made = await sdk.createSecurityGroup({
    GroupName: `bench-${number}`,
    Description: 'of a bench',
    TagSpecifications: [{ ResourceType: 'security-group', Tags: [{ Key: optInTag(CLUSTER_ID), Value: OPT_IN_VALUE }] }]
  })
  return made.GroupId ?? ''
}

async function authorize(sdk: EC2, pods: readonly StandInPod[]): Promise<void> {
  const [first] = pods
  if (first === undefined) return
  const rules = pods.flatMap((pod) => pod.addresses.map((address) => ({ pod, address })))
  await sdk.authorizeSecurityGroupIngress({
    GroupId: first.groupId,
    IpPermissions: rules.map(({ address, pod: { namespace, name } }) => {
      const range = { Description: `${CLUSTER_ID}/${namespace}/${name}` }
      const ports = { IpProtocol: 'tcp', FromPort: 443, ToPort: 443 }
      return address.includes(':')
        ? { ...ports, Ipv6Ranges: [{ CidrIpv6: `${address}/128`, ...range }] }
        : { ...ports, IpRanges: [{ CidrIp: `${address}/32`, ...range }] }
    }),
    TagSpecifications: [
      { ResourceType: 'security-group-rule', Tags: [{ Key: OWNER_TAG, Value: `${CLUSTER_ID}/${CLUSTER_UID}` }] }
    ]
  })
}
