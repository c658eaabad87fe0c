/** Rules per group. */
import type { Topic } from '../case.ts'
import { ERRORS, issue, QUOTAS } from '../sources.ts'
import {
  authorize,
  expectRefusal,
  expectRules,
  expectSame,
  expectUnchanged,
  groupOf,
  groupWith,
  hosts,
  hosts6,
  tcp
} from '../steps.ts'

const FULL = 'RulesPerSecurityGroupLimitExceeded'
const named = (cidrs: readonly string[]): readonly string[] => cidrs.map((cidr) => `tcp 443-443 ${cidr}`)

export const quotas: Topic = {
  title: 'Quotas',
  cases: [
    {
      name: 'the quota of IPv4 rules fits beside the egress rule, and one more is refused',
      basis: 'documented',
      sources: [QUOTAS, ERRORS],
      relied: 'a group holds RULES_PER_GROUP rules of a family; above it pods wait',
      run: async (subject) => {
        const all = hosts(subject.quota)
        const GroupId = await groupWith(subject, tcp(443, ...all))
        await expectRefusal(authorize(subject, GroupId, tcp(443, '10.1.0.0/32')), FULL)
        await expectUnchanged(subject, GroupId, named(all))
      }
    },
    {
      name: 'the quota of IPv6 rules is counted apart from that of IPv4 rules',
      basis: 'documented',
      sources: [QUOTAS],
      relied: 'each family of a group has its own quota',
      run: async (subject) => {
        const [ipv4, ipv6] = [hosts(subject.quota), hosts6(subject.quota)]
        const GroupId = await groupWith(subject, tcp(443, ...ipv4))
        await authorize(subject, GroupId, tcp(443, ...ipv6))
        await expectRules(subject, GroupId, named([...ipv4, ...ipv6]))
        await expectRefusal(authorize(subject, GroupId, tcp(443, '2001:db8:1::/128')), FULL)
      }
    },
    {
      name: 'a call that would pass the quota leaves nothing of it behind',
      basis: 'undocumented',
      sources: [issue('ubicloud/ubicloud#5551')],
      relied: 'after a refusal nothing of the call is taken for done',
      run: async (subject) => {
        const all = hosts(subject.quota - 1)
        const GroupId = await groupWith(subject, tcp(443, ...all))
        await expectRefusal(authorize(subject, GroupId, tcp(1, '10.1.0.0/32'), tcp(2, '10.1.0.0/32')), FULL)
        await expectUnchanged(subject, GroupId, named(all))
      }
    },
    {
      name: 'a full family does not stop the other, but a call with both is refused',
      basis: 'undocumented',
      sources: [],
      run: async (subject) => {
        const all = hosts(subject.quota)
        const GroupId = await groupWith(subject, tcp(443, ...all))
        await expectRefusal(authorize(subject, GroupId, tcp(443, '10.1.0.0/32', '2001:db8::1/128')), FULL)
        await authorize(subject, GroupId, tcp(443, '2001:db8::1/128'))
        await expectRules(subject, GroupId, named([...all, '2001:db8::1/128']))
      }
    },
    {
      name: 'a revoke makes room',
      basis: 'documented',
      sources: [QUOTAS],
      relied: 'in a full group what ended pods held is revoked first',
      run: async (subject) => {
        const all = hosts(subject.quota)
        const { groupId: GroupId, ids } = await groupOf(subject, ...all)
        await subject.ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: ids.slice(0, 1) })
        await authorize(subject, GroupId, tcp(443, '10.1.0.0/32'))
        await expectRefusal(authorize(subject, GroupId, tcp(443, '10.1.0.1/32')), FULL)
      }
    },
    {
      name: 'a duplicate in a full group is told as a duplicate',
      basis: 'undocumented',
      sources: [],
      run: async (subject) => {
        const all = hosts(subject.quota)
        const GroupId = await groupWith(subject, tcp(443, ...all))
        await expectRefusal(authorize(subject, GroupId, tcp(443, all[0] ?? '')), 'InvalidPermission.Duplicate')
      }
    },
    {
      name: 'a source group counts in both families',
      basis: 'undocumented',
      sources: [issue('jantman/awslimitchecker#431')],
      needs: ['another quota'],
      run: async (subject) => {
        await subject.control('POST', 'settings', { rulesPerGroup: 2 })
        const GroupId = await groupWith(subject, tcp(443, '10.0.0.1/32', '2001:db8::1/128'))
        await authorize(subject, GroupId, { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId }] })
        for (const cidr of ['10.0.0.2/32', '2001:db8::2/128'])
          await expectRefusal(authorize(subject, GroupId, tcp(443, cidr)), FULL)
      }
    },
    {
      name: 'another quota of the account is in force at once, also below what a group holds',
      basis: 'undocumented',
      sources: [QUOTAS],
      needs: ['another quota'],
      run: async (subject) => {
        await subject.control('POST', 'settings', { rulesPerGroup: 100 })
        const { groupId: GroupId, ids } = await groupOf(subject, ...hosts(100))
        await subject.control('POST', 'settings', { rulesPerGroup: 80 })
        await expectRefusal(authorize(subject, GroupId, tcp(443, '10.1.0.0/32')), FULL)
        await subject.ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: ids.slice(0, 21) })
        const rules = await authorize(subject, GroupId, tcp(443, '10.1.0.0/32'))
        expectSame(rules.length, 1, 'rules that fit')
      }
    }
  ]
}
