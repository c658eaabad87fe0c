/**
 * For tests: a small world with its own clock, in which the real worker (queues, reconcile, settle, sweep) meets an EC2 whose
 * reads lag and whose replies get lost, and an API server whose watch is late. Only the adapters are replaced.
 */
import { setImmediate as macrotask } from 'node:timers/promises'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import { parseAnnotations } from '../shared/annotation.ts'
import type { PodRef } from '../shared/podRef.ts'
import { ruleKey } from '../shared/rules.ts'
import type { Rule, SecurityGroupId } from '../shared/rules.ts'
import type { Cluster } from './cluster.ts'
import { rulesOf } from './desired.ts'
import type { FailureKind } from './failures.ts'
import { createMetrics } from './metrics.ts'
import { endOf } from './pods.ts'
import type { ObservedPod } from './pods.ts'
import { podOf } from './podFixture.ts'
import type { Timers } from './queue.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { NewRule, ObservedRule, SecurityGroups } from './securityGroups.ts'
import type { PodEvent } from './settle.ts'
import { workerSpec } from './settings.ts'
import type { WorkerSettings } from './settings.ts'
import { readConfig } from '../shared/config.ts'
import { createWorker } from './worker.ts'
import type { Worker } from './worker.ts'

export const LAG = 10_000
const START = 1_000_000_000

/** A clock that moves only when told, with the timers that fall due on the way. */
export class WorldClock implements Timers {
  #now = START
  #timers: { at: number; order: number; run: () => void }[] = []
  #order = 0
  now(): number {
    return this.#now
  }
  chance(): number {
    return 0.5
  }
  after(delay: number, run: () => void): () => void {
    const timer = { at: this.#now + delay, order: this.#order++, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }
  sleep(delay: number): Promise<void> {
    return new Promise((resolve) => this.after(delay, resolve))
  }
  async advance(by: number): Promise<void> {
    const until = this.#now + by
    for (;;) {
      await macrotask()
      const next = this.#timers.toSorted((one, other) => one.at - other.at || one.order - other.order)[0]
      if (next === undefined || next.at > until) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#now = next.at
      next.run()
    }
    this.#now = until
    await macrotask()
  }
}

export type Fault = 'throttled' | 'denied' | 'lostBefore' | 'lostAfter'

/** EC2 as the worker's adapter shows it: atomic, with one identity for a rule, and reads that may be `lag` old. */
export class WorldEc2 {
  readonly #clock: WorldClock
  readonly rules = new Map<SecurityGroupId, Map<string, ObservedRule>>()
  readonly optedIn = new Set<SecurityGroupId>()
  #history: { at: number; rules: ReadonlyMap<SecurityGroupId, readonly ObservedRule[]> }[] = []
  faults: Fault[] = []
  /** Actions that IAM denies. */
  readonly denied = new Set<string>()
  /** Calls by action. */
  readonly calls = new Map<string, number>()
  /** Milliseconds by which reads are behind, less than EC2_READ_LAG. */
  readBehind = 0
  quota = 60
  #serial = 0
  readonly revokes: { at: number; groupId: SecurityGroupId; rule: ObservedRule }[] = []

  constructor(clock: WorldClock, groups: readonly SecurityGroupId[]) {
    this.#clock = clock
    for (const groupId of groups) {
      this.rules.set(groupId, new Map())
      this.optedIn.add(groupId)
    }
    this.#remember()
  }

  #remember(): void {
    const snapshot = {
      at: this.#clock.now(),
      rules: new Map([...this.rules].map(([groupId, rules]) => [groupId, [...rules.values()]] as const))
    }
    // The last state before the window is what a lagging read at its beginning shows.
    const before = this.#history.findLastIndex(({ at }) => at <= this.#clock.now() - 2 * LAG)
    this.#history = [...this.#history.slice(Math.max(0, before)), snapshot]
  }

  async #call<T>(action: string, effect: () => T): Promise<T> {
    this.calls.set(action, (this.calls.get(action) ?? 0) + 1)
    await this.#clock.sleep(20)
    const fault = this.faults.shift()
    const fail = (kind: FailureKind): never => {
      throw new Ec2Failure(action, kind, kind, new Error('made to fail'))
    }
    if (this.denied.has(action)) return fail('denied')
    if (fault === 'throttled' || fault === 'denied') return fail(fault)
    if (fault === 'lostBefore') return fail('unavailable')
    const answer = effect()
    this.#remember()
    await this.#clock.sleep(20)
    return fault === 'lostAfter' ? fail('unavailable') : answer
  }

