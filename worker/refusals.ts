/** Rules that EC2 has refused for themselves lately. No I/O: time is asked for. */
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { Ec2Failure } from './securityGroups.ts'

export interface Refusals {
  /** Those of the group that are to be left alone, with EC2's reason. The map is the caller's. */
  of(groupId: SecurityGroupId): Map<RuleKey, Ec2Failure>
  /** Those that have been left alone for long enough, and may be tried again. */
  due(groupId: SecurityGroupId): ReadonlySet<RuleKey>
  /** Only these are asked for, and not there. */
  keepOnly(groupId: SecurityGroupId, isMissing: (key: RuleKey) => boolean): void
  /** What is remembered already, and not due, is not remembered for longer. */
  remember(groupId: SecurityGroupId, failed: ReadonlyMap<RuleKey, Ec2Failure>): void
}

/** Milliseconds for which such a rule is left alone: to find it among the others takes a dozen calls. */
const LEFT_ALONE = 60_000

interface Refusal {
  readonly groupId: SecurityGroupId
  readonly key: RuleKey
  readonly failure: Ec2Failure
  readonly until: number
}

/** @param now milliseconds by a monotonic clock */
export function createRefusals(now: () => number): Refusals {
  const known = new Map<string, Refusal>()
  const mine = (groupId: SecurityGroupId, isDue: boolean): Refusal[] =>
    [...known.values()].filter((refusal) => refusal.groupId === groupId && refusal.until <= now() === isDue)
  return {
    of: (groupId) => new Map(mine(groupId, false).map(({ failure, key }) => [key, failure])),
    due: (groupId) => new Set(mine(groupId, true).map(({ key }) => key)),
    keepOnly(groupId, isMissing) {
      for (const [id, refusal] of known) if (refusal.groupId === groupId && !isMissing(refusal.key)) known.delete(id)
    },
    remember(groupId, failed) {
      for (const [key, failure] of failed) {
        const id = `${groupId} ${key}`
        if ((known.get(id)?.until ?? -Infinity) <= now())
          known.set(id, { groupId, key, failure, until: now() + LEFT_ALONE })
      }
    }
  }
}
