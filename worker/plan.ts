/** What to change in one security group: a function of what is claimed and what is there. Pure. */
import { familyOf, ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey } from '../shared/rules.ts'
import { inOrderOfAge } from './desired.ts'
import type { Claim } from './desired.ts'
import type { GroupView } from './observation.ts'
import type { ObservedRule } from './securityGroups.ts'

export interface Plan {
  /** The group has no room for what is wanted until something is revoked. Otherwise authorize first: nobody waits. */
  readonly revokeFirst: boolean
  readonly authorize: readonly Claim[]
  readonly revoke: readonly ObservedRule[]
  /** Claims for which the quota leaves no room, those served next first. */
  readonly waiting: readonly Claim[]
  /** Our own rules that no claim needs and of which nobody knows why they are there: to be proven before they are revoked. */
  readonly orphans: readonly ObservedRule[]
}

/**
 * | claimed | there            | then                                                                    |
 * |---------|------------------|-------------------------------------------------------------------------|
 * | yes     | ours or foreign  | nothing: EC2 keeps one rule, whoever made it                            |
 * | yes     | proven, not seen | nothing: a duplicate is stronger evidence than a lagging read           |
 * | yes     | no, or possible  | authorize, if it may and the quota leaves room, else wait               |
 * | no      | ours, explained  | revoke: the pod that held the address ended, or wants it no longer      |
 * | no      | ours, otherwise  | an orphan: prove it first                                               |
 * | no      | foreign          | nothing, ever                                                           |
 *
 * @param explained whether it is known why the rule is no longer claimed
 * @param quota rules that the group may hold in each family, foreign ones included
 */
export function planChanges(
  claims: ReadonlyMap<RuleKey, Claim>,
  view: GroupView,
  explained: (rule: ObservedRule) => boolean,
  quota: Readonly<Record<Family, number>>
): Plan {
  const there = [...view.owned, ...view.foreign]
  const present = new Set(there.map(ruleKey))
  const missing = inOrderOfAge(
    [...claims]
      .filter(([key, { authorizable }]) => authorizable && !present.has(key) && view.unseen.get(key) !== 'proven')
      .map(([, claim]) => claim)
  )
  const unclaimed = view.owned.filter((rule) => !claims.has(ruleKey(rule)))
  const revoke = unclaimed.filter(explained)
  const orphans = unclaimed.filter((rule) => !explained(rule))

  const room = (family: Family, without: readonly ObservedRule[]): number =>
    quota[family] - there.filter((rule) => familyOf(rule.cidr) === family && !without.includes(rule)).length
  const fits = (family: Family): boolean =>
    missing.filter(({ rule }) => familyOf(rule.cidr) === family).length <= Math.max(0, room(family, []))
  const revokeFirst = revoke.length > 0 && !(fits('ipv4') && fits('ipv6'))

  const left = { ipv4: Math.max(0, room('ipv4', revoke)), ipv6: Math.max(0, room('ipv6', revoke)) }
  const authorize: Claim[] = []
  const waiting: Claim[] = []
  for (const claim of missing) {
    const family = familyOf(claim.rule.cidr)
    if (left[family] > 0) {
      left[family] -= 1
      authorize.push(claim)
    } else waiting.push(claim)
  }
  return { revokeFirst, authorize, revoke, waiting, orphans }
}
