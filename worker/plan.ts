/** What to change in one security group: a function of what is claimed and what is there. Pure. */
import { ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey } from '../shared/rules.ts'
import { inOrderOfAge } from './desired.ts'
import type { Claim } from './desired.ts'
import { leaningOn, passingBy, reuse, whoWaits } from './edits.ts'
import type { Change, Spare } from './edits.ts'
import { fillOf } from './observation.ts'
import type { GroupView } from './observation.ts'
import { serve } from './places.ts'
import type { ObservedPod } from './pods.ts'
import type { ObservedRule } from './securityGroups.ts'

export interface Plan {
  /**
   * Rules that change in place: the group is full, and they belong to living pods that now ask for something else. Not those by which something
   * passes that is to pass by what is to be authorized: they are planned once that is there.
   */
  readonly modify: readonly Change[]
  /** To be revoked before anything is authorized, for there is no room otherwise. */
  readonly makeRoom: readonly ObservedRule[]
  readonly authorize: readonly Claim[]
  /** To be revoked last: nobody waits for it, and nothing that is asked for passes by it alone. */
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
  /** The claim's number among those for which places were kept when rules went to make room; undefined: it is none of them. */
  readonly promised: (claim: Claim) => number | undefined
  /** EC2 refuses the claim's rule for itself, whatever else the group holds. */
  readonly refused: (claim: Claim) => boolean
  /** EC2 did so when it was asked last: it is tried again, and nothing is taken away for it. */
  readonly suspect: (claim: Claim) => boolean
  /** As far as we know EC2 lets the rule be changed. */
  readonly modifiable: (rule: ObservedRule) => boolean
  /** Whether the rule's description names this pod. */
  readonly describes: (rule: ObservedRule, pod: ObservedPod) => boolean
  /** The view is from before our own time: a rule may have been changed in place by the worker before us, and the read not show it. */
  readonly inherited: boolean
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
  const unseenClaims = [...claims].filter(([key]) => !present.has(key))
  const missing = inOrderOfAge(
    unseenClaims
      .filter(([key, { authorizable }]) => authorizable && view.unseen.get(key) !== 'proven')
      .map(([, claim]) => claim)
  )
  const settling = resolveUncertain(claims, view, missing)
  const unclaimed = view.owned.filter((rule) => !claims.has(ruleKey(rule)))
  const mayHoldClaim = (rule: ObservedRule): boolean =>
    unseenClaims.some(([key, { rule: wanted, pod }]) => {
      // A duplicate that no read shows may be a rule that was changed by a call of which nobody knew any more.
      if (view.unseen.get(key) === 'proven' && background.keptFor(rule) === pod.uid) return true
      return background.inherited && (wanted.cidr === rule.cidr || background.describes(rule, pod))
    })
  const former = unclaimed.map((rule) => ({ id: rule.id, candidates: [rule], rule }))
  const spares = [...former.filter(({ rule }) => !mayHoldClaim(rule)), ...settling.spares]
  const open = missing.filter((claim) => !settling.modify.some((change) => change.claim === claim))
  // What EC2 refuses whatever room there is takes no place; what passes by an old rule instead goes on passing by it.
  const [refused, possible] = [open.filter(background.refused), open.filter((claim) => !background.refused(claim))]
  const room = (family: Family): number => quota[family] - fillOf(view, family)
  const inOrder = inOrderOfAge(possible, passingBy([...former, ...settling.spares], background.keptFor))
  const isRisked = leaningOn([...refused, ...possible.filter(background.suspect)], background.keptFor)
  const reused = reuse(spares, inOrder, background, isRisked, room)
  const left = spares.filter(({ id }) => !reused.changes.some(({ ruleId }) => ruleId === id))
  // Whoever widens, narrows or shifts a range keeps what both let in until the new one is there, which comes before anybody else's.
  const changed = [...settling.modify, ...reused.changes].map(({ claim }) => claim)
  const isReplaced = leaningOn(changed, background.keptFor)
  // Nor does he lose it by one denial, or for want of an answer: nothing new is made then, and nothing taken away.
  const doubtful = unseenClaims.filter(([, { authorizable }]) => !authorizable)
  // Of another's rule, which he merely came to ask for, he may not be the heir.
  const hadBefore = (rule: ObservedRule): string | undefined => {
    const uid = background.lastAskedBy(rule)
    return doubtful.some(([, { pod }]) => pod.uid === uid && background.describes(rule, pod)) ? uid : undefined
  }
  const isDoubtful = leaningOn(
    doubtful.map(([, claim]) => claim),
    hadBefore
  )
  // What it is not known to be any more, it may be still.
  const candidates = new Map(left.map((spare) => [spare.rule, spare.candidates]))
  const mayBe =
    (is: (rule: ObservedRule) => boolean) =>
    (rule: ObservedRule): boolean =>
      (candidates.get(rule) ?? [rule]).some(is)
  const explained = left.filter((spare) => spare.candidates.every(background.explained)).map(({ rule }) => rule)
  const spent = explained.filter((rule) => ![isReplaced, isRisked, isDoubtful].some((is) => mayBe(is)(rule)))
  const orphans = left.filter((spare) => spare.candidates.length === 1 && !background.explained(spare.rule))
  const unserved = inOrder.filter((claim) => !changed.includes(claim))
  const isWanted = mayBe(leaningOn(unserved, background.keptFor))
  const { authorize, first, waiting } = serve(unserved, spent, isWanted, reused.owed, background.promised, room)
  const waitsForOthers = whoWaits(reused.changes, authorize, background.keptFor)
  return {
    modify: [...settling.modify, ...reused.changes.filter((change) => !waitsForOthers.has(change))],
    makeRoom: first,
    authorize,
    revoke: spent.filter((rule) => !isWanted(rule)),
    waiting,
    orphans: orphans.map(({ rule }) => rule)
  }
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
