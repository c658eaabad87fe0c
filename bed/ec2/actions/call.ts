/** What an action gets to work with, and what is common to the actions. Pure. */
import { groupNotFound, invalidCombination, invalidValue, missingParameter } from '../state/error.ts'
import type { EC2Error } from '../state/error.ts'
import { EC2Error as Refusal } from '../state/error.ts'
import type { Filter } from '../state/filters.ts'
import type { HexSource } from '../state/ids.ts'
import { ACCOUNT, checkGroupId } from '../state/ids.ts'
import type { PageRequest } from '../state/pages.ts'
import type { Demand } from '../state/policy.ts'
import type { Permission, SecurityGroup, SecurityGroupRule, Tags } from '../state/rule.ts'
import type { LoggedRule } from '../state/calls.ts'
import type { Settings } from '../state/settings.ts'
import type { Store, View } from '../state/store.ts'
import type { Tag } from '../state/tags.ts'
import { readTags } from '../state/tags.ts'
import type { Parameters } from '../wire/parameters.ts'
import type { Xml } from '../wire/xml.ts'

export interface Call {
  readonly action: string
  readonly parameters: Parameters
  readonly store: Store
  readonly settings: Settings
  /** ms since 1970. */
  readonly now: number
  readonly hex: HexSource
  readonly region: string
  /** What the log will say about the call, also if it fails later. */
  note(about: { readonly groupId?: string; readonly rules?: readonly LoggedRule[] }): void
  /**
   * Where all of EC2's checks stand that need no state: unknown parameters, throttling, faults, permission, DryRun.
   * Every action reads all of its parameters before, and acts only after.
   * @returns what a Describe may see: the present, or the past under a stale fault
   */
  admit(demands: readonly Demand[], unfiltered?: boolean): View
}

export type Action = (call: Call) => Readonly<Record<string, Xml>>

/** A group named by id, or by name in the default VPC; read before, resolved after {@link Call.admit}. */
export interface GroupReference {
  /** For the log and for permission: the id, or the id that the name has now, or the name. */
  readonly id: string
  resolve(): SecurityGroup
}

export function readGroupReference(call: Call): GroupReference {
  const { parameters, store } = call
  const id = parameters.text('GroupId')
  const name = parameters.text('GroupName')
  if (id !== undefined && name !== undefined)
    throw invalidCombination('The parameters groupId and groupName may not be used together')
  if (id !== undefined) {
    call.note({ groupId: id })
    checkGroupId(id)
    return { id, resolve: () => store.group(id) ?? fail(groupNotFound(id)) }
  }
  if (name === undefined || name === '') throw missingParameter('groupName or groupId')
  const defaultVpc = store.vpcs().find(({ isDefault }) => isDefault)?.vpcId ?? ''
  const found = store.groups().find((group) => group.vpcId === defaultVpc && group.groupName === name)
  call.note({ groupId: found?.groupId ?? name })
  const message = `The security group '${name}' does not exist in default VPC '${defaultVpc}'`
  return {
    id: found?.groupId ?? name,
    resolve: () => found ?? fail(new Refusal('InvalidGroup.NotFound', message))
  }
}

export const fail = (error: EC2Error): never => {
  throw error
}

export function readFilters(parameters: Parameters): readonly Filter[] {
  return parameters.structures('Filter').map((filter) => {
    const name = filter.required('Name')
    const values = filter.texts('Value')
    if (values.length === 0) throw invalidValue(`The filter '${name}' has no values`)
    return { name, values }
  })
}

export function readPage(parameters: Parameters): PageRequest {
  return { maxResults: parameters.integer('MaxResults'), nextToken: parameters.text('NextToken') }
}

export function readTagList(parameters: Parameters): readonly Tag[] {
  return parameters.structures('Tag').map((tag) => ({ key: tag.text('Key'), value: tag.text('Value') }))
}

/**
 * Tags at creation: all specifications apply to everything that the call creates.
 * @returns undefined when the call has none, which matters to IAM
 * @throws EC2Error InvalidParameterValue for another resource type; the text is EC2's
 */
export function readTagSpecifications(parameters: Parameters, resourceType: string): Tags | undefined {
  const specifications = parameters.structures('TagSpecification')
  if (specifications.length === 0) return undefined
  const tags = specifications.flatMap((specification) => {
    const type = specification.text('ResourceType')
    if (type !== resourceType)
      throw invalidValue(`'${type ?? 'null'}' is not a valid taggable resource type for this operation.`)
    const list = readTagList(specification)
    if (list.length === 0) throw invalidValue('Tag specification must have at least one tag')
    return list
  })
  return readTags(tags)
}

export const loggedRule = (permission: Permission): LoggedRule => ({
  protocol: permission.protocol,
  fromPort: permission.fromPort,
  toPort: permission.toPort,
  cidr: permission.source.value
})

export const arnOf = (call: Call, resource: string): string => `arn:aws:ec2:${call.region}:${ACCOUNT}:${resource}`

/** A demand without resource: what Describe actions need. */
export const demandAnything = (call: Call): Demand => ({
  action: `ec2:${call.action}`,
  arn: '*',
  context: contextOf(call, {}, new Map())
})

export const demandOnGroup = (call: Call, groupId: string, requested: Tags = new Map()): Demand => {
  const group = call.store.group(groupId)
  const keys = {
    'ec2:securitygroupid': groupId,
    ...(group === undefined ? {} : { 'ec2:vpc': arnOf(call, `vpc/${group.vpcId}`) })
  }
  return {
    action: `ec2:${call.action}`,
    arn: arnOf(call, `security-group/${groupId}`),
    context: contextOf(call, keys, requested, group?.tags)
  }
}

export const demandOnRule = (call: Call, rule: SecurityGroupRule | '*', requested: Tags = new Map()): Demand => ({
  action: `ec2:${call.action}`,
  arn: arnOf(call, `security-group-rule/${rule === '*' ? '*' : rule.ruleId}`),
  context: contextOf(call, {}, requested, rule === '*' ? undefined : rule.tags)
})

/** EC2 asks for CreateTags too when a call tags what it creates. */
export const demandTagging = (call: Call, resource: string, requested: Tags): Demand => ({
  action: 'ec2:CreateTags',
  arn: arnOf(call, resource),
  context: contextOf(call, { 'ec2:createaction': call.action }, requested)
})

export function contextOf(
  call: Call,
  keys: Readonly<Record<string, string>>,
  requested: Tags,
  present: Tags = new Map()
): ReadonlyMap<string, readonly string[]> {
  const context = new Map<string, readonly string[]>([
    ['ec2:region', [call.region]],
    ['aws:requestedregion', [call.region]],
    ...Object.entries(keys).map(([key, value]) => [key, [value]] as const)
  ])
  for (const [key, value] of present) {
    context.set(`aws:resourcetag/${key.toLowerCase()}`, [value])
    context.set(`ec2:resourcetag/${key.toLowerCase()}`, [value])
  }
  for (const [key, value] of requested) context.set(`aws:requesttag/${key.toLowerCase()}`, [value])
  if (requested.size > 0) context.set('aws:tagkeys', [...requested.keys()])
  return context
}
