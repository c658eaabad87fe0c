/** DescribeVpcs. Pure. */
import { EC2Error } from '../state/error.ts'
import type { Fields } from '../state/filters.ts'
import { compileFilters } from '../state/filters.ts'
import { ACCOUNT, checkVpcId } from '../state/ids.ts'
import { pageOf, sequencePosition } from '../state/pages.ts'
import type { Vpc } from '../state/rule.ts'
import type { Xml } from '../wire/xml.ts'
import type { Action } from './call.ts'
import { demandAnything, fail, readFilters, readPage } from './call.ts'
import { tagSet } from './elements.ts'

const FIELDS: Fields<Vpc> = {
  'vpc-id': ({ vpcId }) => [vpcId],
  cidr: ({ cidr }) => [cidr],
  'is-default': ({ isDefault }) => [String(isDefault)],
  isDefault: ({ isDefault }) => [String(isDefault)],
  'owner-id': () => [ACCOUNT],
  state: () => ['available'],
  'tag-key': ({ tags }) => tags.keys()
}

export const describeVpcs: Action = (call) => {
  const ids = call.parameters.texts('VpcId')
  const filters = readFilters(call.parameters)
  const page = readPage(call.parameters)
  ids.forEach(checkVpcId)
  const matches = compileFilters(filters, FIELDS, ({ tags }) => tags)
  const view = call.admit([demandAnything(call)])
  const named = ids.map(
    (id) => view.vpc(id) ?? fail(new EC2Error('InvalidVpcID.NotFound', `The vpc ID '${id}' does not exist`))
  )
  const { items, nextToken } = pageOf((ids.length > 0 ? named : view.vpcs()).filter(matches), page, sequencePosition)
  return { vpcSet: items.map(vpcElement), nextToken }
}

const vpcElement = (vpc: Vpc): Xml => ({
  vpcId: vpc.vpcId,
  ownerId: ACCOUNT,
  state: 'available',
  cidrBlock: vpc.cidr,
  dhcpOptionsId: 'dopt-0def0000000000001',
  instanceTenancy: 'default',
  isDefault: vpc.isDefault,
  cidrBlockAssociationSet: [
    {
      associationId: `vpc-cidr-assoc-${vpc.vpcId.slice('vpc-'.length)}`,
      cidrBlock: vpc.cidr,
      cidrBlockState: { state: 'associated' }
    }
  ],
  tagSet: tagSet(vpc.tags)
})
