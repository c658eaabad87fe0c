/** What the steps that carry out a plan have in common; each notes every effect in the book. */
import { describeRule, ruleKey } from '../shared/rules.ts'
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { Logger } from '../shared/logger.ts'
import type { Claim } from './desired.ts'
import type { GroupBook } from './groupBook.ts'
import type { Change } from './edits.ts'
import type { ObservedRule, SecurityGroups } from './securityGroups.ts'

export interface ApplyDeps {
  readonly book: GroupBook
  readonly ec2: SecurityGroups
  readonly clusterId: string
  readonly readLag: number
  readonly now: () => number
  /** By key, what is claimed of the group at this moment. A step that has waited for its turn looks again before it calls. */
  readonly claimsOf: (groupId: SecurityGroupId) => ReadonlyMap<RuleKey, Claim>
  readonly logger: Logger
  readonly onModified: (groupId: SecurityGroupId, changes: readonly Change[]) => void
  readonly onAuthorized: (groupId: SecurityGroupId, claims: readonly Claim[]) => void
  readonly onRevoked: (groupId: SecurityGroupId, rules: readonly ObservedRule[]) => void
}

/** For the log: enough to find a pod's rule, never a thousand. */
export function listRules(rules: readonly ObservedRule[]): string[] {
  return rules.slice(0, 20).map((rule) => `${describeRule(rule)} ${rule.id} ${rule.description}`)
}

/** Whether the pod still claims the rule, and may have it. */
export function isStillClaimed(claims: ReadonlyMap<RuleKey, Claim>, { pod, rule }: Claim): boolean {
  const now = claims.get(ruleKey(rule))
  return now?.authorizable === true && now.pod.uid === pod.uid
}
