/** What should be in one group and what to do about it, from what is known at this moment. No I/O. */
import { ruleKey } from '../shared/rules.ts'
import type { Family, SecurityGroupId } from '../shared/rules.ts'
import { desire } from './desired.ts'
import type { Desired, Surroundings } from './desired.ts'
import { podDescribed } from './description.ts'
import type { GroupBook } from './groupBook.ts'
import { addressOf } from './orphans.ts'
import type { PermissionLedger } from './permissionLedger.ts'
import { planChanges } from './plan.ts'
import type { Plan } from './plan.ts'
import type { PodCache } from './podCache.ts'
import type { ObservedRule } from './securityGroups.ts'
import { leaveOf } from './standing.ts'

export interface DecisionDeps {
  readonly cache: PodCache
  readonly book: GroupBook
  readonly permissions: PermissionLedger
  readonly clusterId: string
  readonly optInTag: string
  readonly podCidrs: readonly string[]
  readonly nodeAddresses: () => ReadonlySet<string>
  readonly rulesPerGroup: number
}

export function quotaOf({ book, rulesPerGroup }: DecisionDeps, groupId: SecurityGroupId): Record<Family, number> {
  const { quota } = book.record(groupId)
  return {
    ipv4: Math.min(rulesPerGroup, quota.ipv4 ?? Infinity),
    ipv6: Math.min(rulesPerGroup, quota.ipv6 ?? Infinity)
  }
}

export interface Decision {
  readonly desired: Desired
  readonly plan: Plan
}

/** What should be and what to do about it, from what is known at this moment. */
export function decide(deps: DecisionDeps, groupId: SecurityGroupId, explained = explainedBy(deps, groupId)): Decision {
  const { book, cache, permissions } = deps
  const { facts } = book.record(groupId)
  const around: Surroundings = {
    holder: (address) => cache.holder(address),
    permission: (pod) => permissions.leave(groupId, pod),
    optIn: leaveOf(facts?.optIn),
    exists: facts?.exists,
    optInTag: deps.optInTag,
    podCidrs: deps.podCidrs,
    nodeAddresses: deps.nodeAddresses()
  }
  const desired = desire(groupId, cache.viewsOf(groupId), around)
  return { desired, plan: planChanges(desired.claims, book.view(groupId), explained, quotaOf(deps, groupId)) }
}

/** A rule is explained when we saw its claim end, or when the pod that its description names is before us and does not claim it. */
function explainedBy({ cache, clusterId }: DecisionDeps, groupId: SecurityGroupId): (rule: ObservedRule) => boolean {
  const former = cache.formerClaims(groupId)
  return (rule) => {
    if (former.has(ruleKey(rule))) return true
    const named = podDescribed(clusterId, rule.description)
    const view = named === undefined ? undefined : cache.named(named.namespace, named.name)
    const address = addressOf(rule)
    return (
      view !== undefined && address !== undefined && view.addresses.includes(address) && !cache.isVanished(view.pod.uid)
    )
  }
}
