/**
 * What Kubernetes is owed for one pod, once: ask whether it is still there, put our marks on it, say on it what it has, and let it
 * go when nothing of it is left in EC2. Level-based like the runs for groups, and queued by uid. Longer than most files here: the steps
 * share one order, in which nothing may stand in the way of a release.
 */
import { podKeys } from '../shared/podRef.ts'
import type { Logger } from '../shared/logger.ts'
import type { PodRef } from '../shared/podRef.ts'
import { ruleKey } from '../shared/rules.ts'
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { Cluster } from './cluster.ts'
import type { Claim, PodView } from './desired.ts'
import { describePod } from './description.ts'
import type { GroupBook } from './groupBook.ts'
import { conditionOfEnded, conditionOfLiving, isNews, sameCondition, withOpenGate } from './outcomes.ts'
import type { Outcome, ReasonedCondition } from './outcomes.ts'
import type { PodCache } from './podCache.ts'
import type { Condition, ObservedPod } from './pods.ts'
import { REASONS } from './reasons.ts'
import type { Reason } from './reasons.ts'
import { mayRelease } from './release.ts'
import type { ReleaseFacts, Verdict } from './release.ts'

/** What goes onto a pod as an Event. */
export interface PodEvent {
  readonly pod: PodRef
  readonly type: 'Normal' | 'Warning'
  readonly reason: Reason
  readonly action: string
  readonly note: string
}

/** What the runs for groups have found out, by pod. */
export interface PodFindings {
  readonly outcomes: ReadonlyMap<SecurityGroupId, Outcome> | undefined
  readonly attempted: boolean
  /** What keeps all groups from being served at all, such as an EC2 that never answered. */
  readonly trouble: Outcome | undefined
}

export interface SettleDeps {
  readonly cache: PodCache
  readonly book: GroupBook
  readonly cluster: Cluster
  readonly findings: (uid: string) => PodFindings
  /** By key, what is claimed of the group at this moment: dear, so that it is asked only for what {@link findings} do not tell. */
  readonly claimsOf: (groupId: SecurityGroupId) => ReadonlyMap<RuleKey, Claim>
  /** The pod is gone: nothing needs to be known of it any more. */
  readonly forget: (uid: string) => void
  readonly trusted: () => boolean
  readonly clusterId: string
  /** MAX_HOLD, milliseconds. */
  readonly maxHold: number
  /** Milliseconds since 1970, as the pods' own timestamps. */
  readonly wallClock: () => number
  /** By a monotonic clock. */
  readonly now: () => number
  readonly logger: Logger
  /** Our marks were missing on a living pod, and are back. */
  readonly onMarked: () => void
  readonly record: (event: PodEvent) => void
  readonly onReleased: (view: PodView, forced: boolean) => void
}

/** Ended pods that are held for longer than this say so, in milliseconds: shorter holds are the rule, and only noise. */
const SAY_HELD_AFTER = 5000
/** What passes by itself is said of a living pod once it has lasted so long, in milliseconds: a call that was throttled once is noise. */
const SAY_PASSING_AFTER = 3000
/** A held pod is looked at this often, in milliseconds, whatever events come. */
const LOOK_AGAIN = 5000

