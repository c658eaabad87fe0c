import t from 'tap'
import { codeOf, startTrial, tcp } from '../trial.ts'

t.test('tags on groups, rules and VPCs: set, overwritten, described, deleted', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const GroupId = await createGroup()
  const { SecurityGroupRules } = await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [tcp(1, '10.0.0.1/32')]
  })
  const rule = SecurityGroupRules?.[0]?.SecurityGroupRuleId ?? ''
  await ec2.createTags({
    Resources: [GroupId, rule, 'vpc-0def0000000000001'],
    Tags: [
      { Key: 'a', Value: '1' },
      { Key: 'b', Value: '2' }
    ]
  })
  await ec2.createTags({ Resources: [GroupId], Tags: [{ Key: 'a', Value: '3' }] })
  const tagsOf = async (...Values: string[]) => {
    const { Tags = [] } = await ec2.describeTags({ Filters: [{ Name: 'resource-id', Values }] })
    return Tags.map(({ ResourceType, Key, Value }) => `${String(ResourceType)} ${String(Key)}=${String(Value)}`)
  }
  t.strictSame(await tagsOf(GroupId), ['security-group a=3', 'security-group b=2'])
  t.strictSame(await tagsOf('vpc-0def0000000000001'), ['vpc a=1', 'vpc b=2'])
  await ec2.deleteTags({ Resources: [GroupId, rule], Tags: [{ Key: 'a', Value: '1' }] })
  t.strictSame(await tagsOf(GroupId), ['security-group a=3', 'security-group b=2'], 'another value stays')
  t.strictSame(await tagsOf(rule), ['security-group-rule b=2'])
  await ec2.deleteTags({ Resources: [GroupId], Tags: [{ Key: 'a' }, { Key: 'nothing' }] })
  t.strictSame(await tagsOf(GroupId), ['security-group b=2'])
  await ec2.deleteTags({ Resources: [GroupId] })
  t.strictSame(await tagsOf(GroupId), [])
  await ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [rule] })
  t.strictSame(await tagsOf(rule), [], 'tags of a rule go with it')
})

t.test('refused: all of a call or nothing of it', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const [one, two] = [await createGroup(), await createGroup()]
  const many = (count: number, prefix: string) =>
    Array.from({ length: count }, (_, i) => ({ Key: `${prefix}${String(i)}`, Value: '' }))
  await ec2.createTags({ Resources: [two], Tags: many(30, 'a') })
  const create = (Resources: string[], Tags = [{ Key: 'k', Value: 'v' }]) => codeOf(ec2.createTags({ Resources, Tags }))
  t.equal(await create([one, two], many(21, 'b')), 'TagLimitExceeded')
  t.equal(await create([one, 'sg-00000000']), 'InvalidGroup.NotFound')
  t.equal(await create([one, 'sgr-00000000000000000']), 'InvalidSecurityGroupRuleId.NotFound')
  t.equal(await create([one, 'vpc-00000000']), 'InvalidVpcID.NotFound')
  t.equal(await create([one, 'i-0123']), 'InvalidID')
  t.equal(await create([one], [{ Key: 'aws:x', Value: '' }]), 'InvalidParameterValue')
  t.equal(await create([]), 'MissingParameter')
  t.equal(await create([one], []), 'MissingParameter')
  const { Tags } = await ec2.describeTags({ Filters: [{ Name: 'resource-id', Values: [one] }] })
  t.strictSame(Tags, [])
  await ec2.createTags({ Resources: [two], Tags: many(20, 'b') })
})

t.test('pages of tags', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const Resources = [await createGroup()]
  await ec2.createTags({ Resources, Tags: ['a', 'b', 'c', 'd', 'e', 'f'].map((Key) => ({ Key, Value: '' })) })
  const first = await ec2.describeTags({ MaxResults: 5 })
  const second = await ec2.describeTags({ MaxResults: 5, NextToken: first.NextToken })
  t.strictSame(
    [...(first.Tags ?? []), ...(second.Tags ?? [])].map(({ Key }) => Key),
    ['a', 'b', 'c', 'd', 'e', 'f']
  )
})
