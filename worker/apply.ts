/** What the steps that carry out a plan have in common; each notes every effect in the book. */
import { describeRule } from '../shared/rules.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import type { Logger } from '../shared/logger.ts'
import type { Claim } from './desired.ts'
import type { GroupBook } from './groupBook.ts'
import type { Change } from './plan.ts'
import type { ObservedRule, SecurityGroups } from './securityGroups.ts'

export interface ApplyDeps {
  readonly book: GroupBook
  readonly ec2: SecurityGroups
  readonly clusterId: string
  readonly readLag: number
  readonly now: () => number
  readonly logger: Logger
  readonly onModified: (groupId: SecurityGroupId, changes: readonly Change[]) => void
  readonly onAuthorized: (groupId: SecurityGroupId, claims: readonly Claim[]) => void
  readonly onRevoked: (groupId: SecurityGroupId, rules: readonly ObservedRule[]) => void
}

/** For the log: enough to find a pod's rule, never a thousand. */
export function listRules(rules: readonly ObservedRule[]): string[] {
  return rules.slice(0, 20).map((rule) => `${describeRule(rule)} ${rule.id} ${rule.description}`)
}
