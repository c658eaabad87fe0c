/** Who gets the places of a family that has not room for all, and what goes for them. Pure. */
import { familyOf } from '../shared/rules.ts'
import type { Family } from '../shared/rules.ts'
import type { Claim } from './desired.ts'
import type { Reuse } from './edits.ts'
import type { Background } from './plan.ts'
import type { ObservedRule } from './securityGroups.ts'

/** After all that places were promised to. */
const OWED = 1_000_000

/** Who gets the places of both families, what goes first to make room, and who waits. */
export function serve(
  unserved: readonly Claim[],
  spent: readonly ObservedRule[],
  isWanted: (rule: ObservedRule) => boolean,
  owed: Reuse['owed'],
  promised: Background['promised'],
  room: (family: Family) => number
): { authorize: Claim[]; first: ObservedRule[]; waiting: Claim[] } {
  const served = { authorize: [] as Claim[], first: [] as ObservedRule[], waiting: [] as Claim[] }
  for (const family of ['ipv4', 'ipv6'] as const) {
    const wanted = unserved.filter(({ rule }) => familyOf(rule.cidr) === family)
    const ofFamily = spent.filter(({ cidr }) => familyOf(cidr) === family)
    const replacing = wanted.filter((claim) => ofFamily.some((rule) => rule === owed.get(claim)))
    const nextOfEach = [...Map.groupBy(replacing, ({ pod }) => pod.uid).values()].map(([next]) => next)
    const replaced = nextOfEach.map((claim) => claim && owed.get(claim))
    const { first, places } = makeRoom(wanted.length, room(family), ofFamily, isWanted, replaced)
    // The place of what goes now is for whom it was his.
    const isReplacing = (claim: Claim): boolean => first.some((rule) => rule === owed.get(claim))
    const rankOf = (claim: Claim): number =>
      isReplacing(claim) ? -1 : (promised(claim) ?? (owed.has(claim) ? OWED : OWED + 1))
    const ordered = wanted.toSorted((one, other) => rankOf(one) - rankOf(other))
    served.first.push(...first)
    served.authorize.push(...ordered.slice(0, places))
    served.waiting.push(...ordered.slice(places))
  }
  return served
}

/**
 * What of one family is to be revoked before anything is authorized, and for how many there is room then. What something leans on that is
 * still to come goes only if nothing else makes room, one rule of a pod at a time: what comes in its place may be all that leans on the rest.
 * @param replaced of each pod the rule in whose place something else of it is to come
 */
function makeRoom(
  wanted: number,
  room: number,
  spent: readonly ObservedRule[],
  isWanted: (rule: ObservedRule) => boolean,
  replaced: readonly (ObservedRule | undefined)[]
): { first: readonly ObservedRule[]; places: number } {
  if (wanted <= room) return { first: [], places: wanted }
  const free = spent.filter((rule) => !isWanted(rule))
  // What is left of a pod goes in a round of its own: what is free may not go after all.
  const first = room === 0 && free.length === 0 ? spent.filter((rule) => replaced.includes(rule)) : free
  // Where more is there than there is room for, no place is given to anybody for what goes.
  return { first, places: Math.max(0, room + first.length) }
}
