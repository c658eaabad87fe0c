/**
 * What one security group holds, as far as can be told: the last read, overlaid with our own recent writes. Pure.
 *
 * EC2's reads lag behind its writes by some seconds, so a read proves nothing about a write of ours that is younger than
 * EC2_READ_LAG: for that long our own word stands.
 */
import { familyOf, ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey } from '../shared/rules.ts'
import type { ObservedRule } from './securityGroups.ts'

/** Something we did. `at` is when its reply came, or was given up. */
export type Write =
  | { readonly kind: 'authorized'; readonly at: number; readonly rule: ObservedRule }
  /** A rule of ours became this one, under the same id. */
  | { readonly kind: 'modified'; readonly at: number; readonly rule: ObservedRule }
  | { readonly kind: 'revoked'; readonly at: number; readonly ruleId: string }
  /** The reply to a modification was lost: the id holds the rule that it held, or this one. */
  | {
      readonly kind: 'maybeModified'
      readonly at: number
      readonly before: readonly ObservedRule[]
      readonly rule: ObservedRule
    }
  /** The reply was lost: the rule may be there. */
  | { readonly kind: 'maybeAuthorized'; readonly at: number; readonly key: RuleKey }
  /** EC2 called it a duplicate: the rule is there, and whose it is a later read will tell. */
  | { readonly kind: 'provenPresent'; readonly at: number; readonly key: RuleKey }

export interface Observation {
  readonly owned: readonly ObservedRule[]
  /** When the read of `owned` was started; -Infinity before the first. */
  readonly ownedAt: number
  readonly foreign: readonly ObservedRule[]
  /** When the read of `foreign` was started; -Infinity before the first. */
  readonly foreignAt: number
  readonly writes: readonly Write[]
}

export const UNREAD: Observation = { owned: [], ownedAt: -Infinity, foreign: [], foreignAt: -Infinity, writes: [] }

/** A rule of ours of which nobody can tell what it is, for the reply to its modification was lost. */
export interface UncertainRule {
  readonly id: string
  /** It is one of these; the last is what it was to become. */
  readonly candidates: readonly ObservedRule[]
}

/** The group as it can be believed now. */
export interface GroupView {
  readonly owned: readonly ObservedRule[]
  /** None of them is among `owned`, and each candidate is among `unseen`. */
  readonly uncertain: readonly UncertainRule[]
  readonly foreign: readonly ObservedRule[]
  /** Rules that may be there though no read has shown them: proven by a duplicate, or merely possible after a lost reply. */
  readonly unseen: ReadonlyMap<RuleKey, 'proven' | 'possible'>
}

/**
 * Takes in a read. One that is older than what is known already changes nothing.
 * @param startedAt when the read was started, by the clock of the writes
 * @param complete all rules of the group were asked for; false: only those of our owner tag
 * @param lag EC2_READ_LAG in milliseconds
 */
export function withRead(
  known: Observation,
  rules: readonly ObservedRule[],
  startedAt: number,
  complete: boolean,
  lag: number
): Observation {
  if (startedAt < known.ownedAt) return known
  const foreign = complete ? { foreign: rules.filter((rule) => !rule.owned), foreignAt: startedAt } : {}
  return {
    ...known,
    ...foreign,
    owned: keep(
      known.owned,
      rules.filter((rule) => rule.owned)
    ),
    ownedAt: startedAt,
    writes: known.writes.filter((write) => write.at + lag > startedAt)
  }
}

/** What is known already, where a read has brought the very same: so that who compares sees at once that nothing has changed. */
const keep = (known: readonly ObservedRule[], read: readonly ObservedRule[]): readonly ObservedRule[] =>
  known.length === read.length && read.every((rule, index) => rule === known[index]) ? known : read

export function withWrites(known: Observation, writes: readonly Write[]): Observation {
  return { ...known, writes: [...known.writes, ...writes] }
}

/** The last read with the writes that it may not show yet laid over it, in their order. */
export function viewOf(known: Observation): GroupView {
  const owned = new Map(known.owned.map((rule) => [rule.id, rule]))
  const uncertain = new Map<string, UncertainRule>()
  const unseen = new Map<RuleKey, 'proven' | 'possible'>()
  for (const write of known.writes) {
    if (write.kind === 'authorized' || write.kind === 'modified') {
      owned.set(write.rule.id, write.rule)
      uncertain.delete(write.rule.id)
      unseen.delete(ruleKey(write.rule))
    } else if (write.kind === 'revoked') {
      owned.delete(write.ruleId)
      uncertain.delete(write.ruleId)
    } else if (write.kind === 'maybeModified') {
      const { id } = write.rule
      // Only its description is in doubt.
      if (write.before.every((rule) => ruleKey(rule) === ruleKey(write.rule))) continue
      // A read may show what it became, or what it was long before: only a write of ours, or a read that is late enough, can tell.
      owned.delete(id)
      const others = write.before.filter((rule) => ruleKey(rule) !== ruleKey(write.rule))
      uncertain.set(id, { id, candidates: [...others, write.rule] })
    } else unseen.set(write.key, write.kind === 'provenPresent' ? 'proven' : 'possible')
  }
  for (const { candidates } of uncertain.values()) {
    for (const rule of candidates) if (unseen.get(ruleKey(rule)) !== 'proven') unseen.set(ruleKey(rule), 'possible')
  }
  const rules = known.writes.length === 0 && owned.size === known.owned.length ? known.owned : [...owned.values()]
  // A foreign rule proves nothing of ours: a lagging read may show what stood there before.
  for (const rule of rules) unseen.delete(ruleKey(rule))
  const foreign = known.foreign.filter(({ id }) => !owned.has(id) && !uncertain.has(id))
  return { owned: rules, uncertain: [...uncertain.values()], foreign, unseen }
}

/** Rules that take room in the group, ours and foreign ones; of those that are merely possible nobody can tell. */
export function fillOf({ foreign, owned, uncertain, unseen }: GroupView, family: Family): number {
  const rules = [...owned, ...foreign, ...uncertain.flatMap(({ candidates }) => candidates.slice(-1))]
  const proven = [...unseen].filter(([key, state]) => state === 'proven' && familyOf(key) === family)
  return rules.filter(({ cidr }) => familyOf(cidr) === family).length + proven.length
}

/** Whether EC2 may still not know of our making this rule, so that its 'not found' proves nothing. */
export function isRecent(known: Observation, ruleId: string, now: number, lag: number): boolean {
  return known.writes.some((write) => write.kind === 'authorized' && write.rule.id === ruleId && write.at + lag > now)
}
