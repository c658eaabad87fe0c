/**
 * For tests: a small world with its own clock, in which the real worker (queues, reconcile, settle, sweep) meets an EC2 whose
 * reads lag and whose replies get lost, and an API server whose watch is late. Only the adapters are replaced.
 */

import { pino } from 'pino'
import { Registry } from 'prom-client'
import { readConfig } from '../shared/config.ts'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol, Rule, SecurityGroupId } from '../shared/rules.ts'
import { createEc2 } from './aws/ec2Client.ts'
import type { Action } from './aws/ec2Client.ts'
import { ec2SecurityGroups } from './aws/ec2SecurityGroups.ts'
import type { Limit } from './bucket.ts'
import { whileLeading } from './cluster.ts'
import { rulesOf } from './desired.ts'
import { createMetrics } from './metrics.ts'
import { GROUP } from './podFixture.ts'
import { endOf } from './pods.ts'
import type { Timers } from './queue.ts'
import { workerSpec } from './settings.ts'
import type { WorkerSettings } from './settings.ts'
import { createWorker } from './worker.ts'
import type { Worker } from './worker.ts'
import { WorldClock } from './worldClockFixture.ts'
import { WorldCluster } from './worldClusterFixture.ts'
import { CLUSTER_ID, OWNER, WorldEc2 } from './worldEc2Fixture.ts'
import type { Caller } from './worldEc2Fixture.ts'

export type { Fault } from './worldEc2Fixture.ts'
export { LAG } from './worldEc2Fixture.ts'

/** One worker process. */
export interface Process {
  readonly caller: Caller
  readonly worker: Worker
  readonly startedAt: number
  /** It stands still, as a stopped or starved process does. */
  readonly pause: (until: number) => void
}

export interface World {
  readonly clock: WorldClock
  readonly ec2: WorldEc2
  readonly cluster: WorldCluster
  /** Milliseconds by which the workers' wall clocks are wrong; the API server's never is. */
  wallOff: number
  /** The leader's lease is not long enough for another write. */
  leaseInDoubt: boolean
  /** As SIGKILL does it. */
  kill(): void
  /** It is killed at its n-th moment from now: each call to EC2 or the API server has one before its effect and one after it. */
  killAt(moment: number | undefined): void
  alive(): boolean
  leader(): Process | undefined
  /**
   * The leader stands still for so many milliseconds. If that is longer than it may write without renewing its lease, the lease is in doubt
   * when it goes on.
   */
  pause(time: number): void
  /** Until when it stands still; in the past when it does not. */
  pausedUntil(): number
  /** Kills the worker if there is one, and starts another. */
  restart(environment?: Record<string, string>): void
  /** Another worker that only watches. */
  standby(): Worker['cache']
  /** Kills the worker if there is one; the one that only watched goes on in its place. */
  takeOver(): void
  /** Our rules that no living pod of the truth wants, and wanted rules that are not there. */
  wrongs(): string[]
}

/** So long after its last renewal a leader may write (election.ts), in milliseconds. */
const LEASE_TRUSTED = 10_000
/** EC2_TIMEOUT of main.ts. */
export const CALL_TIMEOUT = 5000

const silent = pino({ level: 'silent' })
// Nobody reads them here, and making them is most of what a world costs.
const metrics = createMetrics(new Registry(), false)

