/**
 * The regular look at everything: our rules everywhere, the groups that pods ask for, pods that escape our watch, nodes that are gone.
 * It decides nothing: it renews what is known and puts every group and every held pod to the queues.
 */
import { podKeys } from '../shared/podRef.ts'
import type { PodRef } from '../shared/podRef.ts'
import type { Logger } from '../shared/logger.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import type { Cluster } from './cluster.ts'
import type { PodView } from './desired.ts'
import type { GroupBook } from './groupBook.ts'
import { Multimap } from './multimap.ts'
import type { PodCache } from './podCache.ts'
import type { RulesRead, SecurityGroups } from './securityGroups.ts'

/** Rules in one group that carry the owner tag of another cluster with our id. */
export interface Namesake {
  readonly groupId: SecurityGroupId
  readonly owner: string
  readonly count: number
}

export interface SweepDeps {
  readonly cache: PodCache
  readonly book: GroupBook
  readonly cluster: Cluster
  readonly ec2: SecurityGroups
  /** SWEEP_INTERVAL, milliseconds. */
  readonly interval: number
  readonly now: () => number
  /** Milliseconds since 1970, for the cache of pods. */
  readonly wallClock: () => number
  readonly logger: Logger
  /** Names of the Node objects that the watch shows. */
  readonly nodeNames: () => ReadonlySet<string>
  /** Rules of another cluster that was given our id, as the last read has them. */
  readonly onNamesakes: (rules: readonly Namesake[]) => void
  readonly enqueueGroup: (groupId: SecurityGroupId) => void
  readonly enqueuePod: (uid: string) => void
}

/** A quota that was found to be below RULES_PER_GROUP is tried again so seldom, with one call: it is raised by people, if at all. */
const SWEEPS_BETWEEN_PROBES = 5

/**
 * Reads our rules everywhere, by owner tag. From then on what is not known is not there.
 * @throws Ec2Failure
 */
export async function sweepOwned({ book, ec2, onNamesakes }: SweepDeps): Promise<void> {
  const read = await ec2.readOwnedRules(book.knownRules())
  book.takeOwnedRules(read)
  onNamesakes(namesakesIn(read))
}

function namesakesIn({ rules }: RulesRead): Namesake[] {
  const found: Namesake[] = []
  for (const [groupId, all] of rules) {
    const owners = new Map<string, number>()
    for (const { owner } of all) if (owner !== undefined) owners.set(owner, (owners.get(owner) ?? 0) + 1)
    for (const [owner, count] of owners) found.push({ groupId, owner, count })
  }
  return found
}

/**
 * Reads tags and rules of all claimed groups, in as few calls as EC2 allows: 200 groups to a call.
 * @throws Ec2Failure
 */
export async function sweepClaimed({ book, cache, ec2, interval, now }: SweepDeps): Promise<void> {
  const claimed = claimedGroups(cache)
  const readAt = now()
  const groups = await ec2.readGroups(claimed)
  book.takeGroups(claimed, groups, readAt)
  for (const { groupId } of groups) {
    book.probeQuota(groupId, readAt - SWEEPS_BETWEEN_PROBES * interval)
    book.forgetRefusals(groupId)
  }
  const read = await ec2.readRules(
    groups.map(({ groupId }) => groupId),
    book.knownRules()
  )
  book.takeRules(read)
  book.prune(new Set([...cache.groups(), ...book.groupsWithOwned()]))
}

/** Everything that can have anything to do. */
export function enqueueEverything(deps: SweepDeps): void {
  const { book, cache, enqueueGroup } = deps
  for (const groupId of new Set([...cache.groups(), ...book.groupsWithOwned()])) enqueueGroup(groupId)
  enqueuePods(deps)
}

/**
 * Not those that live, carry our marks, are served, and say so: of tens of thousands hardly any other is there, and the next run of
 * their groups tells when that changes.
 */
export function enqueuePods({ cache, enqueuePod }: Pick<SweepDeps, 'cache' | 'enqueuePod'>): void {
  for (const view of cache.views()) if (!isServed(view) || cache.isVanished(view.pod.uid)) enqueuePod(view.pod.uid)
}

function isServed({ end, pod }: PodView): boolean {
  const { requests, violations } = pod.declaration
  const asksWell = requests.length > 0 && violations.length === 0
  return end === undefined && asksWell && pod.labelled && pod.finalized && pod.condition?.status === 'True'
}

function claimedGroups(cache: PodCache): SecurityGroupId[] {
  const claimed = new Set<SecurityGroupId>()
  for (const { end, pod } of cache.views()) {
    if (end === undefined) for (const { groupId } of pod.declaration.requests) claimed.add(groupId)
  }
  return [...claimed]
}

/** Pods on a node that the watch does not show have ended, once the API server confirms that the Node object is gone. */
export async function sweepNodes({ cache, cluster, logger, nodeNames, wallClock }: SweepDeps): Promise<void> {
  const known = nodeNames()
  cache.reviewNodes(known, wallClock())
  const unknown = new Multimap<string, string>()
  for (const { end, pod } of cache.views()) {
    if (end === undefined && pod.nodeName !== undefined && !known.has(pod.nodeName)) unknown.add(pod.nodeName, pod.uid)
  }
  for (const name of unknown.keys()) {
    const uids = unknown.get(name)
    // The watch may have shown it while we asked.
    if ((await cluster.nodeExists(name)) || nodeNames().has(name)) continue
    logger.warn({ node: name }, 'node object is gone: its pods no longer hold their addresses')
    cache.nodeGone(name, uids, wallClock())
  }
}

/** Pods read at once: a takeover waits for all of them, and each agent of a thousand nodes may be one. */
const PODS_AT_ONCE = 16

/** Finds pods with our annotations or finalizer but without the label by which we watch. */
export async function sweepOverlooked({ cache, cluster, logger, wallClock }: SweepDeps): Promise<void> {
  // The watch knows it, or its successor, and better.
  const isWatched = ({ namespace, name }: PodRef): boolean => cache.named(namespace, name)?.pod.labelled === true
  const look = async (ref: PodRef): Promise<void> => {
    if (isWatched(ref)) return
    const pod = await cluster.pod(ref.namespace, ref.name)
    if (pod?.uid !== ref.uid || (!pod.annotated && !pod.finalized) || isWatched(ref)) return
    logger.warn(podKeys(pod), 'found a pod that our watch does not show')
    cache.change(pod, wallClock())
  }
  const overlooked = await cluster.overlookedPods()
  for (let start = 0; start < overlooked.length; start += PODS_AT_ONCE)
    await Promise.all(overlooked.slice(start, start + PODS_AT_ONCE).map(look))
}