export function createSettler(deps: SettleDeps): (uid: string) => Promise<{ againAfter?: number }> {
  const { cache, cluster } = deps
  const holds = createHolds(deps)
  // Who takes our marks off again and again must not make us put them on as fast.
  const putAt = new Map<string, number>()
  const passingSince = new Map<string, number>()
  return async (uid) => {
    // Of a pod without our label the watch tells nothing.
    if (cache.isVanished(uid) || cache.view(uid)?.pod.labelled === false) await lookAgain(deps, uid)
    const view = cache.view(uid)
    if (view === undefined) {
      deps.forget(uid)
      putAt.delete(uid)
      passingSince.delete(uid)
      holds.forget(uid)
      return {}
    }
    // Whose node is back lives on: his next end is another one.
    if (view.end === undefined) holds.forget(uid)
    if (view.end === undefined && view.pod.annotated) return serveLiving(deps, view, { putAt, passingSince })
    if (!view.pod.finalized) return {}
    const verdict = mayRelease(view, releaseFacts(deps, view), holds.heldFor(view), deps.maxHold)
    if (verdict.release) {
      await sayReleased(deps, view, verdict).catch((err: unknown) =>
        // No word may stand in the way of a release.
        deps.logger.warn({ err, ...podKeys(view.pod) }, 'condition could not be written')
      )
      // Meanwhile it may have asked again, and may even have ended since.
      const now = cache.view(uid)
      if (now?.end === undefined && now?.pod.annotated === true) return { againAfter: 0 }
      if (now !== undefined && !mayRelease(now, releaseFacts(deps, now), holds.heldFor(now), deps.maxHold).release)
        return { againAfter: 0 }
      await cluster.release(view.pod, view.end === undefined)
      deps.onReleased(view, verdict.forced)
      return {}
    }
    return hold(deps, view, verdict, holds.heldFor(view))
  }
}

/**
 * How long ended pods have been held. By their own timestamps when they are first seen ended, so that a restart begins nothing anew; from then
 * on by the monotonic clock, so that a step of the wall clock neither frees a pod before its time nor keeps it beyond.
 */
function createHolds({ cache, now, wallClock }: Pick<SettleDeps, 'cache' | 'now' | 'wallClock'>): {
  heldFor(view: PodView): number
  forget(uid: string): void
} {
  const ends = new Map<string, { readonly at: number; readonly revivals: number }>()
  return {
    heldFor({ end, pod }) {
      if (end === undefined) return 0
      // Whose node was back has ended anew, though it lived for less than a run takes to notice.
      const revivals = cache.revivals(pod.uid)
      const known = ends.get(pod.uid)
      const at = known?.revivals === revivals ? known.at : now() - Math.max(0, wallClock() - end.at)
      ends.set(pod.uid, { at, revivals })
      return now() - at
    },
    forget: (uid) => void ends.delete(uid)
  }
}

/** Times by uid. */
interface Memory {
  readonly putAt: Map<string, number>
  readonly passingSince: Map<string, number>
}

/** Puts our marks back if they are missing, and says what the pod has. */
async function serveLiving(
  deps: SettleDeps,
  view: PodView,
  { passingSince, putAt }: Memory
): Promise<{ againAfter?: number }> {
  const { finalized, hostNetwork, labelled } = view.pod
  let unmarked: Error | undefined
  if (!hostNetwork && !(finalized && labelled) && (putAt.get(view.pod.uid) ?? -Infinity) + LOOK_AGAIN <= deps.now()) {
    putAt.set(view.pod.uid, deps.now())
    await putMarks(deps, view).catch((error: unknown) => {
      unmarked = error instanceof Error ? error : new Error(String(error))
    })
  }
  const found = livingCondition(deps, view)
  const wait = patienceWith(found, view, passingSince, deps.now())
  if (wait === 0) await say(deps, view, found)
  if (unmarked !== undefined) throw unmarked
  // Nothing is made for a pod in the node's network, and a thousand nodes may have one: that it is gone the next sweep notices.
  const canWait = (labelled && finalized) || (hostNetwork && !finalized)
  const delays = [...(wait > 0 ? [wait] : []), ...(canWait ? [] : [LOOK_AGAIN])]
  return delays.length === 0 ? {} : { againAfter: Math.min(...delays) }
}

/** @returns how long to wait before it is said, in milliseconds; 0: say it now */
function patienceWith(
  found: ReasonedCondition | undefined,
  { pod }: PodView,
  passingSince: Map<string, number>,
  now: number
): number {
  const saidAlready = pod.condition?.reason === found?.reason
  if (found === undefined || saidAlready || REASONS[found.reason].party !== 'itself') {
    passingSince.delete(pod.uid)
    return 0
  }
  const since = passingSince.get(pod.uid) ?? now
  passingSince.set(pod.uid, since)
  // A wall clock that was set back must not make it wait for ever.
  return now < since ? 0 : Math.max(0, since + SAY_PASSING_AFTER - now)
}

