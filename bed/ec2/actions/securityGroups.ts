/** DescribeSecurityGroups, CreateSecurityGroup and DeleteSecurityGroup. Pure. */
import { EC2Error, groupNotFound, invalidValue, missingParameter } from '../state/error.ts'
import type { Fields } from '../state/filters.ts'
import { compileFilters } from '../state/filters.ts'
import { ACCOUNT, checkGroupId, checkVpcId } from '../state/ids.ts'
import { pageOf, sequencePosition } from '../state/pages.ts'
import { groupPermissions } from '../state/permission.ts'
import type { SecurityGroup, SecurityGroupRule } from '../state/rule.ts'
import type { View } from '../state/store.ts'
import type { Xml } from '../wire/xml.ts'
import type { Action, Call } from './call.ts'
import {
  arnOf,
  contextOf,
  demandAnything,
  demandOnGroup,
  demandTagging,
  readFilters,
  readGroupReference,
  readPage,
  readTagSpecifications
} from './call.ts'
import { groupArn, permissionElement, tagSet } from './elements.ts'

export const describeSecurityGroups: Action = (call) => {
  const { parameters } = call
  const ids = parameters.texts('GroupId')
  const names = parameters.texts('GroupName')
  const filters = readFilters(parameters)
  const page = readPage(parameters)
  call.note({
    groupId: [...ids, ...filters.filter(({ name }) => name === 'group-id').flatMap(({ values }) => values)].join(',')
  })
  ids.forEach(checkGroupId)
  const unfiltered = ids.length + names.length + filters.length === 0 && page.maxResults === undefined
  const view = call.admit([demandAnything(call)], unfiltered)
  const matches = compileFilters(filters, fieldsIn(view), (group) => group.tags)
  const { items, nextToken } = pageOf(select(view, ids, names).filter(matches), page, sequencePosition)
  return { securityGroupInfo: items.map((group) => groupElement(call, view, group)), nextToken }
}

/** An id or a name that is not there refuses the call; a filter that matches nothing does not. */
function select(view: View, ids: readonly string[], names: readonly string[]): readonly SecurityGroup[] {
  if (ids.length === 0 && names.length === 0) return view.groups()
  const defaultVpc = view.vpcs().find(({ isDefault }) => isDefault)?.vpcId ?? ''
  const byId = ids.map((id) => view.group(id) ?? missing(groupNotFound(id)))
  const byName = names.map(
    (name) =>
      view.groups().find((group) => group.groupName === name && group.vpcId === defaultVpc) ??
      missing(
        new EC2Error(
          'InvalidGroup.NotFound',
          `The security group '${name}' does not exist in default VPC '${defaultVpc}'`
        )
      )
  )
  return [...new Set([...byId, ...byName])].sort((a, b) => a.sequence - b.sequence)
}

const missing = (error: EC2Error): never => {
  throw error
}

function fieldsIn(view: View): Fields<SecurityGroup> {
  const rules = (group: SecurityGroup, isEgress: boolean): readonly SecurityGroupRule[] =>
    view.rulesOf(group.groupId).filter((rule) => rule.isEgress === isEgress)
  const cidrs = (isEgress: boolean, kind: 'ipv4' | 'ipv6' | 'group') => (group: SecurityGroup) =>
    rules(group, isEgress)
      .filter(({ source }) => source.kind === kind)
      .map(({ source }) => source.value)
  const each = (isEgress: boolean, read: (rule: SecurityGroupRule) => string) => (group: SecurityGroup) =>
    rules(group, isEgress).map(read)
  const permissionFields = (prefix: string, isEgress: boolean): Fields<SecurityGroup> => ({
    [`${prefix}.cidr`]: cidrs(isEgress, 'ipv4'),
    [`${prefix}.ipv6-cidr`]: cidrs(isEgress, 'ipv6'),
    [`${prefix}.group-id`]: cidrs(isEgress, 'group'),
    [`${prefix}.protocol`]: each(isEgress, ({ protocol }) => protocol),
    [`${prefix}.from-port`]: each(isEgress, ({ fromPort }) => String(fromPort)),
    [`${prefix}.to-port`]: each(isEgress, ({ toPort }) => String(toPort))
  })
  return {
    description: (group) => [group.description],
    'group-id': (group) => [group.groupId],
    'group-name': (group) => [group.groupName],
    'owner-id': () => [ACCOUNT],
    'vpc-id': (group) => [group.vpcId],
    'tag-key': (group) => group.tags.keys(),
    ...permissionFields('ip-permission', false),
    ...permissionFields('egress.ip-permission', true)
  }
}

