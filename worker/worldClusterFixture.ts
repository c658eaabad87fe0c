/**
 * For tests: the pods of a small world, as its API server has them, and watches that are late.
 * Longer than most files here: what is asked and what is watched are of one state.
 */
import { parseAnnotations } from '../shared/annotation.ts'
import type { Declaration } from '../shared/annotation.ts'
import type { PodRef } from '../shared/podRef.ts'
import type { Cluster } from './cluster.ts'
import { podOf } from './podFixture.ts'
import type { ObservedPod } from './pods.ts'
import type { PodEvent } from './settle.ts'
import type { Worker } from './worker.ts'
import type { WorldClock } from './worldClockFixture.ts'
import type { Caller } from './worldEc2Fixture.ts'

export type Cache = Worker['cache']
/** What of a worker is told of pods and nodes. */
type Watcher = Pick<Worker, 'cache' | 'nodesChanged'>

/** What goes wrong with one call to the API server: an error before its effect, or a lost reply after it. */
export type ClusterFault = 'before' | 'after'

/** What is on its way to a watch. */
interface WatchEvent {
  readonly tell: (cache: Cache, now: number) => void
  /** The pods that it shows. */
  readonly shows: readonly ObservedPod[]
  /** Until it comes, nothing is known of what has happened from then on. */
  readonly from: number
}

/** One process's watch of pods: events come in their order, each `delay` after it happened. */
interface Watch extends Watcher {
  readonly wallClock: () => number
  readonly events: WatchEvent[]
  /** It hears nothing until it lists again, of what has happened from then on; undefined: it hears. */
  brokenFrom: number | undefined
  /** `<uid> <address>` of all that it has shown. */
  readonly shown: Set<string>
  /** Its process stands still until then. */
  pausedUntil: number
  /** What came late, and when. */
  gaps: { readonly from: number; readonly until: number }[]
}

/** So many gaps are remembered, which is more than some seconds hold. */
const GAPS = 500

/** Of a call to the API server, in milliseconds (shared/kubernetes). */
const TIMEOUT = 5000

const NOBODY: Caller = { id: 0, attached: () => true, boundary: () => undefined, awake: () => Promise.resolve() }

const declarations = new Map<string, Declaration>()
/** Parsed once for all worlds. */
export function declarationOf(annotations: Record<string, string>): Declaration {
  const text = JSON.stringify(annotations)
  const known = declarations.get(text) ?? parseAnnotations(annotations)
  declarations.set(text, known)
  return known
}

/** The API server's pods, and watches that tell of them `watchDelay` later. */
export class WorldCluster {
  readonly #clock: WorldClock
  readonly pods = new Map<string, ObservedPod>()
  readonly events: PodEvent[] = []
  /** Called right before our finalizer goes. */
  onRelease: (pod: ObservedPod, caller: Caller) => void = () => undefined
  /** Called right after a pod has changed, come or gone. */
  onChange: (before: ObservedPod | undefined, after: ObservedPod | undefined) => void = () => undefined
  readonly #watches = new Map<Cache, Watch>()
  /** A standby forgets a pod that its watch no longer shows, and with it what its status hid; whoever leads asks first. */
  leads: (cache: Cache) => boolean = () => true
  /** It answers nobody, and its watches are silent. */
  down = false
  faults: ClusterFault[] = []
  /** What RBAC says of every service account; it rejects when nobody can tell. */
  may: (subject?: { serviceAccountName: string }, groupId?: string) => Promise<boolean> = () => Promise.resolve(true)
  calls = 0
  /** Lists by address fail. */
  unlisted = false
  /** Lists of all pods succeed. */
  overlooking = true
  /** Conditions cannot be written. */
  wordless = false
  /** Nodes cannot be read. */
  nodeless = false
  readonly nodes = new Set(['node-0'])
  #nodesShown: ReadonlySet<string> | undefined
  /** Changes of nodes, and until when the watches did not show them. */
  #nodeNews: { readonly change: number; readonly from: number; until: number }[] = []
  #nodeChanges = 0
  #nodeChangeShown = 0
  watchDelay = 30
  latency: () => number = () => 5
  /** How long a question about a permission is under way, in milliseconds; what takes longer than {@link TIMEOUT} is given up. */
  reviewLatency: () => number = () => 0
  /** Who has listed the pods without our label since it started. */
  readonly overlookedReadBy = new Set<number>()
  /** `<caller> <service account> <group>`: who was told whether the one may use the other. */
  readonly permissionsToldTo = new Set<string>()
  #serial = 0

