/** What should be in one group and what to do about it, from what is known at this moment. No I/O. */
import type { Network } from '../shared/address.ts'
import { ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { desire, rulesOf } from './desired.ts'
import type { Claim, Desired, Surroundings } from './desired.ts'
import { describePod, podDescribed } from './description.ts'
import type { Change } from './edits.ts'
import type { GroupBook } from './groupBook.ts'
import { addressOf } from './orphans.ts'
import type { PermissionLedger } from './permissionLedger.ts'
import { planChanges } from './plan.ts'
import type { Plan } from './plan.ts'
import type { FormerClaim, PodCache } from './podCache.ts'
import type { ObservedPod } from './pods.ts'
import type { ObservedRule } from './securityGroups.ts'
import { leaveOf } from './standing.ts'

export interface DecisionDeps {
  readonly cache: PodCache
  readonly book: GroupBook
  readonly permissions: PermissionLedger
  readonly clusterId: string
  readonly optInTag: string
  readonly podNetwork: Network
  readonly nodeAddresses: () => ReadonlySet<string>
  readonly rulesPerGroup: number
  /** Milliseconds; reads that started before show what the worker before us did only in part. */
  readonly readsCompleteFrom: () => number
}

export function quotaOf({ book, rulesPerGroup }: DecisionDeps, groupId: SecurityGroupId): Record<Family, number> {
  const { quota } = book.record(groupId)
  return {
    ipv4: Math.min(rulesPerGroup, quota.ipv4?.rules ?? Infinity),
    ipv6: Math.min(rulesPerGroup, quota.ipv6?.rules ?? Infinity)
  }
}

export interface Decision {
  readonly desired: Desired
  readonly plan: Plan
}

type Keys = Pick<ReadonlyMap<RuleKey, unknown>, 'has'>

/** What a run has found out, by rule. */
export interface Findings {
  /** EC2 refuses them for themselves. */
  readonly failed?: Keys
  /** EC2 did so when it was asked last. */
  readonly suspect?: Keys
  /** Places were kept for them when rules went to make room, in this order. */
  readonly promised?: readonly RuleKey[]
  /** Whether it is known why nobody claims the rule any more; as a rule by what is before us. */
  readonly explained?: (rule: ObservedRule) => boolean
}

const NONE: Keys = new Set<RuleKey>()

/** What should be and what to do about it, from what is known at this moment. */
export function decide(
  deps: DecisionDeps,
  groupId: SecurityGroupId,
  { explained = explainedBy(deps, groupId), failed = NONE, promised = [], suspect = NONE }: Findings = {}
): Decision {
  // Who is lost to the watch is planned for like all others, so that he keeps what he has, and his place, until it is known.
  const desired = wantedOf(deps, groupId)
  const { unmodifiable } = deps.book.record(groupId)
  const promisedAt = new Map(promised.map((key, index) => [key, index]))
  const background = {
    explained,
    promised: ({ rule }: Claim) => promisedAt.get(ruleKey(rule)),
    refused: ({ rule }: Claim) => failed.has(ruleKey(rule)),
    suspect: ({ rule }: Claim) => suspect.has(ruleKey(rule)),
    keptFor: keptForBy(deps, groupId),
    lastAskedBy: (rule: ObservedRule) => deps.cache.formerClaims(groupId).get(ruleKey(rule))?.pod.uid,
    modifiable: ({ id }: ObservedRule) => !unmodifiable.has(id),
    describes: (rule: ObservedRule, pod: ObservedPod) => rule.description === descriptionOf(deps, pod),
    inherited: isInherited(deps, groupId)
  }
  const view = deps.book.view(groupId)
  const plan = planChanges(desired.claims, view, background, quotaOf(deps, groupId))
  if (!deps.cache.anyVanished()) return { desired, plan }
  const isShown = ({ pod }: Claim): boolean => !deps.cache.isVanished(pod.uid)
  const modify = plan.modify.filter(({ claim }) => isShown(claim))
  // Nothing goes to make room for what is not made.
  const makeRoom = plan.makeRoom.filter((rule) => !deps.cache.isVanished(background.keptFor(rule) ?? ''))
  return { desired, plan: { ...plan, authorize: plan.authorize.filter(isShown), makeRoom, modify } }
}

/** What should be, from what is known at this moment, and may be made: nothing new for a pod that the watch has lost. */
export function desiredOf(deps: DecisionDeps, groupId: SecurityGroupId): Desired {
  const wanted = wantedOf(deps, groupId)
  return deps.cache.anyVanished() ? { ...wanted, claims: withoutGrants(wanted.claims, deps.cache) } : wanted
}

function wantedOf(deps: DecisionDeps, groupId: SecurityGroupId): Desired {
  const { book, cache, permissions } = deps
  const { facts } = book.record(groupId)
  const around: Surroundings = {
    holder: (address) => cache.holder(address),
    permission: (pod) => permissions.leave(groupId, pod),
    optIn: leaveOf(facts?.optIn),
    exists: facts?.exists,
    optInTag: deps.optInTag,
    podNetwork: deps.podNetwork,
    nodeAddresses: deps.nodeAddresses()
  }
  const wanted = desire(groupId, cache.viewsOf(groupId), around)
  const isInName = (key: RuleKey, pod: ObservedPod): boolean =>
    book.view(groupId).owned.some((rule) => ruleKey(rule) === key && rule.description === descriptionOf(deps, pod))
  return { ...wanted, claims: withoutHeirs(wanted.claims, cache.formerClaims(groupId), isInName) }
}

/** Until the API server has said that the pod is there. */
function withoutGrants(claims: ReadonlyMap<RuleKey, Claim>, cache: PodCache): ReadonlyMap<RuleKey, Claim> {
  return new Map(
    [...claims].map(([key, claim]) => [
      key,
      cache.isVanished(claim.pod.uid) ? { ...claim, authorizable: false } : claim
    ])
  )
}

/** The view may be of a time before the worker before us made its last change. */
const isInherited = ({ book, readsCompleteFrom }: DecisionDeps, groupId: SecurityGroupId): boolean =>
  book.record(groupId).observation.ownedAt < readsCompleteFrom()

const descriptionOf = ({ clusterId }: DecisionDeps, { name, namespace }: ObservedPod): string =>
  describePod(clusterId, namespace, name)

/**
 * Rules of ours that serve another pod than their description says, for the one that they were made for is gone: the description is the
 * evidence for whoever must judge the rule without knowing its history.
 */
export function misdescribed(deps: DecisionDeps, groupId: SecurityGroupId): Change[] {
  // A change of the description says the whole rule again: what the worker before us made of it must not be undone.
  if (isInherited(deps, groupId)) return []
  const { claims } = desiredOf(deps, groupId)
  const { unmodifiable } = deps.book.record(groupId)
  return deps.book.view(groupId).owned.flatMap((rule) => {
    const claim = claims.get(ruleKey(rule))
    if (claim?.authorizable !== true || unmodifiable.has(rule.id)) return []
    return rule.description === descriptionOf(deps, claim.pod) ? [] : [{ ruleId: rule.id, before: [rule], claim }]
  })
}

/** The place of a rule that is no longer asked for is whose it was: of whoever asked last, else of whom the description names. */
function keptForBy(deps: DecisionDeps, groupId: SecurityGroupId): (rule: ObservedRule) => string | undefined {
  const { cache, clusterId } = deps
  const former = cache.formerClaims(groupId)
  return (rule) => {
    const last = former.get(ruleKey(rule))
    if (last !== undefined) return last.pod.uid
    const named = podDescribed(clusterId, rule.description)
    const view = named === undefined ? undefined : cache.named(named.namespace, named.name)
    return view?.addresses.includes(addressOf(rule) ?? '') === true ? view.pod.uid : undefined
  }
}

/**
 * A rule is explained when we saw its claim end, or when the pod that its description names, or the one that holds its address, is before
 * us and does not claim it. That a pod has ended which may have held it is no evidence against a living one whose name it bears: that one
 * may merely hide its address, so that the API server must be asked.
 */
function explainedBy({ cache, clusterId }: DecisionDeps, groupId: SecurityGroupId): (rule: ObservedRule) => boolean {
  const former = cache.formerClaims(groupId)
  return (rule) => {
    const last = former.get(ruleKey(rule))
    const named = podDescribed(clusterId, rule.description)
    const view = named === undefined ? undefined : cache.named(named.namespace, named.name)
    const contradicted = view !== undefined && view.end === undefined && view.pod.uid !== last?.pod.uid
    if (last !== undefined && !(last.inferred && contradicted)) return true
    const address = addressOf(rule)
    const holder = address === undefined ? undefined : cache.view(cache.holder(address) ?? '')
    return [view, holder].some(
      (near) =>
        near !== undefined &&
        address !== undefined &&
        near.addresses.includes(address) &&
        !cache.isVanished(near.pod.uid)
    )
  }
}

/**
 * Who may not be granted a rule does not inherit it either, from whoever had its address before. Who held it already keeps it until the
 * denial is confirmed: then no claim of another pod has ended, or the rule still bears his name, for the other held the address for a while only.
 */
function withoutHeirs(
  claims: ReadonlyMap<RuleKey, Claim>,
  former: ReadonlyMap<RuleKey, FormerClaim>,
  isInName: (key: RuleKey, pod: ObservedPod) => boolean
): ReadonlyMap<RuleKey, Claim> {
  return new Map(
    [...claims].filter(([key, { authorizable, pod }]) => {
      const before = former.get(key)
      if (authorizable || before === undefined || before.pod.uid === pod.uid) return true
      // A namesake that came after is an heir like any other.
      return before.pod.name !== pod.name && isInName(key, pod)
    })
  )
}

/** Whether the living pod that holds the rule's address asks for it, though it is refused. */
export function isStillAskedFor({ cache }: DecisionDeps, groupId: SecurityGroupId, rule: ObservedRule): boolean {
  const address = addressOf(rule)
  const holder = address === undefined ? undefined : cache.view(cache.holder(address) ?? '')
  if (address === undefined || holder === undefined || cache.formerClaims(groupId).has(ruleKey(rule))) return false
  return rulesOf(holder.pod.declaration.requests, groupId, [address]).some((asked) => ruleKey(asked) === ruleKey(rule))
}
