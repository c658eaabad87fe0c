/**
 * Revokes what pods that have ended leave behind: apart from the order of a run, whose authorizations may wait for half a minute while
 * the address of the pod is free.
 */
import { ruleKey } from '../shared/rules.ts'
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { ApplyDeps } from './apply.ts'
import { decide } from './decision.ts'
import type { DecisionDeps } from './decision.ts'
import { revokeRules } from './revokeRules.ts'
import type { ObservedRule } from './securityGroups.ts'

export interface EndingDeps extends ApplyDeps, DecisionDeps {
  /** Their rules were to be revoked, whatever came of it. */
  readonly onAttempted: (uids: Iterable<string>) => void
}

/** What one run has revoked of ended pods so far, or tried to. */
export interface Ending {
  /** Ids of rules. */
  readonly tried: Set<string>
  readonly underWay: Set<string>
  /** All that a run must have seen the end of before it tells. */
  readonly calls: Set<Promise<unknown>>
}

export const createEnding = (): Ending => ({ tried: new Set(), underWay: new Set(), calls: new Set() })

/** @throws Ec2Failure as {@link revokeRules} */
export async function revokeEnded(deps: EndingDeps, groupId: SecurityGroupId, ending: Ending): Promise<void> {
  const former = deps.cache.formerClaims(groupId)
  if (former.size === 0) return
  const rules = decide(deps, groupId).plan.revoke.filter(
    (rule) => hasEnded(deps, former.get(ruleKey(rule))?.pod.uid) && !ending.underWay.has(rule.id)
  )
  if (rules.length === 0) return
  const pods = rules.map((rule) => former.get(ruleKey(rule))?.pod.uid).filter((uid) => uid !== undefined)
  for (const { id } of rules) {
    ending.tried.add(id)
    ending.underWay.add(id)
  }
  const call = revokeRules(deps, groupId, rules).finally(() => {
    for (const { id } of rules) ending.underWay.delete(id)
    ending.calls.delete(call)
    forgetRevoked(deps, groupId, rules)
    deps.onAttempted(pods)
  })
  ending.calls.add(call)
  await call
}

function hasEnded({ cache }: DecisionDeps, uid: string | undefined): boolean {
  const view = uid === undefined ? undefined : cache.view(uid)
  return uid !== undefined && (view === undefined || view.end !== undefined)
}

/** Of the others a rule may be under way to EC2: a run settles them at its end. */
function forgetRevoked({ book, cache }: EndingDeps, groupId: SecurityGroupId, rules: readonly ObservedRule[]): void {
  const { owned, unseen } = book.view(groupId)
  const there = new Set<RuleKey>([...owned.map(ruleKey), ...unseen.keys()])
  for (const rule of rules) if (!there.has(ruleKey(rule))) cache.forget(groupId, ruleKey(rule))
}
