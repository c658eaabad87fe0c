/** DryRun, missing permission, and conditions of IAM policies. */
import type { EC2 } from '@aws-sdk/client-ec2'
import type { Case, Subject, Topic } from '../case.ts'
import { api, AUTHORIZATION_REFERENCE, ERRORS, POLICY_EXAMPLES, TAG_ON_CREATE } from '../sources.ts'
import { expectRefusal, expectRules, expectSame, expectUnchanged, groupOf, tagged, tcp } from '../steps.ts'

const DENIED = 'UnauthorizedOperation'
const OPT_IN = 'sg.amazonaws.com/cluster/c'
const IpPermissions = [tcp(443, '10.0.0.1/32')]

const grant = (ec2: EC2, GroupId: string, tags?: Readonly<Record<string, string>>) =>
  ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions, ...(tags === undefined ? {} : tagged(tags)) })

const allow = (actions: string | readonly string[], resource: string, Condition?: object): object => ({
  Effect: 'Allow',
  Action: actions,
  Resource: resource === '*' ? '*' : `arn:aws:ec2:*:*:${resource}/*`,
  ...(Condition === undefined ? {} : { Condition })
})

const AUTHORIZE = 'ec2:AuthorizeSecurityGroupIngress'

/** A caller with these statements, and a group. */
const withPolicy = (
  name: string,
  sources: readonly string[],
  statements: (subject: Subject) => readonly object[],
  run: (subject: Subject, caller: EC2, GroupId: string) => Promise<void>
): Case => ({
  name,
  basis: 'documented',
  sources,
  needs: ['policies'],
  run: async (subject) => {
    const caller = await subject.callers.withPolicy({ Version: '2012-10-17', Statement: statements(subject) })
    await run(subject, caller, await subject.createGroup())
  }
})

const dryRuns: readonly Case[] = [
  {
    name: 'a DryRun that is permitted is refused with DryRunOperation, and does nothing',
    basis: 'documented',
    sources: [api('AuthorizeSecurityGroupIngress'), ERRORS],
    run: async (subject) => {
      const { groupId: GroupId, ids } = await groupOf(subject, '10.0.0.9/32')
      const { ec2 } = subject
      const DryRun = true
      await expectRefusal(ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions, DryRun }), 'DryRunOperation')
      await expectRefusal(
        ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [...ids], DryRun }),
        'DryRunOperation'
      )
      await expectUnchanged(subject, GroupId, ['tcp 443-443 10.0.0.9/32'])
    }
  },
  {
    name: 'a DryRun looks at neither duplicates nor quota',
    basis: 'undocumented',
    sources: [],
    run: async (subject) => {
      const { groupId: GroupId } = await groupOf(subject, '10.0.0.1/32')
      await expectRefusal(
        subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions, DryRun: true }),
        'DryRunOperation'
      )
    }
  },
  {
    name: 'a DryRun tells malformed values',
    basis: 'undocumented',
    sources: [],
    run: async (subject) => {
      const GroupId = await subject.createGroup()
      const bad = [tcp(70_000, '10.0.0.1/32')]
      await expectRefusal(
        subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: bad, DryRun: true }),
        'InvalidPermission.Malformed'
      )
    }
  }
]

