/**
 * The pods that concern the worker, as last seen, with what must be remembered beyond that: addresses that a blank status
 * hides, and claims that have ended. No I/O: time is an argument, and what a change touches is told to the listener.
 * Longer than most files here: each of its indexes must change with all others, in one place.
 */
import { ruleKey } from '../shared/rules.ts'
import type { Rule, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { rulesOf } from './desired.ts'
import type { PodView } from './desired.ts'
import { Multimap } from './multimap.ts'
import { addressOf } from './orphans.ts'
import { startedLater } from './pods.ts'
import type { ObservedPod } from './pods.ts'
import { decideAlike, endSeen, groupsOf, rememberAddresses, withTextsOf } from './podView.ts'

/** A rule that a pod had reason to hold until it ended or changed its mind. */
export interface FormerClaim {
  readonly pod: ObservedPod
  readonly since: number
  /** Nobody saw the pod hold it: it was first met ended, or before we led, and may have held all that it asks for. */
  readonly inferred: boolean
}

export interface PodCacheListener {
  /** Something that decides about the rules of these groups has changed. */
  groupsTouched(groupIds: Iterable<SecurityGroupId>): void
  /** Something about the pod has changed, or is to be looked into. */
  podTouched(uid: string): void
}

export interface PodCache {
  /** The whole truth of a list: pods that it lacks are {@link vanished}. */
  replace(pods: readonly ObservedPod[], now: number): void
  change(pod: ObservedPod, now: number): void
  /** The watch no longer shows the pod: it is gone, or merely lost its label. The API server must be asked. */
  vanish(pod: ObservedPod, now: number): void
  /** The API server has said that no pod of this uid exists any more. */
  gone(uid: string, now: number): void
  /**
   * Of the node's pods these have ended. A pod that is seen on it only now may be news of a node that is back and not shown yet:
   * whether that is so, the API server must be asked again.
   */
  nodeGone(name: string, uids: Iterable<string>, now: number): void
  /** @param shown the nodes that the watch shows: of them none is gone */
  reviewNodes(shown: ReadonlySet<string>, now: number): void
  /** Our finalizer is off an ended pod whose grace is over: when the watch shows it no more, it is gone. */
  expectGone(uid: string): void
  /** When something that decides about the pod's rules changed last, by the clock that the changes came with. */
  changedAt(uid: string): number
  /** Changes with everything that is learned of the pod. */
  revision(uid: string): number
  /** How often the pod has come back to life: its node was gone, and is there again. */
  revivals(uid: string): number
  view(uid: string): PodView | undefined
  views(): Iterable<PodView>
  /** Pods that ask, or asked when they ended, for something in the group. */
  viewsOf(groupId: SecurityGroupId): PodView[]
  isVanished(uid: string): boolean
  /** Whether any is, which is seldom. */
  anyVanished(): boolean
  /** uid of the living pod that holds the address. */
  holder(address: string): string | undefined
  /** Pods that held the address until they ended. */
  endedAt(address: string): PodView[]
  named(namespace: string, name: string): PodView | undefined
  groups(): Iterable<SecurityGroupId>
  formerClaims(groupId: SecurityGroupId): ReadonlyMap<RuleKey, FormerClaim>
  /**
   * From now on claims that end are remembered, until {@link forget}: whoever leads settles them, a standby never would. Of what
   * ended before, the pods that are still here tell.
   */
  beginRemembering(now: number): void
  /** Groups in which the pod has former claims. */
  formerGroups(uid: string): Iterable<SecurityGroupId>
  forget(groupId: SecurityGroupId, key: RuleKey): void
}

/** One object for all that is kept by uid: a map of tens of thousands costs a megabyte. */
interface Entry {
  view: PodView
  revision: number
  changedAt: number
}

export function createPodCache(listener: PodCacheListener): PodCache {
  const entries = new Map<string, Entry>()
  const byName = new Multimap<string, string>()
  const byGroup = new Multimap<SecurityGroupId, string>()
  /** Of the living ones, and below of those that have ended. */
  const byAddress = new Multimap<string, string>()
  const endedByAddress = new Multimap<string, string>()
  const missing = new Set<string>()
  const expected = new Set<string>()
  let revision = 0
  const revivals = new Map<string, number>()
  /** Node -> the pods that ended with it. */
  const goneNodes = new Multimap<string, string>()
  let remembering = false
  const former = new Map<SecurityGroupId, Map<RuleKey, FormerClaim>>()
  const formerByPod = new Multimap<string, SecurityGroupId>()

  const viewed = (uid: string): PodView | undefined => entries.get(uid)?.view

  /** A name is one pod's at a time in its namespace, and most names are in one namespace. */
  const uidNamed = (namespace: string, name: string): string | undefined => {
    for (const uid of byName.get(name)) if (viewed(uid)?.pod.namespace === namespace) return uid
    return undefined
  }

  const unindex = (view: PodView): void => {
    const { uid } = view.pod
    for (const groupId of groupsOf(view.pod)) byGroup.delete(groupId, uid)
    const addressed = view.end === undefined ? byAddress : endedByAddress
    for (const address of view.addresses) addressed.delete(address, uid)
    byName.delete(view.pod.name, uid)
  }

  const keep = (view: PodView): void => {
    const entry = entries.get(view.pod.uid)
    if (entry === undefined) entries.set(view.pod.uid, { view, revision: 0, changedAt: -Infinity })
    else entry.view = view
  }

  const index = (view: PodView): void => {
    const { uid } = view.pod
    keep(view)
    for (const groupId of groupsOf(view.pod)) byGroup.add(groupId, uid)
    const addressed = view.end === undefined ? byAddress : endedByAddress
    for (const address of view.addresses) addressed.add(address, uid)
    byName.add(view.pod.name, uid)
  }

  /** Claims of `before` that `after` no longer makes become former ones. An ended pod seen first may have claimed all it asks. */
  const rememberClaims = (before: PodView | undefined, after: PodView | undefined, now: number): void => {
    const old = before ?? (after?.end === undefined ? undefined : after)
    // What an ended pod had was remembered when it ended, and may have been settled and inherited since.
    if (!remembering || old === undefined || before?.end !== undefined) return
    for (const groupId of groupsOf(old.pod)) {
      const kept = new Set(
        after === undefined || after.end !== undefined
          ? []
          : rulesOf(after.pod.declaration.requests, groupId, after.addresses).map(ruleKey)
      )
      for (const rule of rulesOf(old.pod.declaration.requests, groupId, old.addresses)) {
        if (kept.has(ruleKey(rule))) continue
        if (before === undefined && isAskedByHolder(groupId, rule)) continue
        const claims = former.get(groupId) ?? new Map<RuleKey, FormerClaim>()
        const earlier = claims.get(ruleKey(rule))?.pod.uid
        const claim = { pod: old.pod, since: after?.end?.at ?? now, inferred: before === undefined }
        former.set(groupId, claims.set(ruleKey(rule), claim))
        if (earlier !== undefined) dropFormer(groupId, earlier)
        formerByPod.add(old.pod.uid, groupId)
      }
    }
  }

  /** A pod that is first seen ended may have left its rule to whoever lives at its address and asks for the same. */
  const isAskedByHolder = (groupId: SecurityGroupId, rule: Rule): boolean => {
    const address = addressOf(rule) ?? ''
    return [...byAddress.get(address)].some((uid) =>
      rulesOf(viewed(uid)?.pod.declaration.requests ?? [], groupId, [address]).some(
        (asked) => ruleKey(asked) === ruleKey(rule)
      )
    )
  }

  const dropFormer = (groupId: SecurityGroupId, uid: string): void => {
    const claims = former.get(groupId)
    if (claims === undefined || ![...claims.values()].some(({ pod }) => pod.uid === uid))
      formerByPod.delete(uid, groupId)
  }

  const touchedBy = (...changed: (PodView | undefined)[]): Set<SecurityGroupId> => {
    const touched = new Set<SecurityGroupId>()
    for (const view of changed) {
      if (view === undefined) continue
      for (const groupId of groupsOf(view.pod)) touched.add(groupId)
      // Whoever reports one of its addresses too may now hold it, or no longer.
      for (const address of view.addresses) {
        for (const uid of byAddress.get(address))
          for (const groupId of groupsOf(viewed(uid)?.pod ?? view.pod)) touched.add(groupId)
      }
    }
    return touched
  }

  /** Whether the pod no longer names the address, and a living one that started later does. */
  const isLost = (address: string, pod: ObservedPod): boolean => {
    if (pod.addresses.includes(address)) return false
    const others = [...byAddress.get(address)].map((uid) => viewed(uid)?.pod)
    return others.some(
      (other) =>
        other !== undefined &&
        other.uid !== pod.uid &&
        other.addresses.includes(address) &&
        startedLater(pod, other) === other
    )
  }

  /** Whoever merely remembers an address no longer has it once another pod newly reports it, or one that started later does. */
  const dropRemembered = (address: string, reporter: ObservedPod, newly: boolean, now: number): void => {
    for (const uid of [...byAddress.get(address)]) {
      const view = viewed(uid)
      if (view === undefined || uid === reporter.uid || view.pod.addresses.includes(address)) continue
      if (!newly && startedLater(view.pod, reporter) !== reporter) continue
      const without = { ...view, addresses: view.addresses.filter((other) => other !== address) }
      unindex(view)
      rememberClaims(view, without, now)
      index(without)
      listener.groupsTouched(groupsOf(view.pod))
    }
  }

  const put = (seen: ObservedPod, now: number): void => {
    const before = viewed(seen.uid)
    const pod = before === undefined ? seen : withTextsOf(before.pod, seen)
    const namesake = uidNamed(pod.namespace, pod.name)
    // A name is given out again only once its last holder is gone.
    if (namesake !== undefined && namesake !== pod.uid) gone(namesake, now)
    const nodeGone = pod.nodeName !== undefined && goneNodes.has(pod.nodeName, pod.uid)
    const ended = endSeen(pod, before, nodeGone, now)
    const sticky = before?.end !== undefined && before.end.reason !== 'nodeGone' ? before.end : undefined
    const end = sticky ?? (ended !== undefined && before?.end?.reason === ended.reason ? before.end : ended)
    const known = rememberAddresses(pod, before)
    // Most pods hide nothing, and need no list of their own.
    const addresses = known === pod.addresses ? known : known.filter((address) => !isLost(address, pod))
    const after: PodView = { pod, addresses, end }
    if (before?.end !== undefined && end === undefined) revivals.set(pod.uid, (revivals.get(pod.uid) ?? 0) + 1)
    const alike = before !== undefined && decideAlike(before, after)
    if (alike) keep(after)
    else {
      if (before !== undefined) unindex(before)
      rememberClaims(before, after, now)
      index(after)
    }
    // The status of an ended pod goes on naming an address that it no longer has.
    for (const address of end === undefined ? pod.addresses : []) {
      dropRemembered(address, pod, before !== undefined && !before.addresses.includes(address), now)
    }
    const entry = entries.get(pod.uid)
    if (entry !== undefined) entry.revision = ++revision
    if (!alike) {
      if (entry !== undefined) entry.changedAt = now
      listener.groupsTouched(touchedBy(before, after))
    }
    listener.podTouched(pod.uid)
  }

  const gone = (uid: string, now: number): void => {
    const before = viewed(uid)
    missing.delete(uid)
    expected.delete(uid)
    revivals.delete(uid)
    if (before === undefined) return
    unindex(before)
    if (before.pod.nodeName !== undefined) goneNodes.delete(before.pod.nodeName, uid)
    entries.delete(uid)
    rememberClaims(before, undefined, now)
    if (before.end === undefined) listener.groupsTouched(touchedBy(before))
    listener.podTouched(uid)
  }

  const vanish = (uid: string, now: number): void => {
    // A standby asks nobody; when it leads, its first pass over all pods finds who merely lost the label.
    if (!remembering || expected.has(uid)) return gone(uid, now)
    const entry = entries.get(uid)
    if (entry === undefined) return
    missing.add(uid)
    entry.revision = ++revision
    listener.podTouched(uid)
  }

  return {
    replace(pods, now) {
      const seen = new Set(pods.map((pod) => pod.uid))
      for (const pod of pods) this.change(pod, now)
      for (const uid of [...entries.keys()]) if (!seen.has(uid)) vanish(uid, now)
    },
    change(pod, now) {
      const isBack = missing.delete(pod.uid)
      put(pod, now)
      // While it was missing, nothing new was made for it.
      if (isBack) listener.groupsTouched(groupsOf(pod))
    },
    vanish(pod, now) {
      // With grace 0 it has ended, whether it is gone or has merely lost its label.
      if (pod.deletionTimestamp !== undefined && pod.gracePeriodSeconds === 0 && !pod.heldByFinalizer)
        gone(pod.uid, now)
      else vanish(pod.uid, now)
    },
    gone,
    nodeGone(name, uids, now) {
      for (const uid of uids) {
        const view = viewed(uid)
        if (view?.pod.nodeName !== name) continue
        goneNodes.add(name, uid)
        if (view.end === undefined) put(view.pod, now)
      }
    },
    reviewNodes(shown, now) {
      for (const name of [...goneNodes.keys()]) {
        if (!shown.has(name)) continue
        for (const uid of [...goneNodes.get(name)]) {
          goneNodes.delete(name, uid)
          const view = viewed(uid)
          if (view !== undefined) put(view.pod, now)
        }
      }
    },
    expectGone(uid) {
      if (entries.has(uid)) expected.add(uid)
    },
    changedAt: (uid) => entries.get(uid)?.changedAt ?? -Infinity,
    revision: (uid) => entries.get(uid)?.revision ?? 0,
    revivals: (uid) => revivals.get(uid) ?? 0,
    view: viewed,
    *views() {
      for (const { view } of entries.values()) yield view
    },
    viewsOf: (groupId) => [...byGroup.get(groupId)].map(viewed).filter((view) => view !== undefined),
    isVanished: (uid) => missing.has(uid),
    anyVanished: () => missing.size > 0,
    holder(address) {
      const pods = [...byAddress.get(address)].map((uid) => viewed(uid)?.pod).filter((pod) => pod !== undefined)
      return pods.length === 0 ? undefined : pods.reduce(startedLater).uid
    },
    endedAt: (address) => [...endedByAddress.get(address)].map(viewed).filter((view) => view !== undefined),
    named(namespace, name) {
      const uid = uidNamed(namespace, name)
      return uid === undefined ? undefined : viewed(uid)
    },
    groups: () => new Set([...byGroup.keys(), ...former.keys()]),
    formerGroups: (uid) => formerByPod.get(uid),
    formerClaims: (groupId) => former.get(groupId) ?? new Map<RuleKey, FormerClaim>(),
    beginRemembering(now) {
      remembering = true
      for (const { view } of entries.values()) if (view.end !== undefined) rememberClaims(undefined, view, now)
    },
    forget(groupId, key) {
      const claims = former.get(groupId)
      const uid = claims?.get(key)?.pod.uid
      claims?.delete(key)
      if (claims?.size === 0) former.delete(groupId)
      if (uid !== undefined) dropFormer(groupId, uid)
    }
  }
}
