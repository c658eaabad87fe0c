/** Authorizes: one call where EC2 lets it, halves where it does not. */
import { familyOf, ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { isStillClaimed, listRules } from './apply.ts'
import type { ApplyDeps } from './apply.ts'
import type { Claim } from './desired.ts'
import { describePod } from './description.ts'
import { HANDLING } from './failures.ts'
import { fillOf } from './observation.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { NewRule } from './securityGroups.ts'

/** Families for which EC2 had no room, each with the rules that it was known to hold when the call left. */
export type FullFamilies = Map<Family, number>

/**
 * Authorizes the claims' rules, in one call where none of them is at fault. What EC2 refuses by itself ends up in `failed`, and the
 * families for which the group has no room in `full`.
 * @throws Ec2Failure for what concerns the whole call
 */
export async function authorizeClaims(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  claims: readonly Claim[],
  failed: Map<RuleKey, Ec2Failure>,
  full: FullFamilies
): Promise<void> {
  // What a lost reply may have made goes into calls of its own: a duplicate there must not keep the others out.
  const { unseen } = deps.book.view(groupId)
  const isPossible = ({ rule }: Claim): boolean => unseen.has(ruleKey(rule))
  const parts = [claims.filter((claim) => !isPossible(claim)), claims.filter(isPossible)]
  await authorizeParts(
    deps,
    groupId,
    parts.flatMap((part) => callsOf(part, deps.ec2.rulesPerCall)),
    failed,
    full
  )
}

function callsOf(claims: readonly Claim[], rulesPerCall: number): (readonly Claim[])[] {
  const calls = []
  for (let start = 0; start < claims.length; start += rulesPerCall)
    calls.push(claims.slice(start, start + rulesPerCall))
  return calls
}

async function authorizeBatch(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  planned: readonly Claim[],
  failed: Map<RuleKey, Ec2Failure>,
  full: FullFamilies
): Promise<void> {
  const { book, claimsOf, clusterId, ec2, logger, now } = deps
  if (planned.length === 0) return
  const turn = await ec2.turn('authorize')
  const current = claimsOf(groupId)
  const claims = planned.filter((claim) => isStillClaimed(current, claim))
  if (claims.length === 0) return
  const rules: NewRule[] = claims.map(({ rule, pod }) => ({
    ...rule,
    description: describePod(clusterId, pod.namespace, pod.name)
  }))
  const [family, ...others] = new Set(claims.map(({ rule }) => familyOf(rule.cidr)))
  const fill = family === undefined ? 0 : fillOf(book.view(groupId), family)
  try {
    const made = await ec2.authorize(groupId, rules, turn)
    const at = now()
    book.write(
      groupId,
      made.map((rule) => ({ kind: 'authorized', at, rule }))
    )
    logger.info({ securityGroupID: groupId, count: made.length, rules: listRules(made) }, 'authorized')
    deps.onAuthorized(groupId, claims)
  } catch (error) {
    if (!(error instanceof Ec2Failure)) throw error
    const handling = HANDLING[error.kind]
    const at = now()
    if (handling.maybeApplied)
      book.write(
        groupId,
        claims.map(({ rule }) => ({ kind: 'maybeAuthorized', at, key: ruleKey(rule) }))
      )
    if (error.kind === 'quota' && family !== undefined && others.length === 0)
      full.set(family, Math.max(fill, full.get(family) ?? 0))
    if (error.kind === 'quota' && claims.length > 1) return fillUp(deps, groupId, claims, failed, full)
    if (!handling.bisect) throw error
    await narrow(deps, groupId, claims, failed, full, error)
  }
}

/**
 * The group has room for some of the claims: halves of each family, older pods first, until it is full.
 * @throws Ec2Failure for the first claim that found no room
 */
async function fillUp(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  claims: readonly Claim[],
  failed: Map<RuleKey, Ec2Failure>,
  full: FullFamilies
): Promise<void> {
  const [four, six] = [
    claims.filter(({ rule }) => familyOf(rule.cidr) === 'ipv4'),
    claims.filter(({ rule }) => familyOf(rule.cidr) === 'ipv6')
  ]
  if (four.length > 0 && six.length > 0) return authorizeParts(deps, groupId, [four, six], failed, full)
  const middle = Math.ceil(claims.length / 2)
  // The younger half of one family has no better chance than the older one: where that is full, the first throws.
  for (const part of [claims.slice(0, middle), claims.slice(middle)])
    await authorizeBatch(deps, groupId, part, failed, full)
}

/** That there is no room for one part says nothing of the others, which may be of the other family: each is tried. */
async function authorizeParts(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  parts: readonly (readonly Claim[])[],
  failed: Map<RuleKey, Ec2Failure>,
  full: FullFamilies
): Promise<void> {
  let refusal: Ec2Failure | undefined
  for (const part of parts) {
    try {
      await authorizeBatch(deps, groupId, part, failed, full)
    } catch (error) {
      if (!(error instanceof Ec2Failure) || error.kind !== 'quota') throw error
      refusal ??= error
    }
  }
  if (refusal !== undefined) throw refusal
}

/** One of the claims is at fault, and EC2 kept nothing of the others either. */
async function narrow(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  claims: readonly Claim[],
  failed: Map<RuleKey, Ec2Failure>,
  full: FullFamilies,
  failure: Ec2Failure
): Promise<void> {
  const { book, ec2, logger, now } = deps
  const [only] = claims
  if (claims.length === 1 && only !== undefined) {
    if (failure.kind === 'duplicate')
      book.write(groupId, [{ kind: 'provenPresent', at: now(), key: ruleKey(only.rule) }])
    else {
      failed.set(ruleKey(only.rule), failure)
      logger.warn({ err: failure, securityGroupID: groupId, rule: ruleKey(only.rule) }, 'EC2 refuses a rule')
    }
    return
  }
  let left = claims
  if (failure.kind === 'duplicate') {
    book.takeRules(await ec2.readRules([groupId], book.knownRules(groupId)))
    const { owned, foreign, unseen } = book.view(groupId)
    const there = new Set([...owned, ...foreign].map(ruleKey))
    left = claims.filter(({ rule }) => !there.has(ruleKey(rule)))
    if (left.length < claims.length) return authorizeBatch(deps, groupId, left, failed, full)
    // Made by a call whose reply was lost, and not shown yet: a later read will, and trying each alone would cost a call a rule.
    if (claims.some(({ rule }) => unseen.get(ruleKey(rule)) === 'possible')) throw failure
  }
  const middle = Math.ceil(left.length / 2)
  await authorizeBatch(deps, groupId, left.slice(0, middle), failed, full)
  await authorizeBatch(deps, groupId, left.slice(middle), failed, full)
}
