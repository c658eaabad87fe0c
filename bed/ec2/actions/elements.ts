/** XML elements that several actions answer with; names are those of botocore's model. Pure. */
import { ACCOUNT } from '../state/ids.ts'
import type { Permission, SecurityGroup, SecurityGroupRule, Source, Tags } from '../state/rule.ts'
import type { PermissionSet } from '../state/permission.ts'
import type { Xml } from '../wire/xml.ts'
import type { Call } from './call.ts'
import { arnOf } from './call.ts'

export const tagSet = (tags: Tags): Xml => [...tags].map(([key, value]) => ({ key, value }))

/** One row of DescribeSecurityGroupRules, and one element of Authorize's answer. */
export function ruleElement(call: Call, rule: SecurityGroupRule, vpcId: string): Xml {
  return {
    securityGroupRuleId: rule.ruleId,
    groupId: rule.groupId,
    groupOwnerId: ACCOUNT,
    isEgress: rule.isEgress,
    ...portElements(rule),
    ...cidrElements(rule.source),
    referencedGroupInfo:
      rule.source.kind === 'group' ? { groupId: rule.source.value, userId: ACCOUNT, vpcId } : undefined,
    description: rule.description,
    tagSet: tagSet(rule.tags),
    securityGroupRuleArn: arnOf(call, `security-group-rule/${rule.ruleId}`)
  }
}

/** As Revoke's answer names what is gone. */
export function revokedElement(rule: SecurityGroupRule): Xml {
  return {
    securityGroupRuleId: rule.ruleId,
    groupId: rule.groupId,
    isEgress: rule.isEgress,
    ...portElements(rule),
    ...cidrElements(rule.source),
    referencedGroupId: rule.source.kind === 'group' ? rule.source.value : undefined,
    description: rule.description
  }
}

const portElements = ({ protocol, fromPort, toPort }: Permission): Readonly<Record<string, Xml>> => ({
  ipProtocol: protocol,
  fromPort,
  toPort
})

const cidrElements = (source: Source): Readonly<Record<string, Xml>> => ({
  cidrIpv4: source.kind === 'ipv4' ? source.value : undefined,
  cidrIpv6: source.kind === 'ipv6' ? source.value : undefined
})

/** An IpPermission: with protocol -1 and others without ports, DescribeSecurityGroups shows none. */
export function permissionElement(set: PermissionSet): Xml {
  const portless = !['tcp', 'udp', 'icmp', 'icmpv6'].includes(set.protocol)
  const of = (kind: Source['kind']): readonly Permission[] =>
    set.permissions.filter(({ source }) => source.kind === kind)
  return {
    ipProtocol: set.protocol,
    fromPort: portless ? undefined : set.fromPort,
    toPort: portless ? undefined : set.toPort,
    groups: of('group').map(({ source, description }) => ({ userId: ACCOUNT, groupId: source.value, description })),
    ipRanges: of('ipv4').map(({ source, description }) => ({ cidrIp: source.value, description })),
    ipv6Ranges: of('ipv6').map(({ source, description }) => ({ cidrIpv6: source.value, description })),
    prefixListIds: []
  }
}

export const groupArn = (call: Call, group: SecurityGroup): string => arnOf(call, `security-group/${group.groupId}`)
