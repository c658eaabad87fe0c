/** Tags of rules and groups: at creation, later, and their limits. Long, as a list of cases is. */
import type { Tag } from '@aws-sdk/client-ec2'
import type { Case, Topic } from '../case.ts'
import { api, ERRORS, model, TAGS } from '../sources.ts'
import {
  authorize,
  expectRefusal,
  expectRules,
  expectSame,
  expectUnchanged,
  groupOf,
  hosts,
  idOf,
  readRules,
  tagged,
  tcp
} from '../steps.ts'

const OWNER = 'sg.amazonaws.com/owner'
const many = (count: number): Tag[] => Array.from({ length: count }, (_, i) => ({ Key: `k${String(i)}`, Value: '' }))

/** Authorize with these tags is refused, and makes no rule. */
const refused = (
  name: string,
  code: string,
  Tags: Tag[],
  about: Pick<Case, 'basis' | 'sources'>,
  ResourceType: 'security-group-rule' | 'security-group' = 'security-group-rule'
): Case => ({
  name,
  ...about,
  run: async (subject) => {
    const GroupId = await subject.createGroup()
    const TagSpecifications = [{ ResourceType, Tags }]
    const IpPermissions = [tcp(443, '10.0.0.1/32')]
    await expectRefusal(subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions, TagSpecifications }), code)
    await expectUnchanged(subject, GroupId, [])
  }
})

const documented = { basis: 'documented', sources: [TAGS] } as const

