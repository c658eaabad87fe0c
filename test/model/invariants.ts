/**
 * What may never be, whatever happens. Each bound is computed from the settings and from what docs/architecture.md states, never from what
 * the code happens to do. `look` is called at every step, and between steps at least every five seconds.
 * Longer than most files here: the invariants share what was seen at each step, and are read against one list of bounds.
 */
import { familyOf, ruleKey } from '../../shared/rules.ts'
import type { SecurityGroupId } from '../../shared/rules.ts'
import { rulesOf } from '../../worker/desired.ts'
import type { ObservedPod } from '../../worker/pods.ts'
import type { ObservedRule } from '../../worker/securityGroups.ts'
import { CALL_TIMEOUT, LAG } from '../../worker/worldFixture.ts'
import type { World } from '../../worker/worldFixture.ts'
import type { Cache } from '../../worker/worldClusterFixture.ts'
import type { Caller, Effect } from '../../worker/worldEc2Fixture.ts'
import { inCommon, isOpen, passageOf } from './passage.ts'
import type { Passage } from './passage.ts'
import { HOLD, SWEEP } from './setting.ts'
import type { Setting } from './setting.ts'
import { AT_ONCE } from './steps.ts'
import { endShown, placeOf } from './truth.ts'
import type { Asking, Place, Truth } from './truth.ts'

/** Slowest delay after a failure: of a refusal by IAM, or for the quota (worker/failures.ts, one table for all). */
const BACKOFF = 60_000
/** Some calls, one after the other, none of which fails. */
const CALLS = 5000
/** Nothing has gone wrong for a while: what a sweep finds, with what EC2 may hide from it, has been repaired. */
export const REPAIRED = LAG + SWEEP + BACKOFF + 2 * CALL_TIMEOUT + CALLS
/** A permission was withdrawn: a look within one and a half sweeps, another one 30 s later or more, and the time between two looks. */
export const WITHDRAWN = LAG + 1.5 * SWEEP + 30_000 + 15_000 + 2 * CALL_TIMEOUT + CALLS
/** A quota that was found to be low is tried again after five sweeps (docs/architecture.md), and a group may be found full in passing. */
export const PROBED = 6 * SWEEP
/** What is not denied for so long, and was permitted for longer than it takes to withdraw it, may not be taken away. */
const CONFIRMED = 30_000
/** Beyond MAX_HOLD: a held pod is looked at every 5 s, a failed try comes back within 15 s, and a call or two. */
const HELD_MARGIN = 5000 + 15_000 + CALLS

export type Invariant = 'leak' | 'cut' | 'revoked' | 'foreign' | 'held' | 'partial' | 'bucket' | 'early' | 'restless'

export interface Wrong {
  readonly invariant: Invariant
  readonly text: string
}

interface Kept {
  readonly since: number
  /** A worker has known it while nothing spoke against it. */
  readonly known: boolean
  readonly pod: ObservedPod
  /** It may use the group at this moment. */
  readonly permitted: boolean
  /** Since when it has no longer asked for it. */
  readonly editedAt?: number
}