const denials: readonly Case[] = [
  {
    name: 'a caller without permission is refused with UnauthorizedOperation, and does nothing',
    basis: 'documented',
    sources: [ERRORS],
    needs: ['a caller without permission'],
    relied: 'missing permission is told on the pod, and keeps its finalizer',
    run: async (subject) => {
      const { groupId: GroupId, ids } = await groupOf(subject, '10.0.0.9/32')
      const caller = subject.callers.withoutPermission()
      await expectRefusal(grant(caller, GroupId), DENIED)
      await expectRefusal(caller.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [...ids] }), DENIED)
      await expectRefusal(caller.describeSecurityGroupRules({ MaxResults: 5 }), DENIED)
      await expectUnchanged(subject, GroupId, ['tcp 443-443 10.0.0.9/32'])
    }
  },
  {
    name: 'a DryRun without permission is refused with UnauthorizedOperation',
    basis: 'documented',
    sources: [api('AuthorizeSecurityGroupIngress')],
    needs: ['a caller without permission'],
    run: async (subject) => {
      const GroupId = await subject.createGroup()
      const caller = subject.callers.withoutPermission()
      await expectRefusal(caller.authorizeSecurityGroupIngress({ GroupId, IpPermissions, DryRun: true }), DENIED)
    }
  },
  withPolicy(
    'tags at creation need ec2:CreateTags too',
    [TAG_ON_CREATE],
    () => [allow(AUTHORIZE, 'security-group'), allow(AUTHORIZE, 'security-group-rule')],
    async (subject, caller, GroupId) => {
      await expectRefusal(grant(caller, GroupId, { k: 'v' }), DENIED, /ec2:CreateTags/)
      await grant(caller, GroupId)
      await expectRules(subject, GroupId, ['tcp 443-443 10.0.0.1/32'])
    }
  ),
  withPolicy(
    'ec2:CreateAction confines CreateTags to tags at creation',
    [TAG_ON_CREATE],
    () => [
      allow(AUTHORIZE, '*'),
      allow('ec2:CreateTags', 'security-group-rule', {
        StringEquals: { 'ec2:CreateAction': 'AuthorizeSecurityGroupIngress' }
      })
    ],
    async (_, caller, GroupId) => {
      const { SecurityGroupRules } = await grant(caller, GroupId, { k: 'v' })
      const Resources = (SecurityGroupRules ?? []).map(({ SecurityGroupRuleId }) => SecurityGroupRuleId ?? '')
      await expectRefusal(caller.createTags({ Resources, Tags: [{ Key: 'k', Value: 'w' }] }), DENIED)
    }
  ),
  withPolicy(
    'a condition on a tag of the group is looked up at every call',
    [AUTHORIZATION_REFERENCE],
    () => [
      allow(AUTHORIZE, 'security-group', { StringEquals: { [`aws:ResourceTag/${OPT_IN}`]: 'allowed' } }),
      allow('ec2:RevokeSecurityGroupIngress', 'security-group')
    ],
    async ({ ec2 }, caller, GroupId) => {
      await expectRefusal(grant(caller, GroupId), DENIED)
      await ec2.createTags({ Resources: [GroupId], Tags: [{ Key: OPT_IN, Value: 'allowed' }] })
      const { SecurityGroupRules } = await grant(caller, GroupId)
      await ec2.deleteTags({ Resources: [GroupId], Tags: [{ Key: OPT_IN }] })
      await expectRefusal(grant(caller, GroupId), DENIED)
      const ids = (SecurityGroupRules ?? []).map(({ SecurityGroupRuleId }) => SecurityGroupRuleId ?? '')
      const revoked = await caller.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: ids })
      expectSame(revoked.Return, true, 'a revoke that does not need the tag')
    }
  ),
  {
    ...withPolicy(
      'a condition on the VPC of the group',
      [POLICY_EXAMPLES, AUTHORIZATION_REFERENCE],
      (subject) => [
        allow(AUTHORIZE, 'security-group', {
          ArnEquals: { 'ec2:Vpc': `arn:aws:ec2:${subject.region}:*:vpc/${subject.vpcOf('other')}` }
        })
      ],
      async (subject, caller) => {
        await grant(caller, await subject.createGroup('other'))
        await expectRefusal(grant(caller, await subject.createGroup('default')), DENIED)
      }
    ),
    needs: ['policies', 'a default VPC', 'a VPC that is not the default']
  },
  withPolicy(
    'a condition on the rule and its tags counts only when the call has tags',
    [AUTHORIZATION_REFERENCE],
    () => [
      allow(AUTHORIZE, 'security-group'),
      allow(AUTHORIZE, 'security-group-rule', {
        StringLike: { 'aws:RequestTag/sg.amazonaws.com/owner': 'c/*' }
      }),
      allow('ec2:CreateTags', 'security-group-rule')
    ],
    async (_, caller, GroupId) => {
      await expectRefusal(grant(caller, GroupId, { 'sg.amazonaws.com/owner': 'd/1' }), DENIED)
      await grant(caller, GroupId)
    }
  ),
  withPolicy(
    'Describe actions cannot be confined to resources',
    [AUTHORIZATION_REFERENCE],
    () => [allow('ec2:DescribeSecurityGroups', 'security-group'), allow('ec2:DescribeSecurityGroupRules', '*')],
    async (_, caller, GroupId) => {
      const Filters = [{ Name: 'group-id', Values: [GroupId] }]
      await expectRefusal(caller.describeSecurityGroups({ Filters }), DENIED)
      expectSame((await caller.describeSecurityGroupRules({ Filters })).SecurityGroupRules?.length, 1, 'rules')
    }
  )
]

export const permissions: Topic = { title: 'DryRun and permission', cases: [...dryRuns, ...denials] }
