/** For tests: the pods of a small world, as its API server has them, and a watch that is late. */
import { parseAnnotations } from '../shared/annotation.ts'
import type { PodRef } from '../shared/podRef.ts'
import type { Cluster } from './cluster.ts'
import { podOf } from './podFixture.ts'
import type { ObservedPod } from './pods.ts'
import type { PodEvent } from './settle.ts'
import type { Worker } from './worker.ts'
import type { WorldClock } from './worldClockFixture.ts'

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
  /** What RBAC says of every service account; it rejects when nobody can tell. */
  may: () => Promise<boolean> = () => Promise.resolve(true)
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
    this.calls += 1
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
      nodeExists: (name) =>
        this.#call(() => {
          if (this.nodeless) throw new Error('nodes may not be read')
          return this.nodes.has(name)
        }),
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