/** The watch lost sight of the pod: only the API server knows whether it is gone or merely lost its label. */
async function lookAgain({ cache, cluster, logger, wallClock }: SettleDeps, uid: string): Promise<void> {
  const last = cache.view(uid)?.pod
  if (last === undefined) return cache.gone(uid, wallClock())
  const revision = cache.revision(uid)
  const pod = await cluster.pod(last.namespace, last.name)
  // The watch has told something since, which is newer than this answer.
  if (cache.revision(uid) !== revision) return
  if (pod?.uid !== uid) return cache.gone(uid, wallClock())
  if (cache.isVanished(uid)) logger.warn({ ...podKeys(pod) }, 'pod lost the label by which it is watched')
  // What is known already must not touch the pod: it would be looked at again at once, for ever.
  if (cache.isVanished(uid) || JSON.stringify(pod) !== JSON.stringify(last)) cache.change(pod, wallClock())
  const view = cache.view(uid)
  // Nothing of ours is on it and nothing should be, so nothing will ever tell of it again.
  if (!pod.labelled && !pod.finalized && (!pod.annotated || view?.end !== undefined)) cache.gone(uid, wallClock())
}

async function putMarks({ cluster, logger, onMarked }: SettleDeps, { pod }: PodView): Promise<void> {
  const put = await cluster.stamp(pod)
  if (put) onMarked()
  logger.warn(
    podKeys(pod),
    put ? 'put finalizer and label back on the pod' : 'pod is being deleted without our finalizer: it gets no new rule'
  )
}

function livingCondition({ findings }: SettleDeps, view: PodView): ReasonedCondition | undefined {
  const { outcomes, trouble } = findings(view.pod.uid)
  const condition = conditionOfLiving(view, outcomes)
  if (condition !== undefined || trouble === undefined || view.addresses.length === 0) return condition
  return { status: 'False', reason: trouble.reason, message: trouble.message }
}

/** Writes condition and Event if they say something new. */
async function say(deps: SettleDeps, view: PodView, found: ReasonedCondition | undefined): Promise<void> {
  if (found === undefined) return
  const { pod } = view
  const condition = withOpenGate(view, found)
  if (sameCondition(condition, pod.condition)) return
  await writeCondition(deps, pod, condition)
  if (!isNews(pod.condition, condition)) return
  const { type } = REASONS[condition.reason]
  deps.record({ pod, type, reason: condition.reason, action: 'Authorize', note: condition.message })
  if (condition.reason === 'AddressConflict') tellHolders(deps, view)
}

/** Whoever holds an address that another living pod reports is told too: one of the two has a broken network. */
function tellHolders({ cache, logger, record }: SettleDeps, { addresses, pod }: PodView): void {
  for (const address of addresses) {
    const holder = cache.view(cache.holder(address) ?? '')?.pod
    if (holder === undefined || holder.uid === pod.uid) continue
    // Names of other namespaces are not for everybody.
    const other = holder.namespace === pod.namespace ? `pod '${pod.name}'` : 'a pod of another namespace'
    const note = `'${address}' is reported by ${other} too, which started earlier: this pod holds it`
    record({ pod: holder, type: 'Warning', reason: 'AddressConflict', action: 'Authorize', note })
    logger.warn({ ...podKeys(pod), holder: podKeys(holder).pod, IP: address }, 'two living pods report one address')
  }
}

async function writeCondition(
  { cluster, wallClock }: SettleDeps,
  pod: ObservedPod,
  condition: Condition
): Promise<void> {
  await cluster.writeCondition(pod, condition, condition.status === pod.condition?.status ? undefined : wallClock())
}

