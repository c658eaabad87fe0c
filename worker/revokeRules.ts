/** Revokes: one call where all of the rules are still there, what is left of them where not. */
import { ruleKey } from '../shared/rules.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { listRules } from './apply.ts'
import type { ApplyDeps } from './apply.ts'
import { HANDLING } from './failures.ts'
import { isRecent } from './observation.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { ObservedRule } from './securityGroups.ts'

/**
 * Revokes the rules by their ids, in one call where all of them are still there.
 * @throws Ec2Failure for what concerns the whole call, and for a rule of which EC2 does not know yet that we made it
 */
export async function revokeRules(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  rules: readonly ObservedRule[]
): Promise<void> {
  const { rulesPerCall } = deps.ec2
  for (let start = 0; start < rules.length; start += rulesPerCall) {
    await revokeBatch(deps, groupId, rules.slice(start, start + rulesPerCall))
  }
}

async function revokeBatch(deps: ApplyDeps, groupId: SecurityGroupId, planned: readonly ObservedRule[]): Promise<void> {
  const { book, claimsOf, ec2, logger, now, readLag } = deps
  if (planned.length === 0) return
  const turn = await ec2.turn('revoke')
  const current = claimsOf(groupId)
  const rules = planned.filter((rule) => !current.has(ruleKey(rule)))
  const [only] = rules
  if (only === undefined) return
  const noteRevoked = (): void => {
    const at = now()
    book.write(
      groupId,
      rules.map(({ id }) => ({ kind: 'revoked', at, ruleId: id }))
    )
    deps.onRevoked(groupId, rules)
  }
  try {
    await ec2.revoke(
      groupId,
      rules.map(({ id }) => id),
      turn
    )
    noteRevoked()
    logger.info({ securityGroupID: groupId, count: rules.length, rules: listRules(rules) }, 'revoked')
  } catch (error) {
    if (!(error instanceof Ec2Failure)) throw error
    if (HANDLING[error.kind].maybeApplied) book.loseRevoke(groupId, now())
    if (error.kind !== 'ruleNotFound') throw error
    if (rules.length === 1) {
      if (isRecent(book.record(groupId).observation, only.id, now(), readLag)) throw error
      return noteRevoked()
    }
    await revokeWhatIsLeft(deps, groupId, rules, error)
  }
}

/** Some of the rules have gone already, and EC2 kept all others. */
async function revokeWhatIsLeft(
  deps: ApplyDeps,
  groupId: SecurityGroupId,
  rules: readonly ObservedRule[],
  failure: Ec2Failure
): Promise<void> {
  const { book, ec2, now, readLag } = deps
  book.takeRules(await ec2.readRules([groupId], book.knownRules(groupId)))
  const there = new Set(book.view(groupId).owned.map(({ id }) => id))
  const left = rules.filter(({ id }) => there.has(id))
  if (left.length < rules.length) return revokeBatch(deps, groupId, left)
  // Revoked by a call whose reply was lost, and still shown: a later read will tell, and trying each alone would cost a call a rule.
  if (book.record(groupId).revokeLostAt + readLag > now()) throw failure
  const middle = Math.ceil(rules.length / 2)
  await revokeBatch(deps, groupId, rules.slice(0, middle))
  await revokeBatch(deps, groupId, rules.slice(middle))
}