function groupElement(call: Call, view: View, group: SecurityGroup): Xml {
  const rules = view.rulesOf(group.groupId)
  return {
    ownerId: ACCOUNT,
    groupId: group.groupId,
    groupName: group.groupName,
    groupDescription: group.description,
    vpcId: group.vpcId,
    ipPermissions: groupPermissions(rules.filter(({ isEgress }) => !isEgress)).map(permissionElement),
    ipPermissionsEgress: groupPermissions(rules.filter(({ isEgress }) => isEgress)).map(permissionElement),
    tagSet: tagSet(group.tags),
    securityGroupArn: groupArn(call, group)
  }
}

/** https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html: names, descriptions, charset. */
const TEXT = /^[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]{1,255}$/

export const createSecurityGroup: Action = (call) => {
  const { parameters, store } = call
  const groupName = parameters.required('GroupName')
  const description = parameters.required('GroupDescription')
  const vpcId = parameters.text('VpcId') ?? store.vpcs().find(({ isDefault }) => isDefault)?.vpcId ?? ''
  checkVpcId(vpcId)
  if (groupName.startsWith('sg-'))
    throw invalidValue(`Invalid value '${groupName}' for groupName. A group name may not be in the format sg-*.`)
  if (!TEXT.test(groupName)) throw invalidValue(`Invalid value '${groupName}' for groupName`)
  if (!TEXT.test(description)) throw invalidValue(`Invalid value '${description}' for groupDescription`)
  const tags = readTagSpecifications(parameters, 'security-group')
  const vpcKeys = { 'ec2:vpc': arnOf(call, `vpc/${vpcId}`) }
  const resources = ['security-group/*', `vpc/${vpcId}`]
  call.admit([
    ...resources.map((resource) => ({
      action: 'ec2:CreateSecurityGroup',
      arn: arnOf(call, resource),
      context: contextOf(call, vpcKeys, tags ?? new Map(), store.vpc(resource.slice('vpc/'.length))?.tags)
    })),
    ...(tags === undefined ? [] : [demandTagging(call, 'security-group/*', tags)])
  ])
  if (store.vpc(vpcId) === undefined)
    throw new EC2Error('InvalidVpcID.NotFound', `The vpc ID '${vpcId}' does not exist`)
  if (store.groups().some((group) => group.vpcId === vpcId && group.groupName === groupName))
    throw new EC2Error('InvalidGroup.Duplicate', `The security group '${groupName}' already exists for VPC '${vpcId}'`)
  const group: SecurityGroup = {
    groupId: `sg-0${call.hex()}`,
    groupName,
    description,
    vpcId,
    tags: tags ?? new Map(),
    sequence: store.nextSequence()
  }
  store.putGroup(group, call.now)
  store.putRule(egressToAnywhere(call, group.groupId), call.now)
  call.note({ groupId: group.groupId })
  return { groupId: group.groupId, tagSet: tagSet(group.tags), securityGroupArn: groupArn(call, group) }
}

/** Every new group lets all traffic out. https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html */
export const egressToAnywhere = ({ hex, store }: Pick<Call, 'hex' | 'store'>, groupId: string): SecurityGroupRule => ({
  ruleId: `sgr-0${hex()}`,
  groupId,
  isEgress: true,
  protocol: '-1',
  fromPort: -1,
  toPort: -1,
  source: { kind: 'ipv4', value: '0.0.0.0/0' },
  description: undefined,
  tags: new Map(),
  sequence: store.nextSequence()
})

export const deleteSecurityGroup: Action = (call) => {
  if (call.parameters.text('GroupId') === undefined && call.parameters.text('GroupName') === undefined)
    throw missingParameter('groupName or groupId')
  const reference = readGroupReference(call)
  call.admit([demandOnGroup(call, reference.id)])
  const { groupId, groupName } = reference.resolve()
  if (groupName === 'default')
    throw new EC2Error('CannotDelete', `the specified group: "${groupId}" name: "default" cannot be deleted by a user`)
  const referring = call.store.rules().some(({ source, groupId: home }) => source.value === groupId && home !== groupId)
  if (referring) throw new EC2Error('DependencyViolation', `resource ${groupId} has a dependent object`)
  call.store.dropGroup(groupId, call.now)
  return { return: true, groupId }
}