async function hold(
  deps: SettleDeps,
  view: PodView,
  verdict: Verdict & { release: false },
  heldFor: number
): Promise<{ againAfter?: number }> {
  const { end, pod } = view
  if (end === undefined) return { againAfter: LOOK_AGAIN }
  if (heldFor < SAY_HELD_AFTER) return { againAfter: SAY_HELD_AFTER - heldFor }
  const { outcomes, trouble } = deps.findings(pod.uid)
  const cause = [...(outcomes?.values() ?? [])].find(({ inEffect }) => !inEffect) ?? trouble
  const note = cause === undefined ? verdict.why : `${verdict.why}: ${cause.message}`
  const condition = conditionOfEnded(note)
  if (!sameCondition(condition, pod.condition)) {
    await writeCondition(deps, pod, condition)
    if (isNews(pod.condition, condition))
      deps.record({ pod, type: 'Warning', reason: condition.reason, action: 'Revoke', note: condition.message })
  }
  return { againAfter: Math.min(LOOK_AGAIN, Math.max(1000, verdict.again ?? LOOK_AGAIN)) }
}

/** Before the release, for afterwards the object may be gone. */
async function sayReleased(deps: SettleDeps, view: PodView, verdict: Verdict & { release: true }): Promise<void> {
  const { pod } = view
  if (verdict.forced) {
    const note = `released after MAX_HOLD although ${String(verdict.left)} of its rules may remain in EC2; the worker goes on revoking them`
    deps.logger.error(podKeys(pod), note)
    deps.record({ pod, type: 'Warning', reason: 'FinalizerHoldExceeded', action: 'Release', note })
    return
  }
  if (view.end === undefined) return say(deps, view, conditionOfLiving(view, undefined))
  // What was said last the watch may not have told yet: of whoever had an address it is said in any case.
  if (pod.deletionTimestamp === undefined && (pod.condition !== undefined || view.addresses.length > 0)) {
    const condition = conditionOfEnded(undefined)
    await writeCondition(deps, pod, condition)
    deps.record({ pod, type: 'Normal', reason: condition.reason, action: 'Revoke', note: condition.message })
  }
}

function releaseFacts(
  { book, cache, claimsOf, clusterId, findings, trusted }: SettleDeps,
  view: PodView
): ReleaseFacts {
  const { pod } = view
  const description = describePod(clusterId, pod.namespace, pod.name)
  const sources = view.addresses.map((address) => `${address}/${address.includes(':') ? '128' : '32'}`)
  const groups = new Set([
    ...sources.flatMap((source) => [...book.groupsWithSource(source)]),
    ...book.groupsDescribing(description)
  ])
  const rules: ReleaseFacts['rules'][number][] = []
  let unsettledClaims = 0
  for (const groupId of new Set([...groups, ...cache.formerGroups(pod.uid)])) {
    const { owned, unseen } = book.view(groupId)
    for (const rule of owned) {
      if (sources.includes(rule.cidr) || rule.description === description)
        rules.push({ groupId, key: ruleKey(rule), rule })
    }
    for (const key of unseen.keys()) {
      if (sources.some((source) => key.endsWith(` ${source}`))) rules.push({ groupId, key, rule: undefined })
    }
    unsettledClaims += [...cache.formerClaims(groupId).values()].filter((claim) => claim.pod.uid === pod.uid).length
  }
  const holderOf = (address: string, groupId: SecurityGroupId, key: RuleKey): PodView | undefined => {
    const uid = cache.holder(address)
    // One that the watch lost sight of may be gone: who knows that it lives?
    if (uid === undefined || uid === pod.uid || cache.isVanished(uid)) return undefined
    // Who waits for another rule may have this one.
    const hasIt = (): boolean => {
      const claim = claimsOf(groupId).get(key)
      return claim?.authorizable === true && claim.pod.uid === uid
    }
    return findings(uid).outcomes?.get(groupId)?.inEffect === true || hasIt() ? cache.view(uid) : undefined
  }
  return { trusted: trusted(), rules, unsettledClaims, holderOf, attempted: findings(pod.uid).attempted }
}
