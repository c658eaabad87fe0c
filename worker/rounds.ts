/** The rounds of one run in which what is claimed is authorized: one after the other, each with the room that the one before has left. */
import { familyOf, ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { isStillClaimed } from './apply.ts'
import { authorizeClaims } from './authorizeClaims.ts'
import type { FullFamilies } from './authorizeClaims.ts'
import type { Brake } from './brake.ts'
import { decide, isStillAskedFor } from './decision.ts'
import type { Findings } from './decision.ts'
import type { Claim } from './desired.ts'
import type { Change } from './edits.ts'
import { modifyRules } from './modifyRules.ts'
import { fillOf } from './observation.ts'
import type { Plan } from './plan.ts'
import { revokeOnce } from './revokeEnded.ts'
import type { Ending, EndingDeps } from './revokeEnded.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { ObservedRule } from './securityGroups.ts'

export interface RoundDeps extends EndingDeps {
  readonly brake: Brake
}

/** Of one run, at most: each has made room for the next, of which a pod needs one a range (60 at most), or found a rule that EC2 refuses. */
const ROUNDS = 100
/** What is left takes its room, whatever kept it from being revoked. */
export const UNEXPLAINED: Findings = { explained: () => false }

/** What EC2 refuses for itself, as this run has it, and what it did so at the last try. */
export interface Refused {
  readonly failed: Map<RuleKey, Ec2Failure>
  readonly suspect: ReadonlySet<RuleKey>
}

/**
 * Authorize first, then revoke: nobody waits for a revoke. Only in a full group it is the other way round. A quota error teaches the
 * quota, and the next round plans with it; what was taken beyond a learned quota refutes it likewise.
 * @param ended what ended pods left behind is being revoked
 * @returns what EC2 refused
 */
export async function authorizeMissing(
  deps: RoundDeps,
  groupId: SecurityGroupId,
  { failed, suspect }: Refused,
  ended: Promise<unknown>,
  ending: Ending
): Promise<Error[]> {
  let failures: Error[] = []
  const current = (): Plan => decide(deps, groupId, { failed, suspect }).plan
  for (let round = 1, refusals = 0; round <= ROUNDS; round++) {
    failures = []
    const { authorize: missing, makeRoom, modify } = current()
    if (missing.length + makeRoom.length + modify.length === 0) break
    const attempt = attemptInto(failures)
    const [before, failedBefore] = [deps.book.record(groupId), failed.size]
    await attempt(() => modifyUntilTaken(deps, groupId, failed, () => current().modify))
    if (current().makeRoom.length > 0) await ended
    const planned = current()
    const promised = planned.authorize.map(({ rule }) => ruleKey(rule))
    if (planned.makeRoom.length > 0)
      await attempt(() =>
        revokeExplained(deps, groupId, [...new Set([...planned.makeRoom, ...planned.revoke])], ending)
      )
    // What could not be revoked takes its room; only what fits without it is tried.
    const left = (): Plan => decide(deps, groupId, { failed, suspect, promised, ...UNEXPLAINED }).plan
    const { authorize } = left()
    const full: FullFamilies = new Map()
    const refused = await attempt(() => authorizeClaims(deps, groupId, authorize, failed, full))
    // What waited for what was to be authorized; a reply that was lost just now is not to be asked for again at once.
    if (failures.length === 0) await attempt(() => modifyUntilTaken(deps, groupId, failed, () => left().modify))
    const isFull = refused instanceof Ec2Failure && refused.kind === 'quota'
    const there = new Set(deps.book.view(groupId).owned.map(ruleKey))
    const made = authorize.filter(({ rule }) => there.has(ruleKey(rule)))
    if (!isFull && (refused !== undefined || !refuteQuota(deps, groupId, made))) {
      const refusedMore = failed.size > failedBefore
      if (failures.length > 0 || (deps.book.record(groupId) === before && !refusedMore)) break
      // What was gained may let the next rules of an edited pod go, and make room; what was refused leaves its place to others. Where
      // there was room for all, who has come meanwhile is served with those who are still to come.
      const next = current()
      if (next.makeRoom.length + next.modify.length > 0 || refusedMore) continue
      break
    }
    refusals += 1
    if (refusals === 3) break
    // What was not sent after all, or was refused for itself, tells nothing of the quota.
    const claims = deps.claimsOf(groupId)
    const sent = authorize.filter((claim) => isStillClaimed(claims, claim) && !failed.has(ruleKey(claim.rule)))
    if (isFull) await attempt(() => learnQuota(deps, groupId, sent, full))
  }
  return failures
}

/** One rule of a pod may take the place of another that EC2 does not let be modified. @throws Ec2Failure as {@link modifyRules} */
async function modifyUntilTaken(
  deps: RoundDeps,
  groupId: SecurityGroupId,
  failed: Map<RuleKey, Ec2Failure>,
  planned: () => readonly Change[]
): Promise<void> {
  const refused = (): number => deps.book.record(groupId).unmodifiable.size
  for (let before = -1; before < refused();) {
    before = refused()
    await modifyRules(deps, groupId, planned(), failed)
  }
}

/** Revokes what ended or is no longer asked for; what living pods still ask for, only as far as the brake lets it. */
export async function revokeExplained(
  deps: RoundDeps,
  groupId: SecurityGroupId,
  planned: readonly ObservedRule[],
  ending: Ending
): Promise<void> {
  const { book, brake, logger, now } = deps
  // What this run has failed to revoke the next one tries again.
  const revoke = planned.filter(({ id }) => !ending.tried.has(id))
  const withdrawals = revoke.filter((rule) => isStillAskedFor(deps, groupId, rule))
  if (withdrawals.length === 0) brake.takeBack(groupId)
  const concerned = withdrawals.length > 0
  const owned = concerned ? book.groupsWithOwned().reduce((sum, id) => sum + book.view(id).owned.length, 0) : 0
  const free = !concerned || brake.mayWithdraw(groupId, withdrawals.length, owned, now())
  if (!free) {
    const keys = { securityGroupID: groupId, withdrawals: withdrawals.length, owned }
    logger.error(
      keys,
      'the brake holds: too many rules of living pods would be withdrawn at once; check POD_CIDRS, Roles, tags and Nodes'
    )
  }
  await revokeOnce(deps, groupId, free ? revoke : revoke.filter((rule) => !withdrawals.includes(rule)), ending)
  if (free && withdrawals.length > 0) {
    brake.withdrawn(withdrawals.length, now())
    brake.takeBack(groupId)
  }
}

/** @returns whether EC2 has just taken more than it once refused */
function refuteQuota({ book }: RoundDeps, groupId: SecurityGroupId, made: readonly Claim[]): boolean {
  const { quota } = book.record(groupId)
  const families = [...new Set(made.map(({ rule }) => familyOf(rule.cidr)))].filter((family) => quota[family]?.probing)
  book.forgetQuota(groupId, families)
  return families.length > 0
}

/** Reads the group again and takes what it holds, or held when it was full, for all that it can hold, until a later sweep lets one more be tried. */
async function learnQuota(
  deps: RoundDeps,
  groupId: SecurityGroupId,
  refused: readonly Claim[],
  full: Readonly<FullFamilies>
): Promise<void> {
  const { book, ec2, logger, now } = deps
  book.takeRules(await ec2.readRules([groupId], book.knownRules(groupId)))
  const view = book.view(groupId)
  const quota: Partial<Record<Family, number>> = {}
  const there = new Set([...view.owned, ...view.foreign].map(ruleKey))
  const lacking = new Set(
    refused.filter(({ rule }) => !there.has(ruleKey(rule))).map(({ rule }) => familyOf(rule.cidr))
  )
  for (const family of lacking) {
    // What a refusal of the others left unsent is not there either, and tells nothing.
    const before = full.get(family)
    // What ended pods left may have gone meanwhile, and its place is free.
    if (before !== undefined) quota[family] = Math.max(before, fillOf(view, family))
  }
  book.learnQuota(groupId, quota, now())
  // A family that has room left took all of its claims.
  refuteQuota(
    deps,
    groupId,
    refused.filter(({ rule }) => !lacking.has(familyOf(rule.cidr)))
  )
  logger.warn({ securityGroupID: groupId, ...quota }, 'security group is full, below RULES_PER_GROUP')
}

/** Runs a step and notes its failure, so that the next step has its turn whatever happened. */
export function attemptInto(failures: Error[]): (step: () => Promise<void>) => Promise<Error | undefined> {
  return async (step) => {
    try {
      await step()
      return undefined
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error))
      failures.push(failure)
      return failure
    }
  }
}
