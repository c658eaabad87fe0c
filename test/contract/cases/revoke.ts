/** RevokeSecurityGroupIngress, by rule id and by permission. Long, as a list of cases is. */
import type { Case, Topic } from '../case.ts'
import { api, issue, model } from '../sources.ts'
import {
  authorize,
  described,
  expectRefusal,
  expectRules,
  expectSame,
  expectThat,
  expectUnchanged,
  groupOf,
  groupWith,
  idOf,
  permission,
  tcp
} from '../steps.ts'

const REVOKE = api('RevokeSecurityGroupIngress')
const [ONE, TWO] = ['10.0.0.1/32', '10.0.0.2/32']
const UNKNOWN = 'sgr-00000000000000000'

/** One id among good ones that refuses the whole call. */
const badId = (
  name: string,
  code: string,
  about: Pick<Case, 'basis' | 'sources'> & Partial<Case>,
  place: 'first' | 'last',
  bad: (ids: readonly string[], other: string) => string
): Case => ({
  name,
  ...about,
  run: async (subject) => {
    const { groupId: GroupId, ids } = await groupOf(subject, ONE, TWO)
    const other = await groupOf(subject, ONE)
    const id = bad(ids, idOf({ SecurityGroupRuleId: other.ids[0] }))
    const SecurityGroupRuleIds = place === 'first' ? [id, ...ids] : [...ids, id]
    await expectRefusal(subject.ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds }), code)
    await expectUnchanged(subject, GroupId, [`tcp 443-443 ${ONE}`, `tcp 443-443 ${TWO}`])
  }
})

const seenById = { basis: 'undocumented', sources: [issue('ministackorg/ministack#1346')] } as const

const byId: readonly Case[] = [
  {
    name: 'a revoke by id takes these rules and no others',
    basis: 'documented',
    sources: [REVOKE],
    relied: 'rules are revoked by id alone: an id never hits what somebody else made anew',
    run: async (subject) => {
      const { groupId: GroupId, ids } = await groupOf(subject, ONE, TWO, '2001:db8::1/128')
      await subject.ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [ids[0] ?? '', ids[2] ?? ''] })
      await expectRules(subject, GroupId, [`tcp 443-443 ${TWO}`])
    }
  },
  {
    name: 'the answer to Revoke tells what was revoked',
    basis: 'documented',
    sources: [model('RevokeSecurityGroupIngressResult$RevokedSecurityGroupRules')],
    run: async (subject) => {
      const { groupId: GroupId, ids } = await groupOf(subject, ONE, TWO)
      const { RevokedSecurityGroupRules } = await subject.ec2.revokeSecurityGroupIngress({
        GroupId,
        SecurityGroupRuleIds: [...ids]
      })
      expectSame(
        (RevokedSecurityGroupRules ?? [])
          .map((rule) => `rule ${String(ids.indexOf(idOf(rule)))} ${String(rule.CidrIpv4)}`)
          .sort(),
        [`rule 0 ${ONE}`, `rule 1 ${TWO}`],
        'revoked rules'
      )
    }
  },
  badId(
    'an unknown id as the first of a call refuses it, and nothing is revoked',
    'InvalidSecurityGroupRuleId.NotFound',
    { ...seenById, relied: 'after it the group is read again; what is gone is done' },
    'first',
    () => UNKNOWN
  ),
  badId(
    'an unknown id as the last of a call refuses it, and nothing is revoked',
    'InvalidSecurityGroupRuleId.NotFound',
    { ...seenById, relied: 'after it the group is read again; what is gone is done' },
    'last',
    () => UNKNOWN
  ),
  badId(
    "the id of another group's rule refuses a revoke",
    'InvalidSecurityGroupRuleId.NotFound',
    { basis: 'undocumented', sources: [] },
    'last',
    (_, other) => other
  ),
  badId(
    'a malformed id refuses a revoke',
    'InvalidSecurityGroupRuleId.Malformed',
    { basis: 'undocumented', sources: [] },
    'last',
    () => 'rule'
  ),
  badId(
    'an id that comes twice refuses a revoke',
    'InvalidParameterValue',
    { basis: 'undocumented', sources: [] },
    'last',
    (ids) => ids[0] ?? ''
  ),
  {
    name: 'a rule that was revoked cannot be revoked again by its id',
    ...seenById,
    relied: 'a repeated revoke whose first try took effect is recognised by it',
    run: async (subject) => {
      const { groupId: GroupId, ids } = await groupOf(subject, ONE)
      const call = { GroupId, SecurityGroupRuleIds: [...ids] }
      await subject.ec2.revokeSecurityGroupIngress(call)
      await expectRefusal(subject.ec2.revokeSecurityGroupIngress(call), 'InvalidSecurityGroupRuleId.NotFound')
    }
  },
  {
    name: 'a rule that is made anew has another id',
    basis: 'undocumented',
    sources: [],
    relied: 'a revoke that comes late cannot hit the rule of the address’s next holder',
    run: async (subject) => {
      const { groupId: GroupId, ids } = await groupOf(subject, ONE)
      await subject.ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [...ids] })
      const [again] = await authorize(subject, GroupId, tcp(443, ONE))
      expectThat(idOf(again) !== ids[0], 'it has its former id')
    }
  }
]