  #asOf(at: number): ReadonlyMap<SecurityGroupId, readonly ObservedRule[]> {
    return (this.#history.findLast((snapshot) => snapshot.at <= at) ?? this.#history[0])?.rules ?? new Map()
  }

  /** What somebody else does by hand. */
  byHand(change: (rules: Map<SecurityGroupId, Map<string, ObservedRule>>, id: string) => void): void {
    change(this.rules, `sgr-${String(++this.#serial)}`)
    this.#remember()
  }

  securityGroups(): SecurityGroups {
    const read = async (
      groups: (
        all: ReadonlyMap<SecurityGroupId, readonly ObservedRule[]>
      ) => [SecurityGroupId, readonly ObservedRule[]][]
    ) => {
      const startedAt = this.#clock.now()
      const rules = await this.#call(
        'DescribeSecurityGroupRules',
        () => new Map(groups(this.#asOf(this.#clock.now() - this.readBehind)))
      )
      return { startedAt, rules }
    }
    return {
      readRules: (groupIds) => read((all) => groupIds.map((groupId) => [groupId, all.get(groupId) ?? []])),
      readOwnedRules: () =>
        read((all) => [...all].map(([groupId, rules]) => [groupId, rules.filter(({ owned }) => owned)])),
      readGroups: (groupIds) =>
        this.#call('DescribeSecurityGroups', () =>
          groupIds
            .filter((groupId) => this.rules.has(groupId))
            .map((groupId) => ({ groupId, vpcId: 'vpc-1', optedIn: this.optedIn.has(groupId) }))
        ),
      authorize: (groupId, rules) => this.#call('AuthorizeSecurityGroupIngress', () => this.#authorize(groupId, rules)),
      revoke: (groupId, ruleIds) => this.#call('RevokeSecurityGroupIngress', () => this.#revoke(groupId, ruleIds))
    }
  }

  #authorize(groupId: SecurityGroupId, wanted: readonly NewRule[]): ObservedRule[] {
    const group = this.rules.get(groupId)
    const refuse = (kind: FailureKind): never => {
      throw new Ec2Failure('AuthorizeSecurityGroupIngress', kind, kind, new Error('refused'))
    }
    if (group === undefined) return refuse('groupNotFound')
    const there = new Set([...group.values()].map(ruleKey))
    if (wanted.some((rule) => there.has(ruleKey(rule)))) return refuse('duplicate')
    if (group.size + wanted.length > this.quota) return refuse('quota')
    return wanted.map((rule) => {
      const made = { ...rule, id: `sgr-${String(++this.#serial)}`, owned: true }
      group.set(made.id, made)
      return made
    })
  }

  #revoke(groupId: SecurityGroupId, ruleIds: readonly string[]): void {
    const group = this.rules.get(groupId)
    if (group === undefined || ruleIds.some((id) => !group.has(id))) {
      throw new Ec2Failure(
        'RevokeSecurityGroupIngress',
        'ruleNotFound',
        'InvalidSecurityGroupRuleId.NotFound',
        new Error('refused')
      )
    }
    for (const id of ruleIds) {
      const rule = group.get(id)
      if (rule !== undefined) this.revokes.push({ at: this.#clock.now(), groupId, rule })
      group.delete(id)
    }
  }
}

/** The API server's pods, and a watch that tells of them `delay` later. */
export class WorldCluster {
  readonly #clock: WorldClock
  readonly pods = new Map<string, ObservedPod>()
  readonly events: PodEvent[] = []
  /** Called right before our finalizer goes. */
  onRelease: (pod: ObservedPod) => void = () => undefined
  #watch: ((tell: Worker['cache']) => void)[] = []
  #listener: Worker['cache'] | undefined
  down = false
  /** Lists by address fail. */
  unlisted = false
  /** Lists of all pods succeed. */
  overlooking = true
  /** Conditions cannot be written. */
  wordless = false
  readonly nodes = new Set(['node-0'])
  watchDelay = 30
  #generation = 0
  #serial = 0

  constructor(clock: WorldClock) {
    this.#clock = clock
  }

  /** Lists, then watches; whoever listened before hears nothing more. */
  attach(cache: Worker['cache'] | undefined): void {
    this.#generation += 1
    this.#watch = []
    this.#listener = cache
    cache?.replace(
      [...this.pods.values()].filter(({ labelled }) => labelled),
      this.#clock.now()
    )
  }