  constructor(clock: WorldClock) {
    this.#clock = clock
  }

  /** Lists, then watches. */
  attach({ cache, nodesChanged }: Watcher, wallClock = () => this.#clock.now()): void {
    const watch: Watch = {
      cache,
      nodesChanged,
      wallClock,
      events: [],
      brokenFrom: undefined,
      shown: new Set(),
      pausedUntil: -Infinity,
      gaps: []
    }
    this.#watches.set(cache, watch)
    noteShown(watch, this.#labelled())
    cache.replace(this.#labelled(), wallClock())
  }

  detach(cache: Cache): void {
    this.#watches.delete(cache)
  }

  /** The watches hear nothing more, and have lost what was under way. */
  breakWatches(): void {
    for (const watch of this.#watches.values()) {
      watch.brokenFrom = this.#deafFrom(watch)
      watch.events.length = 0
    }
  }

  /** The process stands still, and hears nothing. */
  pause(cache: Cache, until: number): void {
    const watch = this.#watches.get(cache)
    if (watch !== undefined) watch.pausedUntil = until
  }

  get broken(): boolean {
    return [...this.#watches.values()].some(({ brokenFrom }) => brokenFrom !== undefined)
  }

  /** It registers, for the first time or again. */
  addNode(name: string): void {
    this.nodes.add(name)
    this.#showNodes()
  }

  removeNode(name: string): void {
    this.nodes.delete(name)
    this.#showNodes()
  }

  /** The watches of nodes are as late as those of pods. */
  #showNodes(): void {
    const before = this.#nodesShown ?? new Set(this.nodes)
    this.#nodesShown = before
    const nodes = new Set(this.nodes)
    const change = ++this.#nodeChanges
    this.#nodeNews.push({ change, from: this.#clock.now(), until: Infinity })
    let isLate = false
    const arrive = (): void => {
      if (this.down) {
        isLate = true
        return void this.#clock.after(500, arrive)
      }
      // After an outage a watch tells of all that happened within a moment: only the last of it is worth a look.
      if (change < this.#nodeChangeShown || (isLate && change < this.#nodeChanges)) return
      this.#nodeChangeShown = change
      this.#nodesShown = nodes
      for (const news of this.#nodeNews) if (news.change <= change) news.until = Math.min(news.until, this.#clock.now())
      for (const { nodesChanged } of this.#watches.values()) nodesChanged()
    }
    this.#clock.after(this.watchDelay, arrive)
  }

  /** The nodes that the watches show. */
  get nodesShown(): ReadonlySet<string> {
    return this.#nodesShown ?? this.nodes
  }

  /** They list again, and watch from there. */
  relist(): void {
    if (this.down) return
    for (const watch of this.#watches.values()) {
      const from = this.#deafFrom(watch)
      watch.brokenFrom = undefined
      watch.events.length = 0
      const pods = this.#labelled()
      const tell = (cache: Cache, now: number): void => {
        cache.replace(pods, now)
        const uids = new Set(pods.map(({ uid }) => uid))
        if (!this.leads(cache)) forget(watch, (uid) => !uids.has(uid))
      }
      this.#deliver(watch, { tell, shows: pods, from })
    }
  }

  /** What had happened up to then the cache knew. @param when now, or some seconds ago */
  asOf(cache: Cache, when = this.#clock.now()): number {
    const watch = this.#watches.get(cache)
    if (watch === undefined) return -Infinity
    const late = [...watch.gaps, ...this.#nodeNews].filter(({ from, until }) => from <= when && when < until)
    return Math.min(when, this.#deafFrom(watch), ...late.map(({ from }) => from))
  }

  /** Whether the pod was shown with the address at some time. */
  hasShown(cache: Cache, uid: string, address: string): boolean {
    return this.#watches.get(cache)?.shown.has(`${uid} ${address}`) === true
  }

  /** From when on the watch has not heard what has happened. */
  #deafFrom({ brokenFrom, events }: Watch): number {
    return Math.min(this.#clock.now(), brokenFrom ?? Infinity, events[0]?.from ?? Infinity)
  }

  #labelled(): ObservedPod[] {
    return [...this.pods.values()].filter(({ labelled }) => labelled)
  }

  #deliver(watch: Watch, event: WatchEvent): void {
    watch.events.push(event)
    const arrive = (): void => {
      if (this.#watches.get(watch.cache) !== watch || !watch.events.includes(event)) return
      // What comes late comes in order, with all that came before.
      if (this.down) return void this.#clock.after(500, arrive)
      if (watch.pausedUntil > this.#clock.now())
        return void this.#clock.after(watch.pausedUntil - this.#clock.now(), arrive)
      while (watch.events.includes(event)) {
        const next = watch.events.shift()
        watch.gaps.push({ from: next?.from ?? 0, until: this.#clock.now() })
        noteShown(watch, next?.shows ?? [])
        next?.tell(watch.cache, watch.wallClock())
      }
      if (watch.gaps.length > 2 * GAPS) watch.gaps = watch.gaps.slice(-GAPS)
    }
    this.#clock.after(this.watchDelay, arrive)
  }

  #tell(tell: WatchEvent['tell'], ...shows: readonly ObservedPod[]): void {
    const from = this.#clock.now()
    for (const watch of this.#watches.values())
      if (watch.brokenFrom === undefined) this.#deliver(watch, { tell, shows, from })
  }

  put(pod: ObservedPod): void {
    const before = this.pods.get(pod.uid)
    // The API server drops a deleting pod once no finalizer holds it and its grace is over.
    if (pod.deletionTimestamp !== undefined && pod.gracePeriodSeconds === 0 && !pod.heldByFinalizer) {
      this.pods.delete(pod.uid)
      this.onChange(before, undefined)
      // The event shows the object as it was last stored, with the finalizer that has just gone.
      if (before?.labelled === true) this.#tell((cache, now) => cache.vanish(before, now))
      return
    }
    this.pods.set(pod.uid, pod)
    this.onChange(before, pod)
    if (pod.labelled) this.#tell((cache, now) => cache.change(pod, now), pod)
    else if (before?.labelled === true) this.#tell((cache, now) => this.#vanish(cache, before, pod, now))
  }

  #vanish(cache: Cache, before: ObservedPod, after: ObservedPod, now: number): void {
    cache.vanish(before, now)
    // Nothing of ours is on it and nothing should be: it is forgotten, and met anew if ever it asks again.
    const forgotten = !after.finalized && (!after.annotated || !this.nodes.has(after.nodeName ?? ''))
    if (forgotten || !this.leads(cache)) forget(this.#watches.get(cache), (uid) => uid === after.uid)
  }

  /** The pod of this name, if there is one now. */
  named(name: string): ObservedPod | undefined {
    for (const pod of this.pods.values()) if (pod.name === name) return pod
    return undefined
  }

  create(name: string, annotations: Record<string, string>, tweak: Partial<ObservedPod> = {}): void {
    const uid = `${name}-${String(++this.#serial)}`
    const annotated = Object.keys(annotations).length > 0
    const declaration = declarationOf(annotations)
    const marks = { annotated, labelled: annotated, finalized: annotated, heldByFinalizer: annotated, declaration }
    this.put(
      podOf(uid, {
        ...marks,
        name,
        gated: declaration.settings.readinessGate,
        createdAt: this.#clock.now(),
        startedAt: this.#clock.now(),
        phase: 'Pending',
        addresses: [],
        ...tweak
      })
    )
  }

  edit(name: string, tweak: Partial<ObservedPod>): void {
    const pod = this.named(name)
    if (pod !== undefined) this.put({ ...pod, ...tweak })
  }

  async #call<T>(caller: Caller, effect: () => T): Promise<T> {
    if (!caller.attached()) return new Promise<T>(() => undefined)
    caller.boundary()
    if (!caller.attached()) return new Promise<T>(() => undefined)
    this.calls += 1
    const fault = this.faults.shift()
    await this.#clock.sleep(this.latency())
    if (this.down || fault === 'before') throw new Error('the API server is down')
    const answer = effect()
    caller.boundary()
    await this.#clock.sleep(this.latency())
    await caller.awake()
    if (!caller.attached()) return new Promise<T>(() => undefined)
    if (fault === 'after') throw new Error('the connection was cut')
    return answer
  }

  #same(ref: PodRef): ObservedPod | undefined {
    return this.pods.get(ref.uid)
  }

  /** Whether the service account may use the group: as it was when it was asked, however late the answer is. */
  mayUse(caller: Caller): (subject: { serviceAccountName: string }, groupId: string) => Promise<boolean> {
    return async (subject, groupId) => {
      if (!caller.attached()) return new Promise<boolean>(() => undefined)
      const may = await this.may(subject, groupId)
      const latency = this.reviewLatency()
      if (latency > 0) await this.#clock.sleep(Math.min(latency, TIMEOUT))
      await caller.awake()
      if (!caller.attached()) return new Promise<boolean>(() => undefined)
      if (latency > TIMEOUT) throw new Error('the API server did not answer in time')
      this.permissionsToldTo.add(`${String(caller.id)} ${subject.serviceAccountName} ${groupId}`)
      return may
    }
  }

  cluster(caller = NOBODY): Cluster {
    return {
      pod: (namespace, name) =>
        this.#call(caller, () => {
          const pod = this.named(name)
          return pod?.namespace === namespace ? pod : undefined
        }),
      podsAt: (address) =>
        this.#call(caller, () => {
          if (this.unlisted) throw new Error('the API server does not list')
          // The field selector knows the first address alone.
          return [...this.pods.values()].filter(({ addresses }) => addresses[0] === address)
        }),
      overlookedPods: () =>
        this.#call(caller, () => {
          if (!this.overlooking) throw new Error('the API server does not list')
          this.overlookedReadBy.add(caller.id)
          return [...this.pods.values()].filter((pod) => !pod.labelled && (pod.annotated || pod.finalized))
        }),
      nodeExists: (name) =>
        this.#call(caller, () => {
          if (this.nodeless) throw new Error('nodes may not be read')
          return this.nodes.has(name)
        }),
      stamp: (ref) =>
        this.#call(caller, () => {
          const pod = this.#same(ref)
          if (pod === undefined || (pod.deletionTimestamp !== undefined && !pod.finalized)) return false
          this.put({ ...pod, finalized: true, heldByFinalizer: true, labelled: true })
          return true
        }),
      release: (ref, alsoLabel) =>
        this.#call(caller, () => {
          const pod = this.#same(ref)
          if (pod === undefined) return
          if (pod.finalized) this.onRelease(pod, caller)
          this.put({ ...pod, finalized: false, heldByFinalizer: false, labelled: pod.labelled && !alsoLabel })
        }),
      writeCondition: (ref, condition) =>
        this.#call(caller, () => {
          if (this.wordless) throw new Error('pods/status is denied')
          const pod = this.#same(ref)
          if (pod !== undefined) this.put({ ...pod, condition })
        })
    }
  }
}

function forget(watch: Watch | undefined, isForgotten: (uid: string) => boolean): void {
  for (const pair of watch?.shown ?? []) if (isForgotten(pair.split(' ')[0] ?? '')) watch?.shown.delete(pair)
}

function noteShown({ shown }: Watch, pods: readonly ObservedPod[]): void {
  for (const { addresses, uid } of pods) for (const address of addresses) shown.add(`${uid} ${address}`)
}
