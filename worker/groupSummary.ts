/** A group's state as one value that can be printed, and what its change from the last one tells. Pure. */
import { ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { Claim, Desired } from './desired.ts'
import { fillOf } from './observation.ts'
import type { GroupView } from './observation.ts'
import type { ObservedRule } from './securityGroups.ts'

export type QuotaUse = Readonly<Record<Family, { readonly used: number; readonly quota: number }>>

export interface GroupSummary {
  /** Living pods ask for it, or it holds a rule of ours. */
  readonly inUse: boolean
  /** Rules that it holds, foreign ones included, and how many it may hold. */
  readonly use: QuotaUse
  /** Pods for which it has no room. */
  readonly waiting: number
  /** Ids of our rules that nothing explains. */
  readonly orphans: ReadonlySet<string>
  /** Claims that are in effect only by somebody else's rule. */
  readonly reliedOn: ReadonlySet<RuleKey>
}

/** What there is to be summed up after a run. */
export interface SummaryFacts {
  /** EC2 has no group of this id. */
  readonly missing: boolean
  readonly desired: Desired
  readonly view: GroupView
  readonly quota: Readonly<Record<Family, number>>
  readonly waiting: readonly Claim[]
  readonly orphans: readonly ObservedRule[]
}

export function summarize({ desired, missing, orphans, quota, view, waiting }: SummaryFacts): GroupSummary {
  const ours = new Set(view.owned.map(ruleKey))
  const reliedOn = new Set<RuleKey>()
  for (const rule of view.foreign) {
    const key = ruleKey(rule)
    if (desired.claims.has(key) && !ours.has(key)) reliedOn.add(key)
  }
  const asked = desired.claims.size + desired.refusals.length > 0
  return {
    inUse: !missing && (asked || view.owned.length > 0),
    use: {
      ipv4: { used: fillOf(view, 'ipv4'), quota: quota.ipv4 },
      ipv6: { used: fillOf(view, 'ipv6'), quota: quota.ipv6 }
    },
    waiting: new Set(waiting.map(({ pod }) => pod.uid)).size,
    orphans: new Set(orphans.map(({ id }) => id)),
    reliedOn
  }
}

/** A family of a group that has become nearly full, or has room again. */
export interface Crossing {
  readonly family: Family
  readonly nearlyFull: boolean
  readonly rules: number
  readonly quota: number
}

export interface GroupStates {
  /** @returns what has changed: crossings of the warning level, and orphans not met before */
  take(groupId: SecurityGroupId, summary: GroupSummary): { crossings: Crossing[]; orphansFound: number }
  last(groupId: SecurityGroupId): GroupSummary | undefined
  all(): Iterable<[SecurityGroupId, GroupSummary]>
}

/** Warned from here on, and again only after it had fallen below the second: one rule more or less must not warn each time. */
const NEARLY_FULL = 0.8
const ROOM_AGAIN = 0.7

export function createGroupStates(): GroupStates {
  const states = new Map<SecurityGroupId, GroupSummary>()
  const warned = new Set<string>()
  return {
    take(groupId, summary) {
      const before = states.get(groupId)
      if (summary.inUse) states.set(groupId, summary)
      else states.delete(groupId)
      const crossings: Crossing[] = []
      for (const family of ['ipv4', 'ipv6'] as const) {
        const { quota, used: rules } = summary.use[family]
        const key = `${groupId} ${family}`
        const level = warned.has(key) ? ROOM_AGAIN : NEARLY_FULL
        const nearlyFull = summary.inUse && rules > 0 && rules >= level * quota
        if (nearlyFull === warned.has(key)) continue
        if (nearlyFull) warned.add(key)
        else warned.delete(key)
        crossings.push({ family, nearlyFull, rules, quota })
      }
      const orphansFound = [...summary.orphans].filter((id) => before?.orphans.has(id) !== true).length
      return { crossings, orphansFound }
    },
    last: (groupId) => states.get(groupId),
    all: () => states
  }
}
