/** What makes two rules the same rule, and in which spelling EC2 gives a rule back. */
import type { Case, Topic } from '../case.ts'
import { api, GROUP_RULES, issue, MOTO_SOURCE } from '../sources.ts'
import {
  authorize,
  cidrOf,
  described,
  expectRefusal,
  expectRules,
  expectSame,
  groupWith,
  nameRule,
  permission,
  tagged,
  tcp
} from '../steps.ts'

const DUPLICATE = 'InvalidPermission.Duplicate'

/** One rule, and another spelling of it that EC2 must refuse as the same. */
const twin = (
  name: string,
  held: ReturnType<typeof tcp>,
  again: ReturnType<typeof tcp>,
  about: Omit<Case, 'name' | 'run'>
): Case => ({
  name,
  ...about,
  run: async (subject) => {
    const GroupId = await groupWith(subject, held)
    await expectRefusal(subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [again] }), DUPLICATE)
  }
})

/** A protocol by number is the named one, and comes back by name. */
const named = (number: string, name: string, ports: readonly [number, number], cidr: string): readonly Case[] => [
  twin(
    `protocol ${number} and ${name} are the same protocol`,
    permission(name, ...ports, cidr),
    permission(number, ...ports, cidr),
    { basis: 'documented', sources: [api('IpPermission')] }
  ),
  {
    name: `protocol ${number} comes back as ${name}`,
    basis: 'undocumented',
    sources: number === '58' || number === '1' ? [] : [issue('getmoto/moto#4183')],
    relied: 'rules that are read are compared with those that are wanted by the name of the protocol',
    run: async (subject) => {
      const GroupId = await groupWith(subject, permission(number, ...ports, cidr))
      await expectRules(subject, GroupId, [`${name} ${ports.join('-')} ${cidr}`])
    }
  }
]

export const identity: Topic = {
  title: 'Identity of a rule',
  cases: [
    twin('a description is no part of what makes a rule', described('one'), described('another'), {
      basis: 'documented',
      sources: [api('RevokeSecurityGroupIngress'), GROUP_RULES],
      relied: 'a rule is keyed without its description, so two pods with one address share one rule'
    }),
    {
      name: 'tags are no part of what makes a rule',
      basis: 'undocumented',
      sources: [],
      relied: 'a rule of somebody else with the same values is told as a duplicate, and left to them',
      run: async (subject) => {
        const GroupId = await groupWith(subject, tcp(443, '10.0.0.1/32'))
        const IpPermissions = [tcp(443, '10.0.0.1/32')]
        await expectRefusal(
          subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions, ...tagged({ owner: 'a' }) }),
          DUPLICATE
        )
      }
    },
    ...named('6', 'tcp', [443, 443], '10.0.0.1/32'),
    ...named('17', 'udp', [53, 53], '10.0.0.1/32'),
    ...named('1', 'icmp', [-1, -1], '10.0.0.1/32'),
    ...named('58', 'icmpv6', [-1, -1], '2001:db8::1/128'),
    twin(
      'the case of a protocol does not matter',
      tcp(443, '10.0.0.1/32'),
      permission('TCP', 443, 443, '10.0.0.1/32'),
      {
        basis: 'undocumented',
        sources: []
      }
    ),
    {
      name: 'the host bits of an IPv4 CIDR are cleared',
      basis: 'documented',
      sources: [api('IpRange'), api('SecurityGroupRuleRequest')],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const made = await authorize(subject, GroupId, tcp(443, '100.68.0.18/18'))
        expectSame(made.map(cidrOf), ['100.68.0.0/18'], 'CIDR in the answer')
        await expectRules(subject, GroupId, ['tcp 443-443 100.68.0.0/18'])
      }
    },
    twin(
      'an IPv4 CIDR with host bits is a duplicate of the one without',
      tcp(443, '100.68.0.0/18'),
      tcp(443, '100.68.0.18/18'),
      { basis: 'documented', sources: [api('IpRange')] }
    ),
    {
      name: 'an IPv6 CIDR comes back compressed and in lower case',
      basis: 'undocumented',
      sources: [api('Ipv6Range')],
      relied: 'rules that are read are compared with those that are wanted in the spelling of RFC 5952',
      run: async (subject) => {
        const GroupId = await groupWith(subject, tcp(443, '2001:0DB8:0:0::00AB/128'))
        await expectRules(subject, GroupId, ['tcp 443-443 2001:db8::ab/128'])
      }
    },
    twin(
      'an IPv6 CIDR in another spelling is a duplicate',
      tcp(443, '2001:db8::ab/128'),
      tcp(443, '2001:DB8:0:0::AB/128'),
      {
        basis: 'documented',
        sources: [api('Ipv6Range')],
        relied: 'one address is one rule, whoever wrote it down'
      }
    ),
    {
      name: 'other ports, protocols and overlapping ranges are other rules',
      basis: 'documented',
      sources: [GROUP_RULES],
      run: async (subject) => {
        const one = '10.0.0.1/32'
        const GroupId = await groupWith(subject, tcp(443, one))
        await authorize(
          subject,
          GroupId,
          tcp(80, one),
          permission('udp', 443, 443, one),
          permission('tcp', 400, 500, one),
          tcp(443, '10.0.0.0/24')
        )
        await expectRules(subject, GroupId, [
          'tcp 443-443 10.0.0.1/32',
          'tcp 80-80 10.0.0.1/32',
          'udp 443-443 10.0.0.1/32',
          'tcp 400-500 10.0.0.1/32',
          'tcp 443-443 10.0.0.0/24'
        ])
      }
    },
    {
      name: 'protocol -1 has no ports: they come back as -1 to -1',
      basis: 'undocumented',
      sources: [MOTO_SOURCE],
      relied: 'a rule for all protocols is recognised by these ports',
      run: async (subject) => {
        const GroupId = await groupWith(subject, permission('-1', 0, 0, '10.0.0.1/32'))
        await expectRules(subject, GroupId, ['-1 -1--1 10.0.0.1/32'])
      }
    },
    twin(
      'protocol -1 is one rule whatever its ports',
      permission('-1', undefined, undefined, '10.0.0.1/32'),
      permission('-1', 22, 22, '10.0.0.1/32'),
      {
        basis: 'documented',
        sources: [api('IpPermission')],
        relied: 'ports are refused with `all`: EC2 would ignore them'
      }
    ),
    {
      name: 'a protocol without ports ignores those that are given: they come back as -1 to -1',
      basis: 'undocumented',
      sources: [api('IpPermission')],
      relied: 'ports are refused with such protocols: EC2 would open everything',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const made = await authorize(subject, GroupId, permission('50', 1, 2, '10.0.0.1/32'))
        expectSame(made.map(nameRule), ['50 -1--1 10.0.0.1/32'], 'answer')
        await expectRules(subject, GroupId, ['50 -1--1 10.0.0.1/32'])
      }
    }
  ]
}