export class Invariants {
  readonly #world: World
  readonly #truth: Truth
  readonly #setting: Setting
  readonly wrongs: Wrong[] = []
  /** The last moment at which something kept the worker from doing its work. */
  illAt: number
  /** The last moment at which answers about permissions were late: until then nobody may know who has one. */
  #unansweredAt = -Infinity
  /** The last moment at which EC2 may have refused to let a rule be modified: until the next sweep it is revoked, and made anew. */
  #unmodifiableAt = -Infinity
  /** What is counted has been so since then. */
  #lookedAt = -Infinity
  /** Nothing was ever made to go wrong. */
  faultless = true
  /** Changes that were made in EC2 by us. */
  effects = 0
  /** EC2's quota was lower than RULES_PER_GROUP. */
  lowQuota = false
  /** Quotas of EC2, each with the last moment at which it was that. */
  readonly #quotaAt = new Map<number, number>()
  /** `<group> <family>`: when something was last taken out of it while it was full. */
  readonly #fullAt = new Map<string, number>()
  #ableSince: number
  /** The wall clock was ahead, and behind, by so much at most. */
  #wallAhead = 0
  #wallBehind = 0
  /** Since when a rule of ours has been there without anybody who asks for it. */
  readonly #unclaimedSince = new Map<string, number>()
  /** Since when a rule has been asked for and not there. */
  readonly #missingSince = new Map<Place, number>()
  /** Since when a rule has been asked for by a pod that is shadowed. */
  readonly #shadowedSince = new Map<string, number>()
  /** Rules that may not be taken away, and from whom. */
  #kept: ReadonlyMap<Place, ReadonlyMap<string, Kept>> = new Map()
  /** Rules that a pod kept until it was edited, of which it goes on asking for a part. */
  #edited: ReadonlyMap<Place, ReadonlyMap<string, Kept>> = new Map()
  /** When each pod asked for a rule last. */
  readonly #askedAt = new Map<Place, Map<string, number>>()
  readonly #annotatedSince = new Map<string, number>()
  readonly #endedSince = new Map<string, number>()
  /** Since when the object has shown the end, which may be said to be long past. */
  readonly #shownSince = new Map<string, number>()
  /** When the pod's node came back last, and since when it had ended until then. */
  readonly #revived = new Map<string, { readonly at: number; readonly endedSince: number }>()
  readonly #finalizedSince = new Map<string, number>()
  readonly #livingSince = new Map<string, number>()
  /** When somebody took our tag off a rule of ours. */
  readonly untaggedAt = new Map<string, number>()
  /** When somebody took away what was there. */
  readonly goneByHandAt = new Map<Place, number>()
  readonly #madeAt = new Map<string, { readonly at: number; readonly by: number; readonly late: boolean }>()

  constructor(world: World, truth: Truth, setting: Setting) {
    this.#world = world
    this.#truth = truth
    this.#setting = setting
    this.illAt = world.clock.now()
    this.#ableSince = world.clock.now()
    world.cluster.onRelease = (pod, caller) => this.#released(pod, caller)
    world.ec2.onEffect = () => this.#lookAtEffects()
  }

  wrong(invariant: Invariant, text: string): void {
    if (this.wrongs.length < 20) this.wrongs.push({ invariant, text: `${invariant}: ${text}` })
  }

  /** Something was made to go wrong just now. */
  ill(): void {
    this.faultless = false
    this.illAt = this.#world.clock.now()
    this.#noteWhoMayModify()
  }

