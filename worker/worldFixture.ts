/**
 * For tests: a small world with its own clock, in which the real worker (queues, reconcile, settle, sweep) meets an EC2 whose
 * reads lag and whose replies get lost, and an API server whose watch is late. Only the adapters are replaced.
 */

import { pino } from 'pino'
import { Registry } from 'prom-client'
import { readConfig } from '../shared/config.ts'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol, Rule, SecurityGroupId } from '../shared/rules.ts'
import { rulesOf } from './desired.ts'
import { createMetrics } from './metrics.ts'
import { GROUP } from './podFixture.ts'
import { endOf } from './pods.ts'
import { workerSpec } from './settings.ts'
import type { WorkerSettings } from './settings.ts'
import { createWorker } from './worker.ts'
import type { Worker } from './worker.ts'
import { WorldClock } from './worldClockFixture.ts'
import { WorldCluster } from './worldClusterFixture.ts'
import { WorldEc2 } from './worldEc2Fixture.ts'

export type { Fault } from './worldEc2Fixture.ts'
export { LAG } from './worldEc2Fixture.ts'

export interface World {
  readonly clock: WorldClock
  readonly ec2: WorldEc2
  readonly cluster: WorldCluster
  /** As SIGKILL does it. */
  kill(): void
  alive(): boolean
  /** Kills the worker if there is one, and starts another. */
  restart(environment?: Record<string, string>): void
  /** Another worker that only watches. */
  standby(): Worker['cache']
  /** Our rules that no living pod of the truth wants, and wanted rules that are not there. */
  wrongs(): string[]
}

export function createWorld(
  groups: readonly SecurityGroupId[],
  environment: Record<string, string> = {},
  level = 'silent'
): World {
  const clock = new WorldClock()
  const ec2 = new WorldEc2(clock, groups)
  const cluster = new WorldCluster(clock)
  const settingsWith = (more: Record<string, string>): WorkerSettings =>
    readConfig(
      {
        CLUSTER_ID: 'demo',
        AWS_REGION: 'eu-west-1',
        POD_CIDRS: '10.64.0.0/16',
        PERMISSIONS: 'off',
        ...environment,
        ...more
      },
      workerSpec
    )
  // A killed worker's promises live on in this process; its hands are cut off, so that nothing of it reaches the world.
  let generation = 0
  let living = false
  const handsOf = <T extends object>(hands: T, mine: number): T =>
    new Proxy(hands, {
      get(target, name, receiver) {
        if (generation !== mine) return () => new Promise(() => undefined)
        return Reflect.get(target, name, receiver) as unknown
      }
    })

  const kill = (): void => {
    generation += 1
    living = false
    cluster.attach(undefined)
  }
  const make = (more: Record<string, string>): Worker => {
    const mine = generation
    return createWorker({
      settings: settingsWith(more),
      ec2: handsOf(ec2.securityGroups(), mine),
      cluster: handsOf(cluster.cluster(), mine),
      mayUse: () => cluster.may(),
      nodes: { names: () => cluster.nodes, addresses: () => new Set() },
      record: (event) => cluster.events.push(event),
      metrics: createMetrics(new Registry(), false),
      logger: pino({ level }),
      timers: clock,
      wallClock: () => clock.now()
    })
  }
  const restart = (more: Record<string, string> = {}): void => {
    kill()
    const worker = make(more)
    cluster.attach(worker.cache)
    living = true
    worker.lead()
  }
  const standby = (): Worker['cache'] => {
    const { cache } = make({})
    cluster.attach(cache)
    return cache
  }
  return {
    clock,
    ec2,
    cluster,
    kill,
    alive: () => living,
    restart,
    standby,
    wrongs: () => wrongsOf(ec2, cluster, clock.now())
  }
}

/** Creates a pod that asks for tcp 443 in one group unless told otherwise, and lets it run at the address. */
export async function runPod(world: World, name: string, address: string, ask = ASK): Promise<void> {
  world.cluster.create(name, ask)
  await world.clock.advance(10)
  world.cluster.edit(name, { addresses: [address], phase: 'Running', startedAt: world.clock.now() })
}

export const ASK: Record<string, string> = { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' }

/** Leaves a rule of ours in EC2 that no pod explains. */
export function leaveOrphan({ ec2 }: World, cidr: string): void {
  const rule = {
    owned: true,
    description: 'demo/web/long-gone',
    protocol: 'tcp' as Protocol,
    fromPort: 1,
    toPort: 1,
    cidr
  }
  ec2.byHand((rules, id) => rules.get(GROUP)?.set(id, { id, ...rule }))
}

/** The reason in the pod's condition. */
export function reasonOf({ cluster }: World, name: string): string | undefined {
  return cluster.named(name)?.condition?.reason
}

/**
 * The rules that the truth asks for: of living pods that hold an address, the later-started where two report one.
 * @param ours only of pods that our finalizer holds: without it nothing new is made, and nothing inherited
 */
export function wantedRules(cluster: WorldCluster, groupId: SecurityGroupId, now: number, ours = false): Rule[] {
  const living = [...cluster.pods.values()].filter((pod) => endOf(pod, false, now) === undefined)
  return living.flatMap((pod) => {
    const held = pod.addresses.filter(
      (address) => !living.some((other) => other.startedAt > pod.startedAt && other.addresses.includes(address))
    )
    return ours && !pod.finalized ? [] : rulesOf(pod.declaration.requests, groupId, held)
  })
}

function wrongsOf(ec2: WorldEc2, cluster: WorldCluster, now: number): string[] {
  const wrongs: string[] = []
  for (const [groupId, rules] of ec2.rules) {
    const wanted = new Set(wantedRules(cluster, groupId, now).map(ruleKey))
    const there = [...rules.values()]
    for (const rule of there)
      if (rule.owned && !wanted.has(ruleKey(rule))) wrongs.push(`leak: ${groupId} ${ruleKey(rule)}`)
    const present = new Set(there.map(ruleKey))
    for (const key of wanted) if (!present.has(key)) wrongs.push(`cut: ${groupId} ${key}`)
  }
  for (const pod of cluster.pods.values()) {
    const ended = endOf(pod, false, now) !== undefined
    if (pod.finalized && (ended || !pod.annotated)) wrongs.push(`held: ${pod.uid}`)
    if (!pod.finalized && pod.annotated && !ended && pod.deletionTimestamp === undefined)
      wrongs.push(`unheld: ${pod.uid}`)
  }
  return wrongs
}
