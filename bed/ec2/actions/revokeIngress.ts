/** RevokeSecurityGroupIngress, by rule id and by permission. Pure. */
import { EC2Error, invalidCombination, invalidValue, missingParameter, ruleNotFound } from '../state/error.ts'
import { checkRuleId } from '../state/ids.ts'
import { groupPermissions } from '../state/permission.ts'
import type { Permission, SecurityGroup, SecurityGroupRule } from '../state/rule.ts'
import { permissionKey } from '../state/rule.ts'
import type { Action, Call } from './call.ts'
import { demandOnGroup, loggedRule, readGroupReference } from './call.ts'
import { permissionElement, revokedElement } from './elements.ts'
import { readPermissions } from './permissions.ts'

export const revokeSecurityGroupIngress: Action = (call) => {
  const reference = readGroupReference(call)
  const ruleIds = readRuleIds(call, call.parameters.texts('SecurityGroupRuleId'))
  const permissions = readPermissions(call.parameters)
  if (permissions.length > 0) call.note({ rules: permissions.map(loggedRule) })
  if (permissions.length > 0 && ruleIds.length > 0)
    throw invalidCombination("The parameter 'ipPermissions' may not be used in combination with 'securityGroupRuleIds'")
  if (permissions.length === 0 && ruleIds.length === 0) throw missingParameter('ipPermissions or securityGroupRuleIds')
  // Revoke has no rule as a resource: IAM cannot confine it to some rules of a group.
  call.admit([demandOnGroup(call, reference.id)])
  const group = reference.resolve()
  const found = ruleIds.length > 0 ? findByIds(call, group, ruleIds) : findByPermissions(call, group, permissions)
  for (const rule of found.rules) call.store.dropRule(rule.ruleId, call.now)
  return {
    return: true,
    unknownIpPermissionSet:
      found.unknown.length === 0 ? undefined : groupPermissions(found.unknown).map(permissionElement),
    revokedSecurityGroupRuleSet: found.rules.map(revokedElement)
  }
}

/** Notes the rules that the ids name now, so that the log tells what a revoke by id meant. */
export function readRuleIds(call: Call, ruleIds: readonly string[]): readonly string[] {
  const rules = ruleIds.map((ruleId) => call.store.rule(ruleId)).filter((rule) => rule !== undefined)
  call.note({ rules: rules.map(loggedRule) })
  const seen = new Set<string>()
  for (const ruleId of ruleIds) {
    checkRuleId(ruleId)
    if (seen.has(ruleId))
      throw invalidValue(
        `Duplicated security group rule ID '${ruleId}'. The same security group rule ID must not appear multiple times.`
      )
    seen.add(ruleId)
  }
  return ruleIds
}

interface Found {
  readonly rules: readonly SecurityGroupRule[]
  readonly unknown: readonly Permission[]
}

/** One unknown id refuses the whole call. An egress rule's id is unknown here. */
function findByIds(call: Call, group: SecurityGroup, ruleIds: readonly string[]): Found {
  const rules = ruleIds.map((ruleId) => {
    const rule = call.store.rule(ruleId)
    if (rule?.groupId !== group.groupId || rule.isEgress) throw ruleNotFound(ruleId)
    return rule
  })
  return { rules, unknown: [] }
}

/**
 * What does not match is told in UnknownIpPermissions in a default VPC; elsewhere it refuses the call, "and no rules
 * are revoked". https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RevokeSecurityGroupIngress.html
 */
function findByPermissions(call: Call, group: SecurityGroup, permissions: readonly Permission[]): Found {
  const rules: SecurityGroupRule[] = []
  const unknown: Permission[] = []
  for (const permission of permissions) {
    const rule = call.store.ingressRule(group.groupId, permissionKey(permission))
    if (rule === undefined) unknown.push(permission)
    else rules.push(rule)
  }
  if (unknown.length > 0 && call.store.vpc(group.vpcId)?.isDefault !== true)
    throw new EC2Error('InvalidPermission.NotFound', 'The specified rule does not exist in this security group.')
  return { rules, unknown }
}
