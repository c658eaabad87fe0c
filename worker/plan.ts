/** What to change in one security group: a function of what is claimed and what is there. Pure. */
import { familyOf, ruleKey } from '../shared/rules.ts'
import type { Family, Rule, RuleKey } from '../shared/rules.ts'
import { inOrderOfAge } from './desired.ts'
import type { Claim } from './desired.ts'
import { fillOf } from './observation.ts'
import type { GroupView } from './observation.ts'
import type { ObservedPod } from './pods.ts'
import type { ObservedRule } from './securityGroups.ts'

/** A rule of ours that becomes what the claim asks for, in the place that it has. */
export interface Change {
  readonly ruleId: string
  /** What it may be now: one rule, or several when an earlier reply was lost. */
  readonly before: readonly ObservedRule[]
  readonly claim: Claim
}

export interface Plan {
  /**
   * Rules that change in place: the group is full, and they belong to living pods that now ask for something else. Not those by which something
   * passes that is to pass by what is to be authorized: they are planned once that is there.
   */
  readonly modify: readonly Change[]
  /** The group has no room for what is wanted until something is revoked. Otherwise authorize first: nobody waits. */
  readonly revokeFirst: boolean
  readonly authorize: readonly Claim[]
  readonly revoke: readonly ObservedRule[]
  /** Claims for which the quota leaves no room, those served next first. */
  readonly waiting: readonly Claim[]
  /** Our own rules that no claim needs and of which nobody knows why they are there: to be proven before they are revoked. */
  readonly orphans: readonly ObservedRule[]
}

/** What is known of our own rules beside what EC2 tells. */
export interface Background {
  /** Whether it is known why nobody claims the rule any more. */
  readonly explained: (rule: ObservedRule) => boolean
  /** uid of the living pod for which the rule keeps a place though it asks for it no more; undefined: nobody. */
  readonly keptFor: (rule: ObservedRule) => string | undefined
  /** uid of whoever asked for the rule last, and asks for it no more. */
  readonly lastAskedBy: (rule: ObservedRule) => string | undefined
  /** As far as we know EC2 lets the rule be changed. */
  readonly modifiable: (rule: ObservedRule) => boolean
  /** Whether the rule's description names this pod. */
  readonly describes: (rule: ObservedRule, pod: ObservedPod) => boolean
  /** The view is from before our own time: a rule may have been changed in place by the worker before us, and the read not show it. */
  readonly inherited: boolean
}

/** An unclaimed rule of ours, by its id: what it is, or may be. */
interface Spare {
  readonly id: string
  readonly candidates: readonly ObservedRule[]
  readonly rule: ObservedRule
}

/**
 * | claimed | there            | then                                                                    |
 * |---------|------------------|-------------------------------------------------------------------------|
 * | yes     | ours or foreign  | nothing: EC2 keeps one rule, whoever made it                            |
 * | yes     | proven, not seen | nothing: a duplicate is stronger evidence than a lagging read           |
 * | yes     | uncertain        | modify once more: then it is certain                                    |
 * | yes     | no, or possible  | authorize, if it may and the quota leaves room, else wait; in a full    |
 * |         |                  | family the pod's own spare rule becomes it, and nobody else gets a place|
 * | no      | ours, explained  | revoke: the pod that held the address ended, or wants it no longer; but |
 * |         |                  | not before the rule is there by which the same pod goes on asking for it|
 * | no      | ours, otherwise  | an orphan: prove it first                                               |
 * | no      | uncertain        | revoke if each of what it may be is explained, else wait for a read     |
 * | no      | foreign          | nothing, ever                                                           |
 *
 * @param quota rules that the group may hold in each family, foreign ones included
 */
