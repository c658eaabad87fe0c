/** AuthorizeSecurityGroupIngress: all of a call, or nothing of it. Pure. */
import { EC2Error, groupNotFound, missingParameter } from '../state/error.ts'
import type { Permission, SecurityGroup, SecurityGroupRule } from '../state/rule.ts'
import { nameInDuplicate, permissionKey } from '../state/rule.ts'
import type { View } from '../state/store.ts'
import type { Action, Call } from './call.ts'
import {
  demandOnGroup,
  demandOnRule,
  demandTagging,
  loggedRule,
  readGroupReference,
  readTagSpecifications
} from './call.ts'
import { ruleElement } from './elements.ts'
import { readPermissions } from './permissions.ts'

export const authorizeSecurityGroupIngress: Action = (call) => {
  const reference = readGroupReference(call)
  const permissions = readPermissions(call.parameters)
  call.note({ rules: permissions.map(loggedRule) })
  if (permissions.length === 0) throw missingParameter('ipPermissions')
  const tags = readTagSpecifications(call.parameters, 'security-group-rule')
  // IAM sees the rule as a resource only when the call tags it.
  const tagging =
    tags === undefined ? [] : [demandOnRule(call, '*', tags), demandTagging(call, 'security-group-rule/*', tags)]
  call.admit([demandOnGroup(call, reference.id, tags), ...tagging])
  const group = reference.resolve()
  checkSources(call, group, permissions)
  checkDuplicates(call, group, permissions)
  checkQuota(call.store, group.groupId, permissions, call.settings.rulesPerGroup)
  const added = permissions.map((permission): SecurityGroupRule => ({
    ...permission,
    ruleId: `sgr-0${call.hex()}`,
    groupId: group.groupId,
    isEgress: false,
    tags: tags ?? new Map(),
    sequence: call.store.nextSequence()
  }))
  for (const rule of added) call.store.putRule(rule, call.now)
  return { return: true, securityGroupRuleSet: added.map((rule) => ruleElement(call, rule, group.vpcId)) }
}

/** A referenced group must be there, in the same VPC: peering is not simulated. */
export function checkSources(call: Call, group: SecurityGroup, permissions: readonly Permission[]): void {
  for (const { source } of permissions) {
    if (source.kind === 'group' && call.store.group(source.value)?.vpcId !== group.vpcId)
      throw groupNotFound(source.value)
  }
}

/** AWS does not document whether a duplicate or a full group is told first; here it is the duplicate. */
function checkDuplicates(call: Call, group: SecurityGroup, permissions: readonly Permission[]): void {
  const present = permissions.find(
    (permission) => call.store.ingressRule(group.groupId, permissionKey(permission)) !== undefined
  )
  if (present !== undefined) throw duplicate(present)
}

export const duplicate = (permission: Permission): EC2Error =>
  new EC2Error('InvalidPermission.Duplicate', `the specified rule "${nameInDuplicate(permission)}" already exists`)

/**
 * The quota counts IPv4 and IPv6 apart, and a source group in both.
 * https://docs.aws.amazon.com/vpc/latest/userguide/amazon-vpc-limits.html ; both measured in jantman/awslimitchecker#431
 */
function checkQuota(view: View, groupId: string, added: readonly Permission[], quota: number): void {
  const present = view.rulesOf(groupId).filter(({ isEgress }) => !isEgress)
  for (const family of ['ipv4', 'ipv6'] as const) {
    const counts = ({ source }: Permission): boolean => source.kind === family || source.kind === 'group'
    const adding = added.filter(counts).length
    if (adding > 0 && present.filter(counts).length + adding > quota)
      throw new EC2Error(
        'RulesPerSecurityGroupLimitExceeded',
        'The maximum number of rules per security group has been reached.'
      )
  }
}