const byPermission: readonly Case[] = [
  {
    name: 'a revoke by permission needs no description',
    basis: 'documented',
    sources: [REVOKE],
    run: async (subject) => {
      const GroupId = await groupWith(subject, described('one'))
      await subject.ec2.revokeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(443, ONE)] })
      await expectRules(subject, GroupId, [])
    }
  },
  {
    name: 'elsewhere an unknown permission refuses a revoke, and nothing is revoked',
    basis: 'documented',
    sources: [REVOKE],
    needs: ['a VPC that is not the default'],
    run: async (subject) => {
      const GroupId = await subject.createGroup('other')
      await authorize(subject, GroupId, tcp(443, ONE), tcp(80, ONE))
      for (const IpPermissions of [
        [tcp(443, ONE), tcp(1, ONE)],
        [tcp(1, ONE), tcp(443, ONE)]
      ])
        await expectRefusal(
          subject.ec2.revokeSecurityGroupIngress({ GroupId, IpPermissions }),
          'InvalidPermission.NotFound'
        )
      await expectUnchanged(subject, GroupId, [`tcp 443-443 ${ONE}`, `tcp 80-80 ${ONE}`])
    }
  },
  {
    name: 'in the default VPC an unknown permission is told, and the known ones are revoked',
    basis: 'documented',
    sources: [REVOKE],
    needs: ['a default VPC'],
    run: async (subject) => {
      const GroupId = await subject.createGroup('default')
      await authorize(subject, GroupId, tcp(443, ONE))
      const { UnknownIpPermissions } = await subject.ec2.revokeSecurityGroupIngress({
        GroupId,
        IpPermissions: [tcp(443, ONE), tcp(1, TWO)]
      })
      expectSame(
        (UnknownIpPermissions ?? []).map((each) => [each.FromPort, each.IpRanges?.map(({ CidrIp }) => CidrIp)]),
        [[1, [TWO]]],
        'UnknownIpPermissions'
      )
      await expectRules(subject, GroupId, [])
    }
  },
  {
    name: 'a part of a port range is no match for a revoke',
    basis: 'documented',
    sources: [REVOKE],
    needs: ['a VPC that is not the default'],
    run: async (subject) => {
      const GroupId = await subject.createGroup('other')
      await authorize(subject, GroupId, permission('tcp', 1, 100, ONE))
      const IpPermissions = [permission('tcp', 1, 99, ONE)]
      await expectRefusal(
        subject.ec2.revokeSecurityGroupIngress({ GroupId, IpPermissions }),
        'InvalidPermission.NotFound'
      )
      await expectUnchanged(subject, GroupId, [`tcp 1-100 ${ONE}`])
    }
  },
  {
    name: 'another spelling of the CIDR or protocol is a match for a revoke',
    basis: 'undocumented',
    sources: [],
    run: async (subject) => {
      const GroupId = await groupWith(subject, tcp(443, '10.1.0.0/16'))
      await subject.ec2.revokeSecurityGroupIngress({
        GroupId,
        IpPermissions: [permission('6', 443, 443, '10.1.2.3/16')]
      })
      await expectRules(subject, GroupId, [])
    }
  }
]

export const revoking: Topic = {
  title: 'Revoke',
  cases: [
    ...byId,
    ...byPermission,
    {
      name: 'ids and permissions do not go together in a revoke',
      basis: 'undocumented',
      sources: [],
      run: async (subject) => {
        const { groupId: GroupId, ids } = await groupOf(subject, ONE)
        const call = { GroupId, SecurityGroupRuleIds: [...ids], IpPermissions: [tcp(443, ONE)] }
        await expectRefusal(subject.ec2.revokeSecurityGroupIngress(call), 'InvalidParameterCombination')
        await expectUnchanged(subject, GroupId, [`tcp 443-443 ${ONE}`])
      }
    },
    {
      name: 'a revoke of nothing is refused',
      basis: 'undocumented',
      sources: [],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        await expectRefusal(subject.ec2.revokeSecurityGroupIngress({ GroupId }), 'MissingParameter')
      }
    }
  ]
}
