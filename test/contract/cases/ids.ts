/** Ids that are malformed, and ids of nothing. */
import type { Case, Subject, Topic } from '../case.ts'
import { api, ERRORS, issue } from '../sources.ts'
import { expectRefusal, expectSame, tcp } from '../steps.ts'

const MALFORMED = 'InvalidGroupId.Malformed'
const UNKNOWN_GROUP = 'sg-00000000000000000'
const IpPermissions = [tcp(443, '10.0.0.1/32')]

const refused = (
  name: string,
  code: string,
  about: Pick<Case, 'basis' | 'sources'> & Partial<Case>,
  call: (subject: Subject) => Promise<unknown>
): Case => ({
  name,
  ...about,
  run: async (subject) => {
    await expectRefusal(call(subject), code)
  }
})

const documented = { basis: 'documented', sources: [ERRORS] } as const

export const ids: Topic = {
  title: 'Ids',
  cases: [
    refused('Authorize: a malformed group id', MALFORMED, documented, ({ ec2 }) =>
      ec2.authorizeSecurityGroupIngress({ GroupId: 'sg-xyz', IpPermissions })
    ),
    refused(
      'Authorize: an id in upper case is malformed',
      MALFORMED,
      { basis: 'undocumented', sources: [] },
      ({ ec2 }) => ec2.authorizeSecurityGroupIngress({ GroupId: 'sg-0123456789ABCDEF0', IpPermissions })
    ),
    refused(
      'Authorize: an unknown group',
      'InvalidGroup.NotFound',
      { ...documented, relied: 'a group that is gone is told on the pod, and asked for again slowly' },
      ({ ec2 }) => ec2.authorizeSecurityGroupIngress({ GroupId: UNKNOWN_GROUP, IpPermissions })
    ),
    refused('Authorize: no group at all', 'MissingParameter', documented, ({ ec2 }) =>
      ec2.authorizeSecurityGroupIngress({ IpPermissions })
    ),
    refused(
      'Revoke: an unknown group',
      'InvalidGroup.NotFound',
      { ...documented, relied: 'rules of a group that is gone are gone' },
      ({ ec2 }) =>
        ec2.revokeSecurityGroupIngress({ GroupId: UNKNOWN_GROUP, SecurityGroupRuleIds: ['sgr-00000000000000000'] })
    ),
    refused('DescribeSecurityGroups: a malformed id', MALFORMED, documented, ({ ec2 }) =>
      ec2.describeSecurityGroups({ GroupIds: ['sg-xyz'] })
    ),
    refused('DescribeSecurityGroups: an unknown id', 'InvalidGroup.NotFound', documented, ({ ec2 }) =>
      ec2.describeSecurityGroups({ GroupIds: [UNKNOWN_GROUP] })
    ),
    {
      name: 'DescribeSecurityGroups: an unknown id in the filter matches nothing',
      basis: 'undocumented',
      sources: [issue('getmoto/moto#7620')],
      relied: 'one group that is gone does not hide the others that are read with it',
      run: async (subject) => {
        const groupId = await subject.createGroup()
        const { SecurityGroups } = await subject.ec2.describeSecurityGroups({
          Filters: [{ Name: 'group-id', Values: [UNKNOWN_GROUP, groupId] }]
        })
        expectSame(
          (SecurityGroups ?? []).map(({ GroupId }) => GroupId),
          [groupId],
          'groups'
        )
      }
    },
    {
      name: 'DescribeSecurityGroupRules: an unknown group in the filter matches nothing',
      basis: 'undocumented',
      sources: [issue('getmoto/moto#7620')],
      relied: 'one group that is gone does not hide the rules of the others',
      run: async (subject) => {
        const groupId = await subject.createGroup()
        const { SecurityGroupRules } = await subject.ec2.describeSecurityGroupRules({
          Filters: [{ Name: 'group-id', Values: [UNKNOWN_GROUP, groupId] }]
        })
        expectSame(SecurityGroupRules?.length, 1, 'rules')
      }
    },
    refused(
      'DescribeSecurityGroupRules: a malformed group in the filter refuses the call',
      MALFORMED,
      { basis: 'undocumented', sources: [issue('localstack/localstack#9059')] },
      ({ ec2 }) => ec2.describeSecurityGroupRules({ Filters: [{ Name: 'group-id', Values: ['sg-xyz'] }] })
    ),
    refused(
      'DescribeSecurityGroupRules: an unknown rule id refuses the call',
      'InvalidSecurityGroupRuleId.NotFound',
      documented,
      ({ ec2 }) => ec2.describeSecurityGroupRules({ SecurityGroupRuleIds: ['sgr-00000000000000000'] })
    ),
    {
      name: 'DescribeSecurityGroupRules: an unknown rule id in the filter matches nothing',
      basis: 'documented',
      sources: [api('DescribeSecurityGroupRules')],
      run: async ({ ec2 }) => {
        const { SecurityGroupRules } = await ec2.describeSecurityGroupRules({
          Filters: [{ Name: 'security-group-rule-id', Values: ['sgr-00000000000000000'] }]
        })
        expectSame(SecurityGroupRules, [], 'rules')
      }
    },
    {
      name: 'a deleted group is unknown, and so are its rules',
      ...documented,
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const made = await subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions })
        await subject.ec2.deleteSecurityGroup({ GroupId })
        await expectRefusal(
          subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions }),
          'InvalidGroup.NotFound'
        )
        const Values = (made.SecurityGroupRules ?? []).map(({ SecurityGroupRuleId }) => SecurityGroupRuleId ?? '')
        const { SecurityGroupRules } = await subject.settled(
          () => subject.ec2.describeSecurityGroupRules({ Filters: [{ Name: 'security-group-rule-id', Values }] }),
          (answer) => answer.SecurityGroupRules?.length === 0
        )
        expectSame(SecurityGroupRules, [], 'rules')
      }
    },
    {
      name: 'a group that another refers to cannot be deleted',
      ...documented,
      run: async (subject) => {
        const [one, two] = [await subject.createGroup(), await subject.createGroup()]
        await subject.ec2.authorizeSecurityGroupIngress({
          GroupId: one,
          IpPermissions: [{ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: two }] }]
        })
        await expectRefusal(subject.ec2.deleteSecurityGroup({ GroupId: two }), 'DependencyViolation')
      }
    }
  ]
}