  #tell(event: (cache: Worker['cache']) => void): void {
    const generation = this.#generation
    this.#watch.push(event)
    this.#clock.after(this.watchDelay, () => {
      const next = generation === this.#generation ? this.#watch.shift() : undefined
      if (next !== undefined && this.#listener !== undefined) next(this.#listener)
    })
  }

  put(pod: ObservedPod): void {
    const before = this.pods.get(pod.uid)
    // The API server drops a deleting pod once no finalizer holds it and its grace is over.
    if (pod.deletionTimestamp !== undefined && pod.gracePeriodSeconds === 0 && !pod.heldByFinalizer) {
      this.pods.delete(pod.uid)
      // The event shows the object as it was last stored, with the finalizer that has just gone.
      if (before?.labelled === true) this.#tell((cache) => cache.vanish(before, this.#clock.now()))
      return
    }
    this.pods.set(pod.uid, pod)
    if (pod.labelled) this.#tell((cache) => cache.change(pod, this.#clock.now()))
    else if (before?.labelled === true) this.#tell((cache) => cache.vanish(before, this.#clock.now()))
  }

  /** The pod of this name, if there is one now. */
  named(name: string): ObservedPod | undefined {
    return [...this.pods.values()].find((pod) => pod.name === name)
  }

  create(name: string, annotations: Record<string, string>): void {
    const uid = `${name}-${String(++this.#serial)}`
    const annotated = Object.keys(annotations).length > 0
    const declaration = parseAnnotations(annotations)
    const marks = { annotated, labelled: annotated, finalized: annotated, heldByFinalizer: annotated, declaration }
    this.put(
      podOf(uid, {
        ...marks,
        name,
        createdAt: this.#clock.now(),
        startedAt: this.#clock.now(),
        phase: 'Pending',
        addresses: []
      })
    )
  }

  edit(name: string, tweak: Partial<ObservedPod>): void {
    const pod = this.named(name)
    if (pod !== undefined) this.put({ ...pod, ...tweak })
  }

  async #call<T>(effect: () => T): Promise<T> {
    await this.#clock.sleep(5)
    if (this.down) throw new Error('the API server is down')
    return effect()
  }

  #same(ref: PodRef): ObservedPod | undefined {
    return this.pods.get(ref.uid)
  }

  cluster(): Cluster {
    return {
      pod: (namespace, name) =>
        this.#call(() => [...this.pods.values()].find((pod) => pod.namespace === namespace && pod.name === name)),
      podsAt: (address) =>
        this.#call(() => {
          if (this.unlisted) throw new Error('the API server does not list')
          return [...this.pods.values()].filter(({ addresses }) => addresses.includes(address))
        }),
      overlookedPods: () =>
        this.#call(() => {
          if (!this.overlooking) throw new Error('the API server does not list')
          return [...this.pods.values()].filter((pod) => !pod.labelled && (pod.annotated || pod.finalized))
        }),
      nodeExists: (name) => this.#call(() => this.nodes.has(name)),
      stamp: (ref) =>
        this.#call(() => {
          const pod = this.#same(ref)
          if (pod === undefined || (pod.deletionTimestamp !== undefined && !pod.finalized)) return false
          this.put({ ...pod, finalized: true, heldByFinalizer: true, labelled: true })
          return true
        }),
      release: (ref, alsoLabel) =>
        this.#call(() => {
          const pod = this.#same(ref)
          if (pod === undefined) return
          this.onRelease(pod)
          this.put({ ...pod, finalized: false, heldByFinalizer: false, labelled: pod.labelled && !alsoLabel })
        }),
      writeCondition: (ref, condition) =>
        this.#call(() => {
          if (this.wordless) throw new Error('pods/status is denied')
          const pod = this.#same(ref)
          if (pod !== undefined) this.put({ ...pod, condition })
        })
    }
  }
}

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
      mayUse: () => Promise.resolve(true),
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

/** The rules that the truth asks for: of living pods that hold an address, the later-started where two report one. */
export function wantedRules(cluster: WorldCluster, groupId: SecurityGroupId, now: number): Rule[] {
  const living = [...cluster.pods.values()].filter((pod) => endOf(pod, false, now) === undefined)
  return living.flatMap((pod) => {
    const held = pod.addresses.filter(
      (address) => !living.some((other) => other.startedAt > pod.startedAt && other.addresses.includes(address))
    )
    return rulesOf(pod.declaration.requests, groupId, held)
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
