/** What Authorize refuses by its form. */
import type { IpPermission } from '@aws-sdk/client-ec2'
import type { Case, Topic } from '../case.ts'
import { api, ERRORS, issue } from '../sources.ts'
import { expectRefusal, expectRules, expectUnchanged, groupWith, permission, tcp } from '../steps.ts'

const HOST = '10.0.0.1/32'
const INVALID = 'InvalidParameterValue'

const refused = (
  name: string,
  code: string,
  bad: IpPermission,
  about: Pick<Case, 'basis' | 'sources'> & Partial<Case>
): Case => ({
  name,
  ...about,
  run: async (subject) => {
    const GroupId = await subject.createGroup()
    await expectRefusal(subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [bad] }), code)
    await expectUnchanged(subject, GroupId, [])
  }
})

const accepted = (name: string, good: IpPermission, rule: string, about: Pick<Case, 'basis' | 'sources'>): Case => ({
  name,
  ...about,
  run: async (subject) => expectRules(subject, await groupWith(subject, good), [rule]).then(() => undefined)
})

const documented = { basis: 'documented', sources: [api('IpPermission')] } as const
const seenAt = (...issues: readonly string[]) => ({ basis: 'undocumented', sources: issues.map(issue) }) as const

export const malformed: Topic = {
  title: 'Malformed permissions',
  cases: [
    refused('tcp without ports is refused', INVALID, permission('tcp', undefined, undefined, HOST), {
      ...documented,
      relied: 'tcp and udp need ports in an annotation'
    }),
    refused(
      'tcp with one port alone is refused as out of range',
      'InvalidPermission.Malformed',
      permission('tcp', undefined, 443, HOST),
      seenAt('boto/boto3#336')
    ),
    refused(
      'a port above 65535 is refused',
      'InvalidPermission.Malformed',
      permission('udp', 1, 65_536, HOST),
      seenAt('boto/boto3#336')
    ),
    refused('a range from a higher to a lower port is refused', INVALID, permission('tcp', 2, 1, HOST), {
      basis: 'documented',
      sources: [api('SecurityGroupRuleRequest')]
    }),
    accepted('port 0 is a port', permission('tcp', 0, 65_535, HOST), 'tcp 0-65535 10.0.0.1/32', documented),
    refused(
      'the protocol `all` is refused',
      INVALID,
      permission('all', undefined, undefined, HOST),
      seenAt('hashicorp/terraform-provider-aws#1793')
    ),
    refused('a protocol above 255 is refused', INVALID, permission('256', undefined, undefined, HOST), {
      basis: 'undocumented',
      sources: [api('IpPermission')]
    }),
    refused(
      'a permission without protocol is refused',
      INVALID,
      permission(undefined, 1, 1, HOST),
      seenAt('getmoto/moto#8917')
    ),
    refused(
      'icmp without type and code is refused',
      INVALID,
      permission('icmp', undefined, undefined, HOST),
      documented
    ),
    accepted('icmp with type and code', permission('icmp', 8, 0, HOST), 'icmp 8-0 10.0.0.1/32', documented),
    refused('icmp of every type with a code is refused', INVALID, permission('icmp', -1, 0, HOST), documented),
    accepted(
      'icmpv6 without type means every type',
      permission('icmpv6', undefined, undefined, '2001:db8::1/128'),
      'icmpv6 -1--1 2001:db8::1/128',
      documented
    ),
    refused('an IPv4 address without a length is refused', INVALID, tcp(443, '10.0.0.1'), seenAt('aws/aws-cli#2428')),
    refused('an IPv6 address without a length is refused', INVALID, tcp(443, '2001:db8::1'), {
      ...documented,
      sources: [api('Ipv6Range')]
    }),
    refused('an IPv4 octet with a leading zero is refused', INVALID, tcp(443, '010.0.0.1/32'), {
      basis: 'undocumented',
      sources: []
    }),
    refused(
      'an IPv6 CIDR in CidrIp is refused',
      INVALID,
      { ...tcp(443), IpRanges: [{ CidrIp: '2001:db8::1/128' }] },
      { basis: 'documented', sources: [api('IpRange')] }
    ),
    refused(
      'an IPv4 CIDR in CidrIpv6 is refused',
      INVALID,
      { ...tcp(443), Ipv6Ranges: [{ CidrIpv6: HOST }] },
      { basis: 'documented', sources: [api('Ipv6Range')] }
    ),
    refused('a permission without source is refused', 'MissingParameter', tcp(443), {
      basis: 'undocumented',
      sources: []
    }),
    {
      name: 'a call without permissions is refused',
      basis: 'documented',
      sources: [ERRORS],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        await expectRefusal(subject.ec2.authorizeSecurityGroupIngress({ GroupId }), 'MissingParameter')
      }
    }
  ]
}
