/**
 * Revokes what pods that have ended leave behind: apart from the order of a run, whose authorizations may wait for half a minute while
 * the address of the pod is free.
 */
import { ruleKey } from '../shared/rules.ts'
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { ApplyDeps } from './apply.ts'
import { decide } from './decision.ts'
import type { DecisionDeps } from './decision.ts'
import type { FormerClaim } from './podCache.ts'
import { revokeRules } from './revokeRules.ts'
import type { ObservedRule } from './securityGroups.ts'

export interface EndingDeps extends ApplyDeps, DecisionDeps {
  /** Their rules were to be revoked, whatever came of it. */
  readonly onAttempted: (uids: Iterable<string>) => void
}

/** Ids of rules that are revoked for a group. */
export interface Ending {
  /** Of ended pods, by this run or while it goes on, whatever came of it. */
  readonly tried: Set<string>
  /** With EC2, or waiting for their turn. */
  readonly underWay: Set<string>
}

/** The same rule is not to be sent twice at once: EC2 would refuse the whole of the second call. @throws Ec2Failure as {@link revokeRules} */
export async function revokeOnce(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  rules: readonly ObservedRule[],
  { underWay }: Ending
): Promise<void> {
  const free = rules.filter(({ id }) => !underWay.has(id))
  for (const { id } of free) underWay.add(id)
  try {
    await revokeRules(deps, groupId, free)
  } finally {
    for (const { id } of free) underWay.delete(id)
  }
}

/** @throws Ec2Failure as {@link revokeRules} */
export async function revokeEnded(deps: EndingDeps, groupId: SecurityGroupId, ending: Ending): Promise<void> {
  const former = new Map([...deps.cache.formerClaims(groupId)].filter(([, { pod }]) => hasEnded(deps, pod.uid)))
  if (former.size === 0) return
  const rules = decide(deps, groupId).plan.revoke.filter((rule) => former.has(ruleKey(rule)))
  for (const { id } of rules) ending.tried.add(id)
  try {
    await revokeOnce(deps, groupId, rules, ending)
  } finally {
    forgetRevoked(deps, groupId, rules, former)
    // Also of those that left nothing: while a run waits, nobody else tells that there was nothing to try.
    deps.onAttempted([...former.values()].map(({ pod }) => pod.uid))
  }
}

function hasEnded({ cache }: DecisionDeps, uid: string): boolean {
  const view = cache.view(uid)
  return view === undefined || view.end !== undefined
}

/** Of the others a rule may be under way to EC2: a run settles them at its end. */
function forgetRevoked(
  { book, cache }: EndingDeps,
  groupId: SecurityGroupId,
  rules: readonly ObservedRule[],
  former: ReadonlyMap<RuleKey, FormerClaim>
): void {
  const { owned, unseen } = book.view(groupId)
  const there = new Set<RuleKey>([...owned.map(ruleKey), ...unseen.keys()])
  for (const key of rules.map(ruleKey)) {
    // Another pod may have asked for it meanwhile, and ended.
    const isSame = cache.formerClaims(groupId).get(key)?.pod.uid === former.get(key)?.pod.uid
    if (isSame && !there.has(key)) cache.forget(groupId, key)
  }
}
