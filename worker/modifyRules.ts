/** Modifies: one call where EC2 lets it, halves where a rule is at fault, and the old way where it refuses to. */
import { ruleKey } from '../shared/rules.ts'
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { isStillClaimed, listRules } from './apply.ts'
import type { ApplyDeps } from './apply.ts'
import type { Claim } from './desired.ts'
import { describePod } from './description.ts'
import { HANDLING } from './failures.ts'
import { isRecent } from './observation.ts'
import { overlap } from './edits.ts'
import type { Change } from './edits.ts'
import { Ec2Failure } from './securityGroups.ts'

/**
 * Lets rules of ours become what the claims ask for, in one call where EC2 takes them all. Those that it does not let be modified are noted
 * in the book: they are revoked and made anew. What EC2 refuses by itself ends up in `failed`.
 * @throws Ec2Failure for what concerns the whole call
 */
export async function modifyRules(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  changes: readonly Change[],
  failed: Map<RuleKey, Ec2Failure>
): Promise<void> {
  const { rulesPerCall } = deps.ec2
  for (let start = 0; start < changes.length; start += rulesPerCall) {
    await modifyBatch(deps, groupId, changes.slice(start, start + rulesPerCall), failed)
  }
}

async function modifyBatch(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  planned: readonly Change[],
  failed: Map<RuleKey, Ec2Failure>
): Promise<void> {
  const { book, claimsOf, clusterId, ec2, logger, now } = deps
  if (planned.length === 0) return
  const turn = await ec2.turn('modify')
  const current = claimsOf(groupId)
  const changes = planned.filter((change) => isStillClaimed(current, change.claim) && !isWantedAsItIs(current, change))
  if (changes.length === 0) return
  const wanted = changes.map(({ claim: { pod, rule }, ruleId }) => ({
    ruleId,
    rule: { ...rule, description: describePod(clusterId, pod.namespace, pod.name) }
  }))
  try {
    const made = await ec2.modify(groupId, wanted, turn)
    const at = now()
    book.write(
      groupId,
      made.map((rule) => ({ kind: 'modified', at, rule }))
    )
    logger.info({ securityGroupID: groupId, count: made.length, rules: listRules(made) }, 'modified')
    deps.onModified(groupId, changes)
  } catch (error) {
    if (!(error instanceof Ec2Failure)) throw error
    const at = now()
    if (HANDLING[error.kind].maybeApplied) {
      book.write(
        groupId,
        wanted.map(({ rule, ruleId }, index) => ({
          kind: 'maybeModified',
          at,
          before: changes[index]?.before ?? [],
          rule: { ...rule, id: ruleId, owned: true }
        }))
      )
    }
    await acceptRefusal(deps, groupId, changes, failed, error)
  }
}

/** Whoever has got the address may ask for the rule that is there. Of one that is uncertain nobody can tell. */
function isWantedAsItIs(claims: ReadonlyMap<RuleKey, Claim>, { before, claim }: Change): boolean {
  const [only] = before
  if (only === undefined || before.length > 1 || ruleKey(only) === ruleKey(claim.rule)) return false
  return claims.has(ruleKey(only))
}

/** EC2 has changed none of them. */
async function acceptRefusal(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  changes: readonly Change[],
  failed: Map<RuleKey, Ec2Failure>,
  failure: Ec2Failure
): Promise<void> {
  const { book, logger, now, readLag } = deps
  const [only] = changes
  if (HANDLING[failure.kind].bisect && changes.length > 1) {
    const middle = Math.ceil(changes.length / 2)
    await modifyBatch(deps, groupId, changes.slice(0, middle), failed)
    return modifyBatch(deps, groupId, changes.slice(middle), failed)
  }
  if (failure.kind === 'duplicate' && only !== undefined) {
    // Under another id; or EC2 takes no values that a rule has already, and then it must not be asked each time.
    book.refuseModify(groupId, [only.ruleId])
    return book.write(groupId, [{ kind: 'provenPresent', at: now(), key: ruleKey(only.claim.rule) }])
  }
  if (failure.kind === 'ruleNotFound' && only !== undefined) {
    if (isRecent(book.record(groupId).observation, only.ruleId, now(), readLag)) throw failure
    return book.write(groupId, [{ kind: 'revoked', at: now(), ruleId: only.ruleId }])
  }
  // What EC2 refuses for itself it may not authorize either: then nothing is to go by which some of it passes.
  if (failure.kind === 'rejected' && only?.before.some((rule) => overlap(rule, only.claim.rule)) === true)
    failed.set(ruleKey(only.claim.rule), failure)
  // A role without ec2:ModifySecurityGroupRules, or a quota that counts otherwise than we think: the old way is left.
  if (!['denied', 'quota', 'rejected'].includes(failure.kind)) throw failure
  logger.warn({ err: failure, securityGroupID: groupId }, 'rules cannot be modified: they are revoked and made anew')
  book.refuseModify(
    groupId,
    changes.map(({ ruleId }) => ruleId)
  )
}
