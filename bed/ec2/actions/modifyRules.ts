/** ModifySecurityGroupRules: rules change in place and keep id and tags; all of a call, or nothing of it. Pure. */
import { invalidCombination, invalidValue, missingParameter, notSimulated, ruleNotFound } from '../state/error.ts'
import { checkGroupId } from '../state/ids.ts'
import { readCidr, readDescription, readPorts, readProtocol } from '../state/permission.ts'
import type { Permission, SecurityGroup, SecurityGroupRule, Source } from '../state/rule.ts'
import { permissionKey } from '../state/rule.ts'
import type { Parameters } from '../wire/parameters.ts'
import { checkSources, duplicate } from './authorizeIngress.ts'
import type { Action, Call } from './call.ts'
import { demandOnGroup, demandOnRule, loggedRule, readGroupReference } from './call.ts'
import { readRuleIds } from './revokeIngress.ts'

interface Update {
  readonly ruleId: string
  readonly permission: Permission
}

export const modifySecurityGroupRules: Action = (call) => {
  const reference = readGroupReference(call)
  const list = call.parameters.structures('SecurityGroupRule')
  if (list.length === 0) throw missingParameter('securityGroupRules')
  const ruleIds = readRuleIds(
    call,
    list.map((item) => item.required('SecurityGroupRuleId'))
  )
  const updates = list.map((item, i): Update => ({ ruleId: ruleIds[i] ?? '', permission: readRequest(item) }))
  call.note({ rules: updates.map(({ permission }) => loggedRule(permission)) })
  const present = ruleIds.map((ruleId) => call.store.rule(ruleId)).filter((rule) => rule !== undefined)
  call.admit([demandOnGroup(call, reference.id), ...present.map((rule) => demandOnRule(call, rule))])
  const group = reference.resolve()
  const modified = updates.map((update) => modify(call, group, update))
  checkSources(call, group, modified)
  checkDuplicates(call, group, modified)
  for (const rule of modified) call.store.putRule(rule, call.now)
  return { return: true }
}

/**
 * The new rule in full: what is left out is gone, the description too.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroupRuleRequest.html
 */
function readRequest(item: Parameters): Permission {
  const request = item.structure('SecurityGroupRule')
  if (request === undefined) throw invalidValue('No value specified for securityGroupRule.')
  const protocol = readProtocol(request.text('IpProtocol'))
  const from = request.integer('FromPort')
  const to = request.integer('ToPort')
  // Authorize lets ports pass here; Modify does not. The message is EC2's.
  if (protocol === '-1' && ((from ?? -1) !== -1 || (to ?? -1) !== -1))
    throw invalidValue(
      'You may not specify all protocols and specific ports. Please specify each protocol and port range ' +
        'combination individually, or all protocols and no port range.'
    )
  const [fromPort, toPort] = readPorts(protocol, from, to)
  return {
    protocol,
    fromPort,
    toPort,
    source: readSource(request),
    description: readDescription(request.text('Description'))
  }
}

/** The two messages are EC2's, verified by getmoto/moto#8917. */
function readSource(request: Parameters): Source {
  const ipv4 = request.text('CidrIpv4')
  const ipv6 = request.text('CidrIpv6')
  const group = request.text('ReferencedGroupId')
  const prefixList = request.text('PrefixListId')
  const given = [ipv4, ipv6, group, prefixList].filter((text) => text !== undefined).length
  if (given > 1)
    throw invalidCombination('Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified')
  if (prefixList !== undefined) throw notSimulated('prefix lists as a source')
  if (ipv4 !== undefined) return readCidr('ipv4', ipv4)
  if (ipv6 !== undefined) return readCidr('ipv6', ipv6)
  if (group === undefined)
    throw missingParameter('exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId')
  checkGroupId(group)
  return { kind: 'group', value: group }
}

const TYPES: Readonly<Record<Source['kind'], string>> = {
  ipv4: 'CidrIpv4',
  ipv6: 'CidrIpv6',
  group: 'ReferencedGroupId'
}

/** "When you modify a rule, you cannot change the rule type." Egress rules may be modified too. */
function modify(call: Call, group: SecurityGroup, { ruleId, permission }: Update): SecurityGroupRule {
  const rule = call.store.rule(ruleId)
  if (rule?.groupId !== group.groupId) throw ruleNotFound(ruleId)
  const [old, wanted] = [rule.source.kind, permission.source.kind]
  if (old !== wanted)
    throw invalidValue(
      `Invalid rule type for security group rule '${ruleId}'. ` +
        `You may not specify ${TYPES[wanted]} for an existing ${TYPES[old]} rule.`
    )
  return { ...rule, ...permission }
}

/**
 * A new value must be neither another's in the call nor any other rule's before the call. AWS does not document
 * whether two rules may swap their values in one call; here they may not, so that nobody relies on it.
 */
function checkDuplicates(call: Call, group: SecurityGroup, modified: readonly SecurityGroupRule[]): void {
  const keyOf = (rule: SecurityGroupRule): string => `${rule.isEgress ? 'out' : 'in'} ${permissionKey(rule)}`
  if (new Set(modified.map(keyOf)).size < modified.length)
    throw invalidValue('The same permission must not appear multiple times')
  const holders = new Map(call.store.rulesOf(group.groupId).map((rule) => [keyOf(rule), rule.ruleId]))
  for (const rule of modified) {
    const holder = holders.get(keyOf(rule))
    if (holder !== undefined && holder !== rule.ruleId) throw duplicate(rule)
  }
}
