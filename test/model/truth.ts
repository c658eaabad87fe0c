/** What is so, whoever has noticed: which pod holds which address, who may use which group, and which rules follow. */
import { ruleKey } from '../../shared/rules.ts'
import type { SecurityGroupId } from '../../shared/rules.ts'
import { rulesOf } from '../../worker/desired.ts'
import { startedLater } from '../../worker/pods.ts'
import type { ObservedPod } from '../../worker/pods.ts'
import type { World } from '../../worker/worldFixture.ts'

/** A permission or an opt-in, and since when it is as it is. */
export interface Flag {
  readonly on: boolean
  readonly since: number
  /** When the other state before this one began. */
  readonly before: number
}

/** What the truth knows of a living pod beside its object. */
interface Holding {
  /** Addresses that it holds, reported or hidden by a blank status, and since when. */
  readonly held: ReadonlyMap<string, number>
  /** Those that it hid when another pod came to name them: whoever missed that goes on taking it for their holder. */
  readonly lost: ReadonlySet<string>
  /** Since when its status hides an address; undefined while it hides none. */
  readonly blankSince: number | undefined
}

/** One living pod that asks for one rule. */
export interface Asking {
  readonly pod: ObservedPod
  readonly address: string
  /** Its status names the address now. */
  readonly reported: boolean
  /** It may use the group, and the group is opted in: since when; undefined when not. */
  readonly permittedSince: number | undefined
  /** Since when it may not. */
  readonly refusedSince: number | undefined
  /** How long it had been permitted before that, in milliseconds. */
  readonly permittedBefore: number
  /** Another living pod may hold the address instead. */
  readonly disputed: boolean
  /** A pod that started later names the address, and has ended with its node: until a sweep finds that, it counts as the holder. */
  readonly shadowed: boolean
}

/** `<group> <rule key>` */
export type Place = string
export const placeOf = (groupId: SecurityGroupId, key: string): Place => `${groupId} ${key}`

/**
 * Since when the pod's own object shows that it no longer holds its addresses; undefined while it does. Said here again, for the worker's
 * own `endOf` is on trial.
 */
export function endShown(pod: ObservedPod, now: number): number | undefined {
  const { containersTerminatedAt, deletionTimestamp, gracePeriodSeconds, phase } = pod
  if (phase === 'Succeeded' || phase === 'Failed')
    return Math.min(now, containersTerminatedAt ?? deletionTimestamp ?? now)
  if (deletionTimestamp === undefined) return undefined
  if (gracePeriodSeconds === 0) return Math.min(now, deletionTimestamp)
  // A container that crashed before may have been started again.
  const askedAt = deletionTimestamp - (gracePeriodSeconds ?? 0) * 1000
  return containersTerminatedAt !== undefined && containersTerminatedAt > askedAt ? containersTerminatedAt : undefined
}

export class Truth {
  readonly #world: World
  readonly #holdings = new Map<string, Holding>()
  readonly permissions = new Map<string, Flag>()
  readonly optIns = new Map<SecurityGroupId, Flag>()
  /** When a permission or an opt-in was given or taken away last. */
  turnedAt = -Infinity

  constructor(world: World, accounts: readonly string[], groups: readonly SecurityGroupId[]) {
    this.#world = world
    const long: Flag = { on: true, since: -Infinity, before: -Infinity }
    for (const groupId of groups) {
      this.optIns.set(groupId, long)
      for (const account of accounts) this.permissions.set(`${account} ${groupId}`, long)
    }
    world.cluster.onChange = (before, after) => this.#follow(before, after)
    world.cluster.may = (subject, groupId) =>
      world.cluster.down
        ? Promise.reject(new Error('the API server is down'))
        : Promise.resolve(this.permissions.get(`${subject?.serviceAccountName ?? ''} ${groupId ?? ''}`)?.on ?? false)
  }

