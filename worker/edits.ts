/** How a pod that is edited keeps its places in a group, and what passes by its old rules until the new ones are there. Pure. */
import { familyOf } from '../shared/rules.ts'
import type { Family, Rule } from '../shared/rules.ts'
import type { Claim } from './desired.ts'
import type { Background } from './plan.ts'
import type { ObservedRule } from './securityGroups.ts'

/** A rule of ours that becomes what the claim asks for, in the place that it has. */
export interface Change {
  readonly ruleId: string
  /** What it may be now: one rule, or several when an earlier reply was lost. */
  readonly before: readonly ObservedRule[]
  readonly claim: Claim
}

/** An unclaimed rule of ours, by its id: what it is, or may be. */
export interface Spare {
  readonly id: string
  readonly candidates: readonly ObservedRule[]
  readonly rule: ObservedRule
}

type KeptFor = Background['keptFor']

/** What becomes of the places that edited pods have in a full family. */
export interface Reuse {
  /** Rules that change in place. Of one pod those come last on which others lean, for a call may be cut into several. */
  readonly changes: readonly Change[]
  /** Claims that are owed the place of a rule that cannot be changed, and that rule: its pod is to have the place still when it is gone. */
  readonly owed: ReadonlyMap<Claim, ObservedRule>
}

/** Whether anything passes by both. */
export function overlap(one: Rule, other: Rule): boolean {
  if (one.cidr !== other.cidr) return false
  if (one.protocol === 'all' || other.protocol === 'all') return true
  return one.protocol === other.protocol && one.fromPort <= other.toPort && other.fromPort <= one.toPort
}

/** Whether some of what passes by the rule is to pass by one that is still to come, of the same pod. */
export function leaningOn(coming: readonly Claim[], keptFor: KeptFor): (rule: ObservedRule) => boolean {
  const byPod = Map.groupBy(coming, ({ pod }) => pod.uid)
  return (rule) => {
    const uid = coming.length === 0 ? undefined : keptFor(rule)
    return uid !== undefined && byPod.get(uid)?.some((claim) => overlap(claim.rule, rule)) === true
  }
}

/** Whether some of what the claim asks for passes by one of the spare rules of its pod. */
export function passingBy(spares: readonly Spare[], keptFor: KeptFor): (claim: Claim) => boolean {
  const byPod = Map.groupBy(spares, ({ rule }) => keptFor(rule))
  return ({ pod, rule }) =>
    byPod.get(pod.uid)?.some(({ candidates }) => candidates.some((candidate) => overlap(candidate, rule))) === true
}

/** Changes of rules that must stay as they are until others are there: those to be authorized, and those for which likewise others wait. */
export function whoWaits(
  changes: readonly Change[],
  authorize: readonly Claim[],
  keptFor: KeptFor
): ReadonlySet<Change> {
  const waiting = new Set<Change>()
  let coming = authorize
  while (coming.length > 0) {
    const isLeaning = leaningOn(coming, keptFor)
    const more = changes.filter((change) => !waiting.has(change) && change.before.some(isLeaning))
    for (const change of more) waiting.add(change)
    coming = more.map(({ claim }) => claim)
  }
  return waiting
}

/**
 * In a family that has no room for all, a pod's spare rules become what it asks for now, so that nobody else gets their places.
 * @param missing in the order in which they are to be served
 * @param isRisked the rule must stay while nobody knows whether EC2 takes what is to come
 */
export function reuse(
  spares: readonly Spare[],
  missing: readonly Claim[],
  { explained, keptFor, modifiable, suspect }: Pick<Background, 'explained' | 'keptFor' | 'modifiable' | 'suspect'>,
  isRisked: (rule: ObservedRule) => boolean,
  room: (family: Family) => number
): Reuse {
  const changes: Change[] = []
  const owed = new Map<Claim, ObservedRule>()
  for (const family of ['ipv4', 'ipv6'] as const) {
    const wanted = missing.filter(({ rule }) => familyOf(rule.cidr) === family)
    if (wanted.length <= Math.max(0, room(family))) continue
    const byPod = Map.groupBy(wanted, ({ pod }) => pod.uid)
    const fits = ({ rule }: Spare): number =>
      byPod.get(keptFor(rule) ?? '')?.filter((claim) => overlap(claim.rule, rule)).length ?? 0
    // Which can become least has its choice first.
    const ofFamily = spares.filter(({ rule }) => familyOf(rule.cidr) === family)
    const left = new Set(ofFamily.sort((one, other) => fits(one) - fits(other)))
    for (const isChangeable of [true, false]) {
      // What passes by a rule already comes before what does not.
      for (const isFit of [overlap, () => true]) {
        for (const spare of left) {
          if (modifiable(spare.rule) !== isChangeable || !(isChangeable || explained(spare.rule))) continue
          const own = byPod.get(keptFor(spare.rule) ?? '') ?? []
          const risked = isRisked(spare.rule)
          // A change that EC2 refuses leaves the rule as it is.
          const mayBe = (one: Claim): boolean =>
            risked ? isChangeable && suspect(one) && overlap(one.rule, spare.rule) : isChangeable || !suspect(one)
          const claim = own.find((one) => isFit(one.rule, spare.rule) && mayBe(one))
          if (claim === undefined) continue
          own.splice(own.indexOf(claim), 1)
          left.delete(spare)
          if (isChangeable) changes.push({ ruleId: spare.id, before: spare.candidates, claim })
          else owed.set(claim, spare.rule)
        }
      }
    }
  }
  return { changes: [...Map.groupBy(changes, ({ claim }) => claim.pod.uid).values()].flatMap(leanedOnLast), owed }
}

/** The changes of one pod. Where two lean on each other, one of them must be first. */
function leanedOnLast(changes: readonly Change[]): Change[] {
  const left = [...changes]
  const ordered: Change[] = []
  for (let next = left[0]; next !== undefined; next = left[0]) {
    const free = left.find(
      (change) =>
        !left.some((other) => other !== change && change.before.some((rule) => overlap(rule, other.claim.rule)))
    )
    next = free ?? next
    left.splice(left.indexOf(next), 1)
    ordered.push(next)
  }
  return ordered
}