  #noteWhoMayModify(): void {
    const { clock, ec2 } = this.#world
    if (ec2.denied.has('ModifySecurityGroupRules') || ec2.faults.includes('denied')) this.#unmodifiableAt = clock.now()
  }

  #isWell(): boolean {
    const { clock, cluster, ec2, leaseInDoubt } = this.#world
    const leader = this.#world.leader()
    // In the first EC2_READ_LAG nobody knows what whoever led before has done last.
    const isNew = leader === undefined || clock.now() < leader.startedAt + LAG
    return (
      !isNew &&
      leader.worker.trusted() &&
      !leaseInDoubt &&
      this.#world.pausedUntil() <= clock.now() &&
      !cluster.down &&
      !cluster.broken &&
      cluster.faults.length === 0 &&
      ec2.faults.length === 0 &&
      [...ec2.denied].every((action) => action === 'ModifySecurityGroupRules' && !this.#setting.mayModify) &&
      !ec2.expired
    )
  }

  look(): void {
    const { clock, ec2 } = this.#world
    if (ec2.quota < 60) this.lowQuota = true
    this.#quotaAt.set(ec2.quota, clock.now())
    this.#wallAhead = Math.max(this.#wallAhead, this.#world.wallOff)
    this.#wallBehind = Math.max(this.#wallBehind, -this.#world.wallOff)
    if (!this.#isWell()) this.illAt = clock.now()
    // It is well from a moment on that lies between two looks.
    const ripe = (this.#world.leader()?.startedAt ?? -Infinity) + LAG
    if (ripe <= clock.now()) this.illAt = Math.max(this.illAt, ripe)
    this.#noteWhoMayModify()
    if (this.#world.cluster.reviewLatency !== AT_ONCE) this.#unansweredAt = clock.now()
    const { cluster, leaseInDoubt } = this.#world
    if (cluster.down || cluster.broken || leaseInDoubt || this.#world.pausedUntil() > clock.now())
      this.#ableSince = clock.now()
    // Who stood still sends at once what waited for its turn: in the ten seconds that a lease allows less than EC2's real buckets take.
    if (this.#setting.tight && this.#world.pausedUntil() + CALLS > this.#lookedAt) ec2.tooMany = 0
    this.#lookedAt = clock.now()
    if (ec2.tooMany > 0) {
      this.wrong('bucket', `${String(ec2.tooMany)} calls more than EC2 takes`)
      ec2.tooMany = 0
    }
    const asked = this.#truth.asked()
    this.#lookAtRules(asked)
    this.#lookForMissing(asked)
    this.#lookAtPods()
    this.#noteWhatIsKept(asked)
    this.#noteWhoAsks(asked)
  }

  #noteWhoAsks(asked: ReadonlyMap<Place, readonly Asking[]>): void {
    const now = this.#world.clock.now()
    for (const [place, askings] of asked) {
      const at = this.#askedAt.get(place) ?? new Map<string, number>()
      for (const { pod } of askings) at.set(pod.uid, now)
      this.#askedAt.set(place, at)
    }
  }

  /** Somebody who asks for the rule, and may have it; or has lost that so lately that nobody can have confirmed it. */
  #isClaimed(asking: Asking): boolean {
    const now = this.#world.clock.now()
    return asking.refusedSince === undefined || now < Math.max(asking.refusedSince, this.#unansweredAt) + WITHDRAWN
  }

  /**
   * The pod of its name lives, asks for it, and shows no address of its family: it may hide it, as kubelets do for a while.
   * @param withdrawn how long it may take until a withdrawn permission counts
   */
  #isHiddenClaim(groupId: SecurityGroupId, rule: ObservedRule, withdrawn = WITHDRAWN): boolean {
    const pod = this.#world.cluster.named(rule.description.split('/')[2] ?? '')
    if (pod === undefined || pod.phase === 'Pending' || !this.#truth.isLiving(pod)) return false
    if (
      !this.#truth.isPermitted(pod, groupId) &&
      this.#world.clock.now() >= Math.max(this.#truth.turnedAt, this.#unansweredAt) + withdrawn
    )
      return false
    const address = rule.cidr.slice(0, rule.cidr.lastIndexOf('/'))
    if (pod.addresses.some((other) => familyOf(other) === familyOf(address))) return false
    return rulesOf(pod.declaration.requests, groupId, [address]).some((asked) => ruleKey(asked) === ruleKey(rule))
  }

  /** Its pod goes on asking for a part of it, and until lately nobody could tell whether it may: nothing is taken away meanwhile. */
  #isPartlyClaimed(place: Place, rule: ObservedRule, asked: ReadonlyMap<Place, readonly Asking[]>): boolean {
    const pod = this.#world.cluster.named(rule.description.split('/')[2] ?? '')
    if (pod === undefined || this.#world.clock.now() >= Math.max(this.#truth.turnedAt, this.#unansweredAt) + WITHDRAWN)
      return false
    const whole = passageOf(place)
    const isPart = (other: Place): boolean => inCommon(whole, passageOf(other)) !== undefined
    return [...asked].some(([other, askings]) => askings.some((asking) => asking.pod === pod) && isPart(other))
  }

  /** How long after its last trouble a worker that is well may take, in milliseconds. */
  #bound(): number {
    if (!this.faultless) return REPAIRED
    // Nothing but the life of pods: what the watch tells is done at once.
    return this.#setting.watchDelay + CALLS + (this.#setting.tight ? 10_000 : 0)
  }

  #lookAtRules(asked: ReadonlyMap<Place, readonly Asking[]>): void {
    const { clock, ec2 } = this.#world
    const now = clock.now()
    const there = new Set<string>()
    for (const [groupId, rules] of ec2.rules) {
      for (const rule of rules.values()) {
        if (!rule.owned) continue
        const place = placeOf(groupId, ruleKey(rule))
        if (asked.get(place)?.some((asking) => this.#isClaimed(asking)) === true) continue
        if (this.#isHiddenClaim(groupId, rule) || this.#isPartlyClaimed(place, rule, asked)) continue
        const id = `${rule.id} ${place}`
        there.add(id)
        const since = this.#unclaimedSince.get(id) ?? now
        this.#unclaimedSince.set(id, since)
        if (now > Math.max(since, this.illAt) + this.#bound())
          this.wrong('leak', `${place} (${rule.description}) has had no claim for ${String(now - since)} ms`)
      }
    }
    for (const id of this.#unclaimedSince.keys()) if (!there.has(id)) this.#unclaimedSince.delete(id)
  }

  #lookForMissing(asked: ReadonlyMap<Place, readonly Asking[]>): void {
    const { clock, ec2 } = this.#world
    const now = clock.now()
    const missing = new Set<Place>()
    for (const [groupId, rules] of ec2.rules) {
      const present = new Set([...rules.values()].map((rule) => placeOf(groupId, ruleKey(rule))))
      for (const [place, askings] of asked) {
        if (!place.startsWith(groupId) || present.has(place)) continue
        const served = askings.filter(
          (asking) =>
            asking.reported &&
            !asking.disputed &&
            asking.permittedSince !== undefined &&
            asking.pod.finalized &&
            asking.pod.labelled &&
            !this.#isNewlyShadowed(place, asking)
        )
        if (served.length === 0 || this.#isFull(groupId, place, rules.values())) continue
        missing.add(place)
        const since = this.#missingSince.get(place) ?? now
        this.#missingSince.set(place, since)
        const permittedSince = Math.min(...served.map((asking) => asking.permittedSince ?? now))
        const bound = this.#bound() + (this.lowQuota ? PROBED : 0)
        if (now > Math.max(since, permittedSince, this.#unansweredAt, this.illAt) + bound)
          this.wrong('cut', `${place} has been missing for ${String(now - since)} ms`)
      }
    }
    for (const place of this.#missingSince.keys()) if (!missing.has(place)) this.#missingSince.delete(place)
  }

  /** No sweep need have found that the other pod's node is gone. */
  #isNewlyShadowed(place: Place, { pod, shadowed }: Asking): boolean {
    const now = this.#world.clock.now()
    note(this.#shadowedSince, `${pod.uid} ${place}`, shadowed, now)
    return shadowed && now < Math.max(this.illAt, this.#shadowedSince.get(`${pod.uid} ${place}`) ?? now) + REPAIRED
  }

  #isFull(
    _groupId: SecurityGroupId,
    place: Place,
    rules: Iterable<ObservedRule>,
    quota = this.#world.ec2.quota
  ): boolean {
    const family = familyOf(place)
    return [...rules].filter(({ cidr }) => familyOf(cidr) === family).length >= Math.min(60, quota)
  }

  /** What somebody took away by hand, of the family, and no read need have shown gone. */
  #goneLately(groupId: SecurityGroupId, place: Place): number {
    const isLike = (other: Place): boolean => other.startsWith(groupId) && familyOf(other) === familyOf(place)
    return [...this.goneByHandAt.keys()].filter((other) => isLike(other) && this.#isGoneLately(other)).length
  }

  /** Somebody took it away by hand: until a read shows it, nobody can know that it is gone. */
  #isGoneLately(place: Place): boolean {
    const gone = this.goneByHandAt.get(place)
    return gone !== undefined && this.#world.clock.now() <= Math.max(gone, this.illAt) + REPAIRED
  }

  /** What a worker may take for EC2's quota. */
  #quotaLately(): number {
    const now = this.#world.clock.now()
    const lately = [...this.#quotaAt].filter(([, at]) => now <= Math.max(at, this.illAt) + PROBED)
    return Math.min(this.#world.ec2.quota, ...lately.map(([quota]) => quota))
  }

  #lookAtPods(): void {
    const { clock, cluster } = this.#world
    const now = clock.now()
    const leader = this.#world.leader()
    for (const times of [
      this.#annotatedSince,
      this.#endedSince,
      this.#finalizedSince,
      this.#livingSince,
      this.#revived,
      this.#shownSince
    ])
      for (const uid of times.keys()) if (!cluster.pods.has(uid)) times.delete(uid)
    for (const pod of cluster.pods.values()) {
      note(this.#annotatedSince, pod.uid, pod.annotated, now)
      const living = this.#truth.isLiving(pod)
      note(this.#livingSince, pod.uid, living, now)
      const endedSince = this.#endedSince.get(pod.uid)
      if (living && endedSince !== undefined) this.#revived.set(pod.uid, { at: now, endedSince })
      note(this.#endedSince, pod.uid, !living, now)
      // Nobody watches what has lost its label: the pass over all pods finds it, see atRest.
      note(this.#finalizedSince, pod.uid, pod.finalized && pod.labelled, now)
      note(this.#shownSince, pod.uid, endShown(pod, now) !== undefined, now)
      const since = this.#endedSince.get(pod.uid)
      const shown = this.#shownSince.get(pod.uid)
      const finalizedSince = this.#finalizedSince.get(pod.uid)
      if (since === undefined || finalizedSince === undefined) continue
      // That its node is gone a sweep finds; what the object shows the watch tells.
      const able = Math.max(this.#ableSince, leader === undefined ? now : leader.startedAt)
      const found = Math.max(since, finalizedSince, able) + 1.5 * SWEEP
      const known = Math.min(found, shown === undefined ? Infinity : Math.max(since, shown))
      const off = Math.abs(this.#world.wallOff)
      if (now > Math.max(known, able, finalizedSince) + HOLD + HELD_MARGIN + off)
        this.wrong('held', `${pod.uid} ended ${String(now - since)} ms ago`)
    }
  }

  /** What a worker that knows of it may not revoke, and for whom. */
  #noteWhatIsKept(asked: ReadonlyMap<Place, readonly Asking[]>): void {
    const now = this.#world.clock.now()
    const leader = this.#world.leader()
    // Until then no rule is put into the name of whoever has it from another, so that he is his heir still.
    const isNew = leader === undefined || now < leader.startedAt + LAG + CALLS
    const known = isNew ? -Infinity : this.#knownUntil()
    const kept = new Map<Place, Map<string, Kept>>()
    for (const [place, askings] of asked) {
      const before = this.#kept.get(place)
      for (const asking of askings) {
        const { uid } = asking.pod
        const had = before?.get(uid)
        if (!this.#mayKeep(asking, had?.known === true)) continue
        const since = had?.since ?? now
        const held = kept.get(place) ?? new Map<string, Kept>()
        const { permittedSince, pod } = asking
        const next = {
          since,
          known: had?.known === true || since < known,
          pod,
          permitted: permittedSince !== undefined
        }
        kept.set(place, held.set(uid, next))
      }
    }
    this.#edited = this.#partsOf(kept, asked)
    this.#kept = kept
  }

  /** What was kept until an edit, and still is in part. */
  #partsOf(
    kept: ReadonlyMap<Place, ReadonlyMap<string, Kept>>,
    asked: ReadonlyMap<Place, readonly Asking[]>
  ): ReadonlyMap<Place, ReadonlyMap<string, Kept>> {
    const parts = new Map<Place, Map<string, Kept>>()
    for (const [place, held] of [...this.#edited, ...this.#kept]) {
      for (const [uid, was] of held) {
        if (kept.get(place)?.has(uid) === true || !was.known || !this.#asksForPart(place, uid, asked)) continue
        const left = parts.get(place) ?? new Map<string, Kept>()
        parts.set(place, left.set(uid, { editedAt: this.#world.clock.now(), ...was }))
      }
    }
    return parts
  }

  /** It asks now for some of what passes by the rule of this place, and may keep it. */
  #asksForPart(place: Place, uid: string, asked: ReadonlyMap<Place, readonly Asking[]>): boolean {
    const whole = passageOf(place)
    return [...asked].some(
      ([other, askings]) =>
        inCommon(whole, passageOf(other)) !== undefined &&
        askings.some((asking) => asking.pod.uid === uid && this.#mayKeep(asking, true))
    )
  }

  /** What the pod keeps of what passes by the rule of this place, for so long that it is known. */
  #partsKnown(place: Place, uid: string): { readonly place: Place; readonly passage: Passage }[] {
    const whole = passageOf(place)
    const known = this.#knownUntil()
    const parts: { readonly place: Place; readonly passage: Passage }[] = []
    for (const [other, held] of this.#kept) {
      const common = (held.get(uid)?.since ?? Infinity) < known ? inCommon(whole, passageOf(other)) : undefined
      if (common !== undefined) parts.push({ place: other, passage: common })
    }
    return parts
  }

  /** What was so before, the worker has seen and acted upon; -Infinity: nobody leads. */
  #knownUntil(): number {
    const leader = this.#world.leader()
    if (leader === undefined) return -Infinity
    const { clock, cluster } = this.#world
    return cluster.asOf(leader.worker.cache, clock.now() - CALLS - (this.#setting.tight ? 10_000 : 0))
  }

  /** @param kept it was so before, and known: who is refused keeps what he has, and inherits nothing */
  #mayKeep(asking: Asking, kept: boolean): boolean {
    const { address, permittedBefore, permittedSince, pod, refusedSince, reported } = asking
    const now = this.#world.clock.now()
    const cache = this.#world.leader()?.worker.cache
    const seen = reported || (cache !== undefined && this.#world.cluster.hasShown(cache, pod.uid, address))
    const may =
      permittedSince === undefined
        ? kept && refusedSince !== undefined && now < refusedSince + CONFIRMED && permittedBefore > WITHDRAWN
        : now > Math.max(permittedSince, this.#unansweredAt) + WITHDRAWN
    return seen && may && !asking.disputed && !asking.shadowed && (kept || (pod.finalized && pod.labelled))
  }

  #lookAtEffects(): void {
    const { ec2 } = this.#world
    const late = ec2.isLate
    // What comes when nobody waits for it any more undoes what was done since, and a sweep finds it.
    if (late) this.ill()
    this.effects += ec2.authorizes.length + ec2.revokes.length + ec2.modifies.length
    for (const { at, by, rule } of ec2.authorizes.splice(0)) this.#madeAt.set(rule.id, { at, by, late })
    const revoked = ec2.revokes.splice(0)
    for (const effect of revoked) {
      const together = revoked.filter(({ groupId }) => groupId === effect.groupId)
      this.#tookAway(
        effect,
        'revoked',
        together.map(({ rule }) => rule)
      )
    }
    for (const effect of ec2.modifies.splice(0)) {
      if (ruleKey(effect.rule) === ruleKey(effect.to)) {
        this.#ownedOrWrong(effect, 'modified')
        // Nobody waits for a description that was refused once, but nobody needs it twice.
        if (effect.rule.description !== effect.to.description) this.effects -= 1
        continue
      }
      this.#tookAway(effect, 'modified', [])
      this.#madeAt.set(effect.to.id, { at: effect.at, by: effect.by, late })
    }
  }

  #ownedOrWrong({ at, groupId, rule }: Effect, how: string): void {
    if (rule.owned) return
    const untagged = this.untaggedAt.get(rule.id)
    // Until a read shows it, nobody can know that it is no longer ours.
    if (untagged !== undefined && at <= Math.max(untagged, this.illAt) + REPAIRED) return
    this.wrong('foreign', `${placeOf(groupId, ruleKey(rule))} (${rule.description}) was ${how}`)
  }

  /** @param gone what the same call has revoked */
  #tookAway(effect: Effect, how: string, gone: readonly ObservedRule[]): void {
    const { at, by, groupId, rule } = effect
    this.#ownedOrWrong(effect, how)
    const place = placeOf(groupId, ruleKey(rule))
    if (!this.#world.ec2.ownedReadBy.has(by) || !this.#world.cluster.overlookedReadBy.has(by))
      this.wrong('partial', `${place} was ${how} before all had been read`)
    const { ec2 } = this.#world
    const leader = this.#world.leader()
    const rules = [...(ec2.rules.get(groupId)?.values() ?? [])]
    if (this.#isFull(groupId, place, [...rules, ...gone], this.#quotaLately() - this.#goneLately(groupId, place)))
      this.#fullAt.set(`${groupId} ${familyOf(place)}`, at)
    if (leader?.caller.id !== by || ec2.isLate) return
    this.#noteWhatIsKept(this.#truth.asked())
    // Of whom it is not known that he may use the group is the heir of whoever the rule was made for, until it bears his name.
    const keepers = [...(this.#kept.get(place)?.values() ?? [])].filter(
      ({ permitted, pod }) => (permitted && this.#isTold(by, pod, groupId)) || rule.description.endsWith(`/${pod.name}`)
    )
    const since = Math.min(...keepers.map((kept) => kept.since))
    // What was decided before the claim was known is carried out: the call waits for its turn, and is on its way.
    if (since < this.#knownUntil())
      this.wrong('revoked', `${place} was ${how} though claimed for ${String(at - since)} ms`)
    for (const [uid, { editedAt = Infinity, permitted, pod }] of this.#edited.get(place) ?? []) {
      // Who has not seen the edit takes a denial for that of a stranger.
      if (!this.#truth.isPermitted(pod, groupId) && leader.startedAt >= editedAt) continue
      if (!permitted || !this.#isTold(by, pod, groupId) || !rule.description.endsWith(`/${pod.name}`)) continue
      const open = rules.map((rule) => passageOf(placeOf(groupId, ruleKey(rule))))
      const parts = this.#partsKnown(place, uid)
      const lost = parts.filter((part) => !isOpen(part.passage, open) && !this.#isGoneLately(part.place))
      if (lost.length === 0) continue
      // In a group that is full, as far as the worker knows, its places are left to it, and who may not modify has one less for a moment.
      const wasFull = at <= (this.#fullAt.get(`${groupId} ${familyOf(place)}`) ?? -Infinity) + CALLS
      const places = rules.filter(({ cidr, owned }) => owned && cidr === rule.cidr).length
      const mayLose = !wasFull ? 0 : at < this.#unmodifiableAt + REPAIRED ? parts.length : parts.length - places
      if (lost.length > mayLose)
        this.wrong('revoked', `${place} was ${how} though ${uid} goes on asking for a part of it`)
    }
  }

  /** The process has been told since it began whether the pod may use the group. */
  #isTold(process: number, { serviceAccountName }: ObservedPod, groupId: SecurityGroupId): boolean {
    const { cluster, ec2 } = this.#world
    const told = cluster.permissionsToldTo.has(`${String(process)} ${serviceAccountName} ${groupId}`)
    return told && ec2.tagsReadBy.has(`${String(process)} ${groupId}`)
  }

  #released(pod: ObservedPod, caller: Caller): void {
    const { clock, cluster, ec2 } = this.#world
    const now = clock.now()
    const leader = this.#world.leader()
    if (leader?.caller.id !== caller.id) return
    const living = this.#truth.isLiving(pod)
    const end = endShown(pod, now)
    const knew = cluster.asOf(leader.worker.cache, now - CALLS)
    const revived = this.#revived.get(pod.uid)
    // As far as the worker can know it ended with its node, though the node has just come back.
    const before = revived !== undefined && revived.at >= knew ? revived.endedSince : Infinity
    const since = Math.min(before, this.#endedSince.get(pod.uid) ?? Infinity)
    // By the pod's timestamps, met by a clock that was behind and counted by one that is ahead, MAX_HOLD may be over.
    const deadline = Math.min(end ?? Infinity, since) + HOLD - this.#wallAhead - this.#wallBehind - CALLS
    if (now >= deadline) return
    // Who is annotated again, or whose node is back, at the moment at which it is let go gets our marks again.
    const asksSince = Math.max(this.#annotatedSince.get(pod.uid) ?? now, this.#livingSince.get(pod.uid) ?? now)
    const asksAgain = living && pod.annotated && asksSince >= knew
    if (living && pod.annotated && !asksAgain) this.wrong('early', `${pod.uid} lives, and was released`)
    const asked = this.#truth.asked()
    this.#noteWhoAsks(asked)
    // Of who has been annotated again, and has even ended since, that is known too late: his rules go by their former claims.
    if (!living && pod.annotated && (this.#annotatedSince.get(pod.uid) ?? now) >= knew) return
    for (const address of this.#truth.addressesOf(pod)) {
      const isNew = this.#truth.hasHad(pod.uid, address) >= knew
      const source = `${address}/${address.includes(':') ? '128' : '32'}`
      for (const [groupId, rules] of ec2.rules) {
        for (const rule of rules.values()) {
          const place = placeOf(groupId, ruleKey(rule))
          if (!rule.owned || rule.cidr !== source) continue
          // It was left by another of its name, before it came.
          if (living && this.#askedAt.get(place)?.has(pod.uid) !== true) continue
          if (asksAgain && asked.get(place)?.some((asking) => asking.pod.uid === pod.uid) === true) continue
          if (this.#isAskedByAnother(place, pod.uid, knew)) continue
          if (this.#isOnNodeGone(address, pod.uid, leader.worker.cache)) continue
          // It was made for another, who is held until it is gone.
          const maker = cluster.named(rule.description.split('/')[2] ?? '')
          if (maker !== undefined && maker.uid !== pod.uid && maker.finalized) continue
          // Its status hid the address from who leads now, or had no label then, or has just named it, and the rule was another's before:
          // the sweep finds it.
          const isUnseen =
            this.#truth.hidSince(pod.uid) < leader.startedAt || !cluster.hasShown(leader.worker.cache, pod.uid, address)
          const hides = !pod.addresses.includes(address) && isUnseen
          if ((hides || isNew) && !rule.description.endsWith(`/${pod.name}`)) continue
          const made = this.#madeAt.get(rule.id)
          // What was made before it began, and was hidden by a lagging read, its next sweep finds.
          const hidden = made?.by !== caller.id && (made?.at ?? -Infinity) > leader.startedAt - LAG - CALL_TIMEOUT
          if (!hidden && made?.late !== true)
            this.wrong('early', `${pod.uid} was released before ${groupId} ${ruleKey(rule)} was gone`)
        }
      }
    }
  }

  /** Another pod at the address, or that was at it as far as the worker knew, has ended with its node, which a sweep finds. */
  #isOnNodeGone(address: string, uid: string, cache: Cache): boolean {
    const { clock, cluster } = this.#world
    return [...cluster.pods.values()].some(
      (pod) =>
        pod.uid !== uid &&
        !this.#truth.isLiving(pod) &&
        endShown(pod, clock.now()) === undefined &&
        (this.#truth.addressesOf(pod).has(address) || cluster.hasShown(cache, pod.uid, address))
    )
  }

  /** Another pod asked for the rule as far as the worker can know, who knew what had happened before `knew`. */
  #isAskedByAnother(place: Place, uid: string, knew: number): boolean {
    for (const [other, at] of this.#askedAt.get(place) ?? []) if (other !== uid && at >= knew) return true
    return false
  }

  /** Nothing has gone wrong for long, and nobody has done anything: what is not right will never be. */
  atRest(): Wrong[] {
    const found: Wrong[] = []
    const { cluster, ec2 } = this.#world
    const asked = this.#truth.asked()
    for (const [groupId, rules] of ec2.rules) {
      for (const rule of rules.values()) {
        const place = placeOf(groupId, ruleKey(rule))
        const claimed = asked.get(place)?.some(({ refusedSince }) => refusedSince === undefined) === true
        if (rule.owned && !claimed && !this.#isHiddenClaim(groupId, rule, 0))
          found.push({ invariant: 'leak', text: `leak at rest: ${place} (${rule.description})` })
      }
      const present = new Set([...rules.values()].map((rule) => placeOf(groupId, ruleKey(rule))))
      for (const [place, askings] of asked) {
        const served = askings.some(
          ({ disputed, permittedSince, reported }) => reported && !disputed && permittedSince !== undefined
        )
        if (!place.startsWith(groupId) || present.has(place) || !served) continue
        if (!this.#isFull(groupId, place, rules.values()))
          found.push({ invariant: 'cut', text: `cut at rest: ${place}` })
      }
    }
    for (const pod of cluster.pods.values()) {
      const living = this.#truth.isLiving(pod)
      if (pod.finalized && (!living || !pod.annotated))
        found.push({ invariant: 'held', text: `held at rest: ${pod.uid}` })
      if (living && pod.annotated && pod.deletionTimestamp === undefined && !(pod.finalized && pod.labelled))
        found.push({ invariant: 'early', text: `without our marks at rest: ${pod.uid}` })
    }
    return found
  }
}

/** Since when it is so. */
function note(times: Map<string, number>, uid: string, is: boolean, now: number): void {
  if (!is) times.delete(uid)
  else if (!times.has(uid)) times.set(uid, now)
}