  turn<K>(flags: Map<K, Flag>, key: K): boolean {
    const flag = flags.get(key)
    if (flag === undefined) return false
    this.turnedAt = this.#world.clock.now()
    flags.set(key, { on: !flag.on, since: this.#world.clock.now(), before: flag.since })
    return true
  }

  permitAll(): void {
    for (const [key, { on }] of this.permissions) if (!on) this.turn(this.permissions, key)
    for (const [groupId, { on }] of this.optIns) {
      if (on) continue
      this.turn(this.optIns, groupId)
      this.#world.ec2.optIn(groupId, true)
    }
  }

  isLiving(pod: ObservedPod): boolean {
    const nodeGone = pod.nodeName !== undefined && !this.#world.cluster.nodes.has(pod.nodeName)
    return !nodeGone && endShown(pod, this.#world.clock.now()) === undefined
  }

  /** Addresses that a living pod holds, or that a dead one names. */
  addressesOf(pod: ObservedPod): ReadonlySet<string> {
    return new Set([...pod.addresses, ...(this.#holdings.get(pod.uid)?.held.keys() ?? [])])
  }

  /** Since when the pod has held the address. */
  hasHad(uid: string, address: string): number {
    return this.#holdings.get(uid)?.held.get(address) ?? Infinity
  }

  /** It hid an address when another pod came to name it: who cannot see that one goes on taking it for the holder. */
  hasLost(uid: string): boolean {
    return (this.#holdings.get(uid)?.lost.size ?? 0) > 0
  }

  /** Since when the pod's status hides an address. */
  hidSince(uid: string): number {
    return this.#holdings.get(uid)?.blankSince ?? Infinity
  }

  /** Whether some container still runs at the address, whatever is reported. */
  isTaken(address: string): boolean {
    for (const pod of this.#world.cluster.pods.values())
      if (this.isLiving(pod) && this.addressesOf(pod).has(address)) return true
    return false
  }

  /** A status that goes blank hides an address until it names another of that family, or another pod comes to name it. */
  #follow(before: ObservedPod | undefined, after: ObservedPod | undefined): void {
    if (after === undefined) {
      if (before !== undefined) this.#holdings.delete(before.uid)
      return
    }
    const was = this.#holdings.get(after.uid)
    const families = new Set(after.addresses.map((address) => address.includes(':')))
    const hidden = [...(was?.held.keys() ?? [])].filter((address) => !families.has(address.includes(':')))
    const blankSince = hidden.length === 0 ? undefined : (was?.blankSince ?? this.#world.clock.now())
    const now = this.#world.clock.now()
    const held = new Map([...after.addresses, ...hidden].map((address) => [address, was?.held.get(address) ?? now]))
    const lost = new Set([...(was?.lost ?? [])].filter((address) => !families.has(address.includes(':'))))
    this.#holdings.set(after.uid, { held, lost, blankSince })
    for (const address of after.addresses) {
      if (!this.isLiving(after)) continue
      const newly = was?.held.has(address) !== true
      for (const [uid, { held }] of this.#holdings) {
        const other = this.#world.cluster.pods.get(uid)
        if (uid === after.uid || other === undefined || other.addresses.includes(address)) continue
        if (held.has(address) && (newly || startedLater(other, after) === after)) this.#lose(uid, address)
      }
    }
    // Who hides an address that one who started later names is not its holder any more, whenever anybody notices.
    for (const address of hidden) {
      for (const other of this.#world.cluster.pods.values()) {
        const names = other.uid !== after.uid && other.addresses.includes(address) && this.isLiving(other)
        if (names && startedLater(after, other) === other) this.#lose(after.uid, address)
      }
    }
  }

  #lose(uid: string, address: string): void {
    const holding = this.#holdings.get(uid)
    if (holding === undefined) return
    const held = new Map([...holding.held].filter(([one]) => one !== address))
    this.#holdings.set(uid, { ...holding, held, lost: new Set([...holding.lost, address]) })
  }

  /**
   * Who asks for which rule, by place. A pod whose address a later-started one reports asks for nothing there, if the worker can know of it:
   * it watches no pod without our label.
   */
  asked(): Map<Place, Asking[]> {
    const found = new Map<Place, Asking[]>()
    const living = [...this.#world.cluster.pods.values()].filter((pod) => this.isLiving(pod))
    for (const pod of living) {
      if (pod.declaration.requests.length === 0) continue
      const holding = this.#holdings.get(pod.uid)
      const groups = new Set(pod.declaration.requests.map(({ groupId }) => groupId))
      for (const address of holding?.held.keys() ?? []) {
        const others = living.filter((other) => other !== pod && this.addressesOf(other).has(address))
        const beaten = others.some(
          (other) => other.labelled && other.addresses.includes(address) && startedLater(other, pod) === other
        )
        if (beaten) continue
        const disputed =
          others.some((other) => startedLater(other, pod) === other || !other.addresses.includes(address)) ||
          living.some((other) => this.#holdings.get(other.uid)?.lost.has(address) && startedLater(other, pod) === other)
        for (const groupId of groups) {
          const asking: Asking = {
            pod,
            address,
            reported: pod.addresses.includes(address),
            disputed,
            shadowed: this.#isShadowed(pod, address),
            ...this.#standing(pod, groupId)
          }
          for (const rule of rulesOf(pod.declaration.requests, groupId, [address])) {
            const place = placeOf(groupId, ruleKey(rule))
            const others = found.get(place)
            if (others === undefined) found.set(place, [asking])
            else others.push(asking)
          }
        }
      }
    }
    return found
  }

  #isShadowed(pod: ObservedPod, address: string): boolean {
    return [...this.#world.cluster.pods.values()].some(
      (other) =>
        !this.isLiving(other) &&
        other.labelled &&
        endShown(other, this.#world.clock.now()) === undefined &&
        this.addressesOf(other).has(address) &&
        startedLater(other, pod) === other
    )
  }

  isPermitted(pod: ObservedPod, groupId: SecurityGroupId): boolean {
    return this.#standing(pod, groupId).permittedSince !== undefined
  }

  #standing(
    pod: ObservedPod,
    groupId: SecurityGroupId
  ): Pick<Asking, 'permittedSince' | 'refusedSince' | 'permittedBefore'> {
    const flags = [this.optIns.get(groupId), this.permissions.get(`${pod.serviceAccountName} ${groupId}`)]
    let from = -Infinity
    let refused = Infinity
    for (const flag of flags) {
      from = Math.max(from, flag === undefined ? -Infinity : flag.on ? flag.since : flag.before)
      if (flag?.on === false) refused = Math.min(refused, flag.since)
    }
    return refused === Infinity
      ? { permittedSince: from, refusedSince: undefined, permittedBefore: 0 }
      : { permittedSince: undefined, refusedSince: refused, permittedBefore: refused - from }
  }
}
