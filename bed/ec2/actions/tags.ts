/** CreateTags, DeleteTags and DescribeTags, on VPCs, security groups and their rules. Pure. */
import { EC2Error, groupNotFound, missingParameter, ruleNotFound } from '../state/error.ts'
import { compileFilters } from '../state/filters.ts'
import { checkGroupId, checkRuleId, checkVpcId } from '../state/ids.ts'
import { pageOf } from '../state/pages.ts'
import type { Demand } from '../state/policy.ts'
import type { Tags } from '../state/rule.ts'
import type { View } from '../state/store.ts'
import { mergeTags, readTags, withoutTags } from '../state/tags.ts'
import type { Action, Call } from './call.ts'
import {
  arnOf,
  contextOf,
  demandAnything,
  demandOnGroup,
  demandOnRule,
  fail,
  readFilters,
  readPage,
  readTagList
} from './call.ts'

type ResourceType = 'vpc' | 'security-group' | 'security-group-rule'

interface Taggable {
  readonly id: string
  readonly type: ResourceType
  readonly tags: Tags
  write(tags: Tags): void
}

/** CreateTags takes at most so many resources in a call (botocore's model). */
const RESOURCES_PER_CALL = 1000

export const createTags: Action = (call) => {
  const ids = readResourceIds(call)
  const list = readTagList(call.parameters)
  if (list.length === 0) throw missingParameter('tag')
  const tags = readTags(list)
  call.admit(ids.map((id) => demandOn(call, id, tags)))
  const changes = ids
    .map((id) => resolve(call, id))
    .map((resource) => [resource, mergeTags(resource.tags, tags)] as const)
  for (const [resource, merged] of changes) resource.write(merged)
  return { return: true }
}

export const deleteTags: Action = (call) => {
  const ids = readResourceIds(call)
  const tags = readTagList(call.parameters)
  const named = new Map(tags.map(({ key, value }) => [key ?? '', value ?? '']))
  call.admit(ids.map((id) => demandOn(call, id, named)))
  for (const resource of ids.map((id) => resolve(call, id))) resource.write(withoutTags(resource.tags, tags))
  return { return: true }
}

function readResourceIds(call: Call): readonly string[] {
  const ids = [...new Set(call.parameters.texts('ResourceId'))]
  if (ids.length === 0) throw missingParameter('resourceIdSet')
  if (ids.length > RESOURCES_PER_CALL)
    throw new EC2Error('InvalidParameterValue', `A call may name at most ${String(RESOURCES_PER_CALL)} resources`)
  const groupIds = ids
    .map((id) => (id.startsWith('sgr-') ? call.store.rule(id)?.groupId : id))
    .filter((id) => id?.startsWith('sg-'))
  call.note({ groupId: [...new Set(groupIds)].join(',') })
  for (const id of ids) {
    if (id.startsWith('sgr-')) checkRuleId(id)
    else if (id.startsWith('sg-')) checkGroupId(id)
    else if (id.startsWith('vpc-')) checkVpcId(id)
    else throw new EC2Error('InvalidID', `The ID '${id}' is not valid`)
  }
  return ids
}

function demandOn(call: Call, id: string, tags: Tags): Demand {
  if (id.startsWith('sg-')) return demandOnGroup(call, id, tags)
  const rule = call.store.rule(id)
  if (rule !== undefined) return demandOnRule(call, rule, tags)
  const type = id.startsWith('sgr-') ? 'security-group-rule' : 'vpc'
  return {
    action: `ec2:${call.action}`,
    arn: arnOf(call, `${type}/${id}`),
    context: contextOf(call, {}, tags, call.store.vpc(id)?.tags)
  }
}

function resolve({ store, now }: Call, id: string): Taggable {
  if (id.startsWith('sgr-')) {
    const rule = store.rule(id) ?? fail(ruleNotFound(id))
    return { id, type: 'security-group-rule', tags: rule.tags, write: (tags) => store.putRule({ ...rule, tags }, now) }
  }
  if (id.startsWith('sg-')) {
    const group = store.group(id) ?? fail(groupNotFound(id))
    return { id, type: 'security-group', tags: group.tags, write: (tags) => store.putGroup({ ...group, tags }, now) }
  }
  const vpc = store.vpc(id) ?? fail(new EC2Error('InvalidVpcID.NotFound', `The vpc ID '${id}' does not exist`))
  return { id, type: 'vpc', tags: vpc.tags, write: (tags) => store.putVpc({ ...vpc, tags }) }
}

interface TagRow {
  readonly resourceId: string
  readonly resourceType: ResourceType
  readonly key: string
  readonly value: string
}

export const describeTags: Action = (call) => {
  const filters = readFilters(call.parameters)
  const page = readPage(call.parameters)
  const matches = compileFilters<TagRow>(
    filters,
    {
      key: ({ key }) => [key],
      value: ({ value }) => [value],
      'resource-id': ({ resourceId }) => [resourceId],
      'resource-type': ({ resourceType }) => [resourceType]
    },
    ({ key, value }) => new Map([[key, value]])
  )
  const view = call.admit([demandAnything(call)])
  const { items, nextToken } = pageOf(rowsOf(view).filter(matches), page, positionOf)
  return {
    tagSet: items.map(({ resourceId, resourceType, key, value }) => ({ resourceId, resourceType, key, value })),
    nextToken
  }
}

function rowsOf(view: View): readonly TagRow[] {
  const row =
    (resourceType: ResourceType) =>
    (resourceId: string, tags: Tags): readonly TagRow[] =>
      [...tags].map(([key, value]) => ({ resourceId, resourceType, key, value }))
  return [
    ...view.vpcs().flatMap(({ vpcId, tags }) => row('vpc')(vpcId, tags)),
    ...view.groups().flatMap(({ groupId, tags }) => row('security-group')(groupId, tags)),
    ...view.rules().flatMap(({ ruleId, tags }) => row('security-group-rule')(ruleId, tags))
  ].sort((a, b) => (positionOf(a) < positionOf(b) ? -1 : 1))
}

/** Ids hold no blanks, so this orders rows by resource, then key. */
const positionOf = ({ resourceId, key }: TagRow): string => `${resourceId} ${key}`
