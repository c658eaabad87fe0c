/** Rules that EC2 has refused for themselves lately. No I/O: time is asked for. */
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { Ec2Failure } from './securityGroups.ts'

export interface Refusals {
  /** Those of the group, with EC2's reason. */
  of(groupId: SecurityGroupId): ReadonlyMap<RuleKey, Ec2Failure>
  /** Those that have been left alone for long enough. */
  due(groupId: SecurityGroupId): RuleKey[]
  forget(groupId: SecurityGroupId, keys: readonly RuleKey[]): void
  /** What is remembered already is not remembered for longer. */
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
  const mine = (groupId: SecurityGroupId): Refusal[] =>
    [...known.values()].filter((refusal) => refusal.groupId === groupId)
  return {
    of: (groupId) => new Map(mine(groupId).map(({ failure, key }) => [key, failure])),
    due: (groupId) =>
      mine(groupId)
        .filter(({ until }) => until <= now())
        .map(({ key }) => key),
    forget(groupId, keys) {
      for (const key of keys) known.delete(`${groupId} ${key}`)
    },
    remember(groupId, failed) {
      for (const [key, failure] of failed) {
        const id = `${groupId} ${key}`
        if (!known.has(id)) known.set(id, { groupId, key, failure, until: now() + LEFT_ALONE })
      }
    }
  }
}