export function createWorld(
  groups: readonly SecurityGroupId[],
  environment: Record<string, string> = {},
  level = 'silent',
  limits?: Readonly<Record<Action, Limit>>,
  rulesPerCall = 1000
): World {
  const clock = new WorldClock()
  const ec2 = new WorldEc2(clock, groups)
  const cluster = new WorldCluster(clock)
  const logger =
    level === 'silent' ? silent : pino({ level, base: null, timestamp: false, mixin: () => ({ at: clock.now() }) })
  cluster.leads = (cache) => leader?.worker.cache === cache
  let serial = 0
  let leader: Process | undefined
  let second: Process | undefined
  let momentsLeft: number | undefined
  let stillUntil = -Infinity

  const make = (more: Record<string, string> = {}): Process => {
    const id = ++serial
    let pausedUntil = -Infinity
    const caller: Caller = {
      id,
      async awake() {
        while (pausedUntil > clock.now()) await clock.sleep(pausedUntil - clock.now())
      },
      attached: () => leader?.caller.id === id || second?.caller.id === id,
      boundary() {
        if (momentsLeft === undefined || leader?.caller.id !== id) return
        momentsLeft -= 1
        if (momentsLeft <= 0) kill()
      }
    }
    const timers: Timers = {
      now: () => clock.now(),
      chance: () => clock.chance(),
      after(delay, run) {
        let cancel = (): void => undefined
        const fire = (): void => {
          if (pausedUntil > clock.now()) cancel = clock.after(pausedUntil - clock.now(), fire)
          // What a dead process waited for never comes.
          else if (caller.attached()) run()
        }
        cancel = clock.after(delay, fire)
        return () => cancel()
      }
    }
    const pause = (until: number): void => {
      pausedUntil = until
      cluster.pause(worker.cache, until)
    }
    const wallClock = (): number => clock.now() + world.wallOff
    const calls = createEc2({
      client: ec2.client(caller),
      timeout: CALL_TIMEOUT,
      mayWrite: () => !world.leaseInDoubt,
      onCall: () => undefined,
      timers,
      ...(limits === undefined ? {} : { limits })
    })
    const worker = createWorker({
      settings: settingsOf({ ...environment, ...more }),
      ec2: ec2SecurityGroups(calls, { clusterId: CLUSTER_ID, owner: OWNER, now: () => clock.now(), rulesPerCall }),
      cluster: whileLeading(cluster.cluster(caller), () => !world.leaseInDoubt),
      mayUse: cluster.mayUse(caller),
      nodes: { names: () => cluster.nodesShown, addresses: () => new Set() },
      record: (event) => cluster.events.push(event),
      metrics,
      logger,
      timers,
      wallClock
    })
    cluster.attach(worker, wallClock)
    return { caller, worker, startedAt: clock.now(), pause }
  }
  const kill = (): void => {
    momentsLeft = undefined
    if (leader !== undefined) cluster.detach(leader.worker.cache)
    leader = undefined
  }
  const lead = (process: Process): void => {
    kill()
    leader = process
    world.leaseInDoubt = false
    stillUntil = -Infinity
    ec2.refillBuckets()
    leader.worker.lead()
  }
  const world: World = {
    clock,
    ec2,
    cluster,
    wallOff: 0,
    leaseInDoubt: false,
    kill,
    killAt(moment) {
      momentsLeft = moment
    },
    alive: () => leader !== undefined,
    leader: () => leader,
    pause(time) {
      // Who stands still already does so no shorter for it.
      stillUntil = Math.max(stillUntil, clock.now() + time)
      leader?.pause(stillUntil)
      if (leader !== undefined && time > LEASE_TRUSTED) world.leaseInDoubt = true
    },
    pausedUntil: () => stillUntil,
    restart: (more) => lead(make(more)),
    standby() {
      if (second !== undefined) cluster.detach(second.worker.cache)
      second = make()
      return second.worker.cache
    },
    takeOver() {
      const next = second ?? make()
      second = undefined
      lead({ ...next, startedAt: clock.now() })
    },
    wrongs: () => wrongsOf(ec2, cluster, clock.now())
  }
  return world
}

const settingsRead = new Map<string, WorkerSettings>()
function settingsOf(more: Record<string, string>): WorkerSettings {
  const environment = {
    CLUSTER_ID,
    AWS_REGION: 'eu-west-1',
    POD_CIDRS: '10.64.0.0/16',
    PERMISSIONS: 'off',
    ...more
  }
  const text = JSON.stringify(environment)
  const settings = settingsRead.get(text) ?? readConfig(environment, workerSpec)
  settingsRead.set(text, settings)
  return settings
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