export function planChanges(
  claims: ReadonlyMap<RuleKey, Claim>,
  view: GroupView,
  background: Background,
  quota: Readonly<Record<Family, number>>
): Plan {
  const present = new Set([...view.owned, ...view.foreign].map(ruleKey))
  const unseenClaims = [...claims].filter(([key, { authorizable }]) => authorizable && !present.has(key))
  const missing = inOrderOfAge(
    unseenClaims.filter(([key]) => view.unseen.get(key) !== 'proven').map(([, claim]) => claim)
  )
  const settling = resolveUncertain(claims, view, missing)
  const unclaimed = view.owned.filter((rule) => !claims.has(ruleKey(rule)))
  const mayHoldClaim = (rule: ObservedRule): boolean =>
    background.inherited &&
    unseenClaims.some(([, { rule: wanted, pod }]) => wanted.cidr === rule.cidr || background.describes(rule, pod))
  const spares = [
    ...unclaimed.filter((rule) => !mayHoldClaim(rule)).map((rule) => ({ id: rule.id, candidates: [rule], rule })),
    ...settling.spares
  ]
  const open = missing.filter((claim) => !settling.modify.some((change) => change.claim === claim))
  const reused = reuse(spares, open, background, (family) => quota[family] - fillOf(view, family))
  const left = spares.filter(({ id }) => !reused.some(({ ruleId }) => ruleId === id))
  // Whoever widens, narrows or shifts a range keeps what both let in until the new one is there, which comes before anybody else's.
  const isReplaced = leaningOn(
    [...settling.modify, ...reused].map(({ claim }) => claim),
    background.keptFor
  )
  // Nor does he lose it by one denial, or for want of an answer: nothing new is made then, and nothing taken away.
  const doubtful = [...claims].filter(([key, { authorizable }]) => !authorizable && !present.has(key))
  const isDoubtful = leaningOn(
    doubtful.map(([, claim]) => claim),
    background.lastAskedBy
  )
  const explained = left.filter(({ candidates }) => candidates.every(background.explained)).map(({ rule }) => rule)
  const revoke = explained.filter((rule) => !isReplaced(rule) && !isDoubtful(rule))
  const orphans = left.filter((spare) => spare.candidates.length === 1 && !background.explained(spare.rule))
  const unserved = open.filter((claim) => !reused.some((change) => change.claim === claim))

  const room = (family: Family, without: readonly ObservedRule[]): number =>
    Math.max(0, quota[family] - fillOf(view, family) + without.filter(({ cidr }) => familyOf(cidr) === family).length)
  const fits = (family: Family): boolean =>
    unserved.filter(({ rule }) => familyOf(rule.cidr) === family).length <= room(family, [])
  const places = { ipv4: room('ipv4', revoke), ipv6: room('ipv6', revoke) }
  const authorize: Claim[] = []
  const waiting: Claim[] = []
  for (const claim of unserved) {
    const family = familyOf(claim.rule.cidr)
    if (places[family] > 0) {
      places[family] -= 1
      authorize.push(claim)
    } else waiting.push(claim)
  }
  const makesRoom = ({ cidr }: Rule): boolean => !fits(familyOf(cidr))
  const isWanted = leaningOn(authorize, background.keptFor)
  const waitsForOthers = whoWaits(reused, authorize, background)
  return {
    modify: [...settling.modify, ...reused.filter((change) => !waitsForOthers.has(change))],
    revokeFirst: revoke.some(makesRoom),
    authorize,
    revoke: revoke.filter((rule) => makesRoom(rule) || !isWanted(rule)),
    waiting,
    orphans: orphans.map(({ rule }) => rule)
  }
}

/** Whether some of what passes by the rule is to pass by one that is still to come, of the same pod. */
function leaningOn(coming: readonly Claim[], podOf: Background['keptFor']): (rule: ObservedRule) => boolean {
  return (rule) => {
    const uid = coming.length === 0 ? undefined : podOf(rule)
    return uid !== undefined && coming.some((claim) => claim.pod.uid === uid && overlap(claim.rule, rule))
  }
}

/** Changes of rules that must stay as they are until others are there: those to be authorized, and those for which likewise others wait. */
function whoWaits(
  reused: readonly Change[],
  authorize: readonly Claim[],
  { keptFor }: Background
): ReadonlySet<Change> {
  const waiting = new Set<Change>()
  let coming = authorize
  while (coming.length > 0) {
    const isLeaning = leaningOn(coming, keptFor)
    const more = reused.filter((change) => !waiting.has(change) && change.before.some(isLeaning))
    for (const change of more) waiting.add(change)
    coming = more.map(({ claim }) => claim)
  }
  return waiting
}

/** Whether anything passes by both. */
function overlap(one: Rule, other: Rule): boolean {
  if (one.cidr !== other.cidr) return false
  if (one.protocol === 'all' || other.protocol === 'all') return true
  return one.protocol === other.protocol && one.fromPort <= other.toPort && other.fromPort <= one.toPort
}

/** What a lost reply left open is settled by saying again what it is to be: a claim decides, and without one it is spare. */
function resolveUncertain(
  claims: ReadonlyMap<RuleKey, Claim>,
  { uncertain }: GroupView,
  missing: readonly Claim[]
): { modify: Change[]; spares: Spare[] } {
  const modify: Change[] = []
  const spares: Spare[] = []
  for (const { candidates, id } of uncertain) {
    const last = candidates.at(-1)
    const keys = new Set(candidates.map(ruleKey))
    const claim = missing.find(
      (wanted) => keys.has(ruleKey(wanted.rule)) && !modify.some((change) => change.claim === wanted)
    )
    if (claim !== undefined) modify.push({ ruleId: id, before: candidates, claim })
    else if (last !== undefined && ![...keys].some((key) => claims.has(key)))
      spares.push({ id, candidates, rule: last })
  }
  return { modify, spares }
}

/** In a family that has no room for all, a pod's spare rules become what it asks for now, so that nobody else gets their places. */
function reuse(
  spares: readonly Spare[],
  missing: readonly Claim[],
  { keptFor, modifiable }: Background,
  room: (family: Family) => number
): Change[] {
  const changes: Change[] = []
  for (const family of ['ipv4', 'ipv6'] as const) {
    const wanted = missing.filter(({ rule }) => familyOf(rule.cidr) === family)
    if (wanted.length <= Math.max(0, room(family))) continue
    // What passes by a rule already comes before what does not.
    for (const isFit of [overlap, () => true]) {
      for (const { candidates, id, rule } of spares) {
        const uid = familyOf(rule.cidr) === family && modifiable(rule) ? keptFor(rule) : undefined
        if (uid === undefined || changes.some(({ ruleId }) => ruleId === id)) continue
        const claim = wanted.find((one) => one.pod.uid === uid && isFit(one.rule, rule))
        if (claim === undefined) continue
        wanted.splice(wanted.indexOf(claim), 1)
        changes.push({ ruleId: id, before: candidates, claim })
      }
    }
  }
  return changes
}
