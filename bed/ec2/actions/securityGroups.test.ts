import t from 'tap'
import { codeOf, refusal, startTrial, tcp } from '../trial.ts'

const DEFAULT_VPC = 'vpc-0def0000000000001'
const OTHER_VPC = 'vpc-0abc0000000000002'

t.test('at start there are a default VPC and another one, each with its default group', async (t) => {
  const { ec2 } = await startTrial(t)
  const { Vpcs = [] } = await ec2.describeVpcs({})
  t.match(Vpcs, [
    { VpcId: DEFAULT_VPC, IsDefault: true, State: 'available', CidrBlock: '172.31.0.0/16' },
    { VpcId: OTHER_VPC, IsDefault: false }
  ])
  const { SecurityGroups = [] } = await ec2.describeSecurityGroups({})
  t.match(SecurityGroups, [
    { GroupName: 'default', VpcId: DEFAULT_VPC },
    { GroupName: 'default', VpcId: OTHER_VPC }
  ])
  const [group] = SecurityGroups
  t.match(group?.IpPermissions, [{ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: group?.GroupId ?? '' }] }])
  const only = await ec2.describeVpcs({ Filters: [{ Name: 'is-default', Values: ['true'] }] })
  t.strictSame(
    only.Vpcs?.map((vpc) => vpc.VpcId),
    [DEFAULT_VPC]
  )
  t.equal(await codeOf(ec2.describeVpcs({ VpcIds: ['vpc-00000000'] })), 'InvalidVpcID.NotFound')
})

t.test('a new group lets everything out, and carries its tags', async (t) => {
  const { ec2 } = await startTrial(t)
  const {
    GroupId = '',
    Tags,
    SecurityGroupArn
  } = await ec2.createSecurityGroup({
    GroupName: 'db',
    Description: 'of a database',
    VpcId: OTHER_VPC,
    TagSpecifications: [{ ResourceType: 'security-group', Tags: [{ Key: 'k', Value: 'v' }] }]
  })
  t.match(GroupId, /^sg-[0-9a-f]{17}$/)
  t.strictSame(Tags, [{ Key: 'k', Value: 'v' }])
  const { SecurityGroups } = await ec2.describeSecurityGroups({ GroupIds: [GroupId] })
  t.strictSame(SecurityGroups, [
    {
      OwnerId: '123456789012',
      GroupId,
      GroupName: 'db',
      Description: 'of a database',
      VpcId: OTHER_VPC,
      IpPermissions: [],
      IpPermissionsEgress: [
        {
          IpProtocol: '-1',
          UserIdGroupPairs: [],
          IpRanges: [{ CidrIp: '0.0.0.0/0' }],
          Ipv6Ranges: [],
          PrefixListIds: []
        }
      ],
      Tags: [{ Key: 'k', Value: 'v' }],
      SecurityGroupArn
    }
  ])
})

t.test('rules of equal protocol and ports are one permission with many sources', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const GroupId = await createGroup()
  for (const cidr of ['10.0.0.1/32', '2001:db8::1/128', '10.0.0.2/32'])
    await ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(443, cidr)] })
  await ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [{ ...tcp(0, '10.0.0.1/32'), IpProtocol: '50' }] })
  const { SecurityGroups } = await ec2.describeSecurityGroups({ GroupIds: [GroupId] })
  t.strictSame(SecurityGroups?.[0]?.IpPermissions, [
    {
      IpProtocol: 'tcp',
      FromPort: 443,
      ToPort: 443,
      UserIdGroupPairs: [],
      IpRanges: [{ CidrIp: '10.0.0.1/32' }, { CidrIp: '10.0.0.2/32' }],
      Ipv6Ranges: [{ CidrIpv6: '2001:db8::1/128' }],
      PrefixListIds: []
    },
    { IpProtocol: '50', UserIdGroupPairs: [], IpRanges: [{ CidrIp: '10.0.0.1/32' }], Ipv6Ranges: [], PrefixListIds: [] }
  ])
})