export const tags: Topic = {
  title: 'Tags',
  cases: [
    {
      name: 'the tags of a call are on every rule that it makes',
      basis: 'documented',
      sources: [model('AuthorizeSecurityGroupIngressRequest$TagSpecifications')],
      relied: 'one call carries the rules of many pods, and the owner tag for all of them',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const Tags = [{ Key: OWNER, Value: 'c/1' }]
        const IpPermissions = [tcp(443, ...hosts(2)), tcp(80, '2001:db8::1/128')]
        await subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions, ...tagged({ [OWNER]: 'c/1' }) })
        const rules = await subject.settled(
          () => readRules(subject, GroupId),
          (found) => found.length === 3
        )
        expectSame(
          rules.map((rule) => rule.Tags),
          [Tags, Tags, Tags],
          'tags of the rules'
        )
      }
    },
    {
      name: 'the answer to Authorize has the tags',
      basis: 'documented',
      sources: [api('SecurityGroupRule')],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const call = { GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')], ...tagged({ [OWNER]: 'c/1' }) }
        const { SecurityGroupRules } = await subject.ec2.authorizeSecurityGroupIngress(call)
        expectSame(SecurityGroupRules?.[0]?.Tags, [{ Key: OWNER, Value: 'c/1' }], 'tags')
      }
    },
    {
      name: '50 tags, a key of 128 and a value of 256 characters are allowed',
      ...documented,
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const Tags = [...many(49), { Key: '漢'.repeat(128), Value: '漢'.repeat(256) }]
        const TagSpecifications = [{ ResourceType: 'security-group-rule' as const, Tags }]
        const IpPermissions = [tcp(443, '10.0.0.1/32')]
        await subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions, TagSpecifications })
        await expectRules(subject, GroupId, ['tcp 443-443 10.0.0.1/32'])
      }
    },
    refused('51 tags are refused', 'TagLimitExceeded', many(51), { basis: 'documented', sources: [TAGS, ERRORS] }),
    refused(
      'a tag key of 129 characters is refused',
      'InvalidParameterValue',
      [{ Key: 'k'.repeat(129), Value: '' }],
      documented
    ),
    refused(
      'a tag value of 257 characters is refused',
      'InvalidParameterValue',
      [{ Key: 'k', Value: 'v'.repeat(257) }],
      documented
    ),
    refused(
      'a tag key that begins with `aws:` is refused',
      'InvalidParameterValue',
      [{ Key: 'aws:k', Value: '' }],
      documented
    ),
    refused(
      'a tag key that comes twice is refused',
      'InvalidParameterValue',
      [
        { Key: 'k', Value: '1' },
        { Key: 'k', Value: '2' }
      ],
      { basis: 'undocumented', sources: [] }
    ),
    refused(
      'a tag specification for another type of resource is refused',
      'InvalidParameterValue',
      [{ Key: 'k', Value: 'v' }],
      { basis: 'undocumented', sources: [model('TagSpecification$ResourceType')] },
      'security-group'
    ),
    {
      name: 'CreateTags adds to the tags of a rule, and overwrites',
      basis: 'documented',
      sources: [api('CreateTags')],
      run: async (subject) => {
        const { groupId, ids } = await groupOf(subject, '10.0.0.1/32')
        await subject.ec2.createTags({ Resources: [...ids], Tags: [{ Key: 'a', Value: '1' }] })
        await subject.ec2.createTags({
          Resources: [...ids],
          Tags: [
            { Key: 'a', Value: '2' },
            { Key: 'b', Value: '' }
          ]
        })
        const expected = [
          { Key: 'a', Value: '2' },
          { Key: 'b', Value: '' }
        ]
        const [rule] = await subject.settled(
          () => readRules(subject, groupId),
          (rules) => rules[0]?.Tags?.length === 2
        )
        expectSame(
          [...(rule?.Tags ?? [])].sort((a, b) => (a.Key ?? '').localeCompare(b.Key ?? '')),
          expected,
          'tags'
        )
      }
    },
    {
      name: 'the tags of a rule go with it',
      basis: 'documented',
      sources: [TAGS],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const call = { GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')], ...tagged({ [OWNER]: 'c/1' }) }
        const { SecurityGroupRules } = await subject.ec2.authorizeSecurityGroupIngress(call)
        const ids = (SecurityGroupRules ?? []).map(idOf)
        const read = () => subject.ec2.describeTags({ Filters: [{ Name: 'resource-id', Values: ids }] })
        const before = await subject.settled(read, ({ Tags }) => Tags?.length === 1)
        expectSame(before.Tags?.[0]?.ResourceType, 'security-group-rule', 'type of the tagged resource')
        await subject.ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: ids })
        const after = await subject.settled(read, ({ Tags }) => Tags?.length === 0)
        expectSame(after.Tags, [], 'tags after the revoke')
      }
    },
    {
      name: 'a rule that is made anew has none of its former tags',
      basis: 'documented',
      sources: [TAGS],
      relied: 'an owner tag never outlives the rule that it was put on',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const call = { GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')] }
        const first = await subject.ec2.authorizeSecurityGroupIngress({ ...call, ...tagged({ [OWNER]: 'c/1' }) })
        const SecurityGroupRuleIds = (first.SecurityGroupRules ?? []).map(idOf)
        await subject.ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds })
        const [rule] = await authorize(subject, GroupId, tcp(443, '10.0.0.1/32'))
        expectSame(rule?.Tags ?? [], [], 'tags of the new rule')
      }
    },
    {
      name: 'the tags of a group come with DescribeSecurityGroups, until DeleteTags',
      basis: 'documented',
      sources: [api('SecurityGroup'), api('DeleteTags')],
      relied: 'a group is opted in by its tag',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const tag = { Key: 'sg.amazonaws.com/cluster/c', Value: 'allowed' }
        const read = async () => {
          const { SecurityGroups } = await subject.ec2.describeSecurityGroups({
            Filters: [{ Name: 'group-id', Values: [GroupId] }]
          })
          return (SecurityGroups?.[0]?.Tags ?? []).filter(({ Key }) => Key === tag.Key)
        }
        await subject.ec2.createTags({ Resources: [GroupId], Tags: [tag] })
        expectSame(await subject.settled(read, (found) => found.length === 1), [tag], 'tag')
        await subject.ec2.deleteTags({ Resources: [GroupId], Tags: [{ Key: tag.Key }] })
        expectSame(await subject.settled(read, (found) => found.length === 0), [], 'tag after DeleteTags')
      }
    }
  ]
}