t.test('refused creations', async (t) => {
  const { ec2 } = await startTrial(t)
  const create = (fields: object) =>
    codeOf(ec2.createSecurityGroup({ GroupName: 'db', Description: 'd', VpcId: OTHER_VPC, ...fields }))
  t.equal(await create({ GroupName: 'default' }), 'InvalidGroup.Duplicate')
  t.equal(await create({ GroupName: 'sg-1' }), 'InvalidParameterValue')
  t.equal(await create({ GroupName: 'x'.repeat(256) }), 'InvalidParameterValue')
  t.equal(await create({ Description: 'é' }), 'InvalidParameterValue')
  t.equal(await create({ Description: '' }), 'MissingParameter')
  t.equal(await create({ VpcId: 'vpc-00000000' }), 'InvalidVpcID.NotFound')
  t.equal(await create({ VpcId: 'x' }), 'InvalidVpcID.Malformed')
  const TagSpecifications = [{ ResourceType: 'vpc', Tags: [{ Key: 'k' }] }]
  t.equal(await create({ TagSpecifications }), 'InvalidParameterValue')
  const { GroupId = '' } = await ec2.createSecurityGroup({ GroupName: 'db', Description: 'd' })
  const { SecurityGroups } = await ec2.describeSecurityGroups({ GroupNames: ['db'] })
  t.match(SecurityGroups, [{ GroupId, VpcId: DEFAULT_VPC }], 'without a VPC it is the default one')
})

t.test('filters, pages and unknown groups', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const ids = await Promise.all([1, 2, 3, 4].map(() => createGroup()))
  const [first = '', second = ''] = ids
  await ec2.createTags({ Resources: [second], Tags: [{ Key: 'team', Value: 'blue' }] })
  await ec2.authorizeSecurityGroupIngress({ GroupId: first, IpPermissions: [tcp(443, '10.0.0.1/32')] })
  const found = async (Name: string, ...Values: string[]) => {
    const { SecurityGroups = [] } = await ec2.describeSecurityGroups({ Filters: [{ Name, Values }] })
    return SecurityGroups.map((group) => group.GroupId)
  }
  t.strictSame(await found('tag:team', 'b*'), [second])
  t.strictSame(await found('tag-key', 'team'), [second])
  t.strictSame(await found('ip-permission.cidr', '10.0.0.1/32'), [first])
  t.strictSame(await found('group-id', 'sg-00000000', first), [first])
  t.equal((await found('vpc-id', OTHER_VPC)).length, 5)
  const page = await ec2.describeSecurityGroups({ MaxResults: 5 })
  const rest = await ec2.describeSecurityGroups({ MaxResults: 5, NextToken: page.NextToken })
  t.equal(page.SecurityGroups?.length, 5)
  t.equal(rest.SecurityGroups?.length, 1)
  t.equal(rest.NextToken, undefined)
  t.equal(await codeOf(ec2.describeSecurityGroups({ GroupIds: [first, 'sg-00000000'] })), 'InvalidGroup.NotFound')
  t.equal(await codeOf(ec2.describeSecurityGroups({ GroupIds: ['sg-x'] })), 'InvalidGroupId.Malformed')
  t.equal(await codeOf(ec2.describeSecurityGroups({ GroupNames: ['nobody'] })), 'InvalidGroup.NotFound')
  t.equal(
    await codeOf(ec2.describeSecurityGroups({ Filters: [{ Name: 'x', Values: ['y'] }] })),
    'InvalidParameterValue'
  )
})

t.test('a group goes with its rules, unless it is a default group or another refers to it', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const [one, two] = [await createGroup(), await createGroup()]
  const IpPermissions = [{ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: one }] }]
  await ec2.authorizeSecurityGroupIngress({ GroupId: two, IpPermissions })
  await ec2.authorizeSecurityGroupIngress({ GroupId: one, IpPermissions })
  t.match(await refusal(ec2.deleteSecurityGroup({ GroupId: one })), {
    code: 'DependencyViolation',
    message: /dependent/
  })
  t.equal((await ec2.deleteSecurityGroup({ GroupId: two })).GroupId, two)
  await ec2.deleteSecurityGroup({ GroupId: one })
  const { SecurityGroupRules = [] } = await ec2.describeSecurityGroupRules({})
  t.equal(SecurityGroupRules.length, 4, 'what is left are the rules of the two default groups')
  t.equal(await codeOf(ec2.deleteSecurityGroup({ GroupId: one })), 'InvalidGroup.NotFound')
  t.equal(await codeOf(ec2.deleteSecurityGroup({ GroupName: 'default' })), 'CannotDelete')
  t.equal(await codeOf(ec2.deleteSecurityGroup({})), 'MissingParameter')
})
