/** AuthorizeSecurityGroupIngress: what it answers, and that it does all of a call or nothing. Long, as a list of cases is. */
import type { IpPermission } from '@aws-sdk/client-ec2'
import type { Case, Topic } from '../case.ts'
import { api, ERRORS, issue, model } from '../sources.ts'
import {
  authorize,
  cidrOf,
  described,
  expectRefusal,
  expectRules,
  expectSame,
  expectThat,
  expectUnchanged,
  groupWith,
  hosts,
  idOf,
  nameRule,
  permission,
  tagged,
  tcp
} from '../steps.ts'

/** A call whose other rules are good is refused, wherever in it the bad one stands, and nothing of it stays. */
const atomic = (what: string, bad: IpPermission, code: string): readonly Case[] =>
  (['first', 'last'] as const).map((place) => ({
    name: `${what} as the ${place} of a call leaves nothing of the call behind`,
    basis: 'undocumented',
    sources: [issue('ubicloud/ubicloud#5551')],
    relied: 'after a refusal nothing of the call is taken for done, and its halves are tried',
    run: async (subject) => {
      const GroupId = await groupWith(subject, tcp(1, '10.9.9.9/32'))
      const good = [tcp(443, '10.0.0.1/32'), tcp(80, '2001:db8::1/128')]
      const IpPermissions = place === 'first' ? [bad, ...good] : [...good, bad]
      await expectRefusal(subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions }), code)
      await expectUnchanged(subject, GroupId, ['tcp 1-1 10.9.9.9/32'])
    }
  }))

const twice = (name: string, ...IpPermissions: IpPermission[]): Case => ({
  name,
  basis: 'undocumented',
  sources: [
    issue('kubernetes-sigs/cluster-api-provider-aws#5438'),
    issue('hashicorp/terraform-provider-aws#2587'),
    issue('traefik/traefik#5695')
  ],
  relied: 'rules are made unique before they are sent',
  run: async (subject) => {
    const GroupId = await subject.createGroup()
    await expectRefusal(
      subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions }),
      'InvalidParameterValue',
      /same permission must not appear multiple times/
    )
    await expectUnchanged(subject, GroupId, [])
  }
})

export const authorizing: Topic = {
  title: 'Authorize',
  cases: [
    {
      name: 'the answer has one element for each range of one permission',
      basis: 'documented',
      sources: [model('AuthorizeSecurityGroupIngressResult$SecurityGroupRules')],
      relied: 'the ids of new rules come from this answer',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const made = await authorize(subject, GroupId, tcp(443, '10.0.0.1/32', '10.0.0.2/32', '2001:db8::1/128'))
        expectSame(made.map(cidrOf).sort(), ['10.0.0.1/32', '10.0.0.2/32', '2001:db8::1/128'], 'CIDRs')
        expectSame(new Set(made.map(idOf)).size, 3, 'different ids')
      }
    },
    {
      name: 'the answer has the rules of every permission of the call',
      basis: 'documented',
      sources: [model('AuthorizeSecurityGroupIngressResult$SecurityGroupRules')],
      relied: 'the ids of new rules come from this answer',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const made = await authorize(subject, GroupId, tcp(443, '10.0.0.1/32'), tcp(80, '10.0.0.1/32', '10.0.0.2/32'))
        expectSame(
          made.map(nameRule).sort(),
          ['tcp 443-443 10.0.0.1/32', 'tcp 80-80 10.0.0.1/32', 'tcp 80-80 10.0.0.2/32'],
          'rules'
        )
      }
    },
    {
      name: 'an element of the answer tells id, group and direction',
      basis: 'documented',
      sources: [api('SecurityGroupRule')],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const [rule] = await authorize(subject, GroupId, tcp(443, '10.0.0.1/32'))
        expectThat(/^sgr-[0-9a-f]{17}$/.test(idOf(rule)), `the id is ${idOf(rule)}`)
        expectSame([rule?.GroupId, rule?.IsEgress], [GroupId, false], 'group and direction')
      }
    },
    {
      name: 'an element of the answer tells owner and ARN',
      basis: 'documented',
      sources: [api('SecurityGroupRule'), model('SecurityGroupRule')],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const [rule] = await authorize(subject, GroupId, tcp(443, '10.0.0.1/32'))
        expectThat(/^\d{12}$/.test(rule?.GroupOwnerId ?? ''), 'no GroupOwnerId')
        const arn = new RegExp(`^arn:aws[a-z-]*:ec2:[^:]+:\\d{12}:security-group-rule/${idOf(rule)}$`)
        expectThat(arn.test(rule?.SecurityGroupRuleArn ?? ''), 'no SecurityGroupRuleArn of the rule')
      }
    },
    {
      name: 'a rule that is there is refused as a duplicate',
      basis: 'documented',
      sources: [ERRORS],
      relied: 'a repeated call whose first try took effect is recognised by it',
      run: async (subject) => {
        const IpPermissions = [tcp(443, '10.0.0.1/32')]
        const GroupId = await groupWith(subject, ...IpPermissions)
        await expectRefusal(
          subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions }),
          'InvalidPermission.Duplicate'
        )
      }
    },
    {
      name: 'the duplicate error names the rule',
      basis: 'undocumented',
      sources: [issue('hashicorp/terraform#1874'), issue('ansible/ansible#11177')],
      run: async (subject) => {
        const GroupId = await groupWith(subject, tcp(443, '10.0.0.1/32'))
        await expectRefusal(
          subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')] }),
          'InvalidPermission.Duplicate',
          /the specified rule "peer: 10\.0\.0\.1\/32, TCP, from port: 443, to port: 443, ALLOW" already exists/
        )
      }
    },
    ...atomic('a duplicate', tcp(1, '10.9.9.9/32'), 'InvalidPermission.Duplicate'),
    ...atomic('a malformed CIDR', tcp(443, '10.0.0.1/33'), 'InvalidParameterValue'),
    ...atomic('a port out of range', tcp(65_536, '10.0.0.3/32'), 'InvalidPermission.Malformed'),
    ...atomic('a bad description', described('a|b', '10.0.0.3/32'), 'InvalidParameterValue'),
    twice('a rule that comes twice in one call is refused', tcp(443, '10.0.0.1/32'), tcp(443, '10.0.0.1/32')),
    twice('a rule that comes twice in one permission is refused', tcp(443, '10.0.0.1/32', '10.0.0.1/32')),
    twice(
      'a rule that comes twice in two spellings is refused',
      tcp(443, '2001:db8::1/128'),
      permission('6', 443, 443, '2001:DB8:0::1/128')
    ),
    twice('a rule that comes twice with two descriptions is refused', described('one'), described('two')),
    {
      name: 'of many equal calls at the same time one is accepted',
      basis: 'undocumented',
      sources: [],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const calls = Array.from({ length: 20 }, () => authorize(subject, GroupId, tcp(443, '10.0.0.1/32')))
        const results = await Promise.allSettled(calls)
        expectSame(results.filter(({ status }) => status === 'fulfilled').length, 1, 'accepted calls')
        await expectRules(subject, GroupId, ['tcp 443-443 10.0.0.1/32'])
      }
    },
    {
      name: 'calls at the same time add up',
      basis: 'undocumented',
      sources: [],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        await Promise.all(hosts(20).map((host) => authorize(subject, GroupId, tcp(443, host))))
        await expectRules(
          subject,
          GroupId,
          hosts(20).map((host) => `tcp 443-443 ${host}`)
        )
      }
    },
    {
      name: '1000 rules fit into one call',
      basis: 'undocumented',
      sources: [issue('aws-controllers-k8s/ec2-controller#227')],
      needs: ['another quota'],
      relied: 'a batch is at most 1000 rules',
      run: async (subject) => {
        await subject.control('POST', 'settings', { rulesPerGroup: 1000 })
        const GroupId = await subject.createGroup()
        expectSame((await authorize(subject, GroupId, tcp(443, ...hosts(1000)))).length, 1000, 'rules in the answer')
      }
    },
    {
      name: 'the flat parameters make one rule',
      basis: 'documented',
      sources: [api('AuthorizeSecurityGroupIngress')],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const flat = { IpProtocol: 'tcp', FromPort: 1, ToPort: 2, CidrIp: '10.0.0.0/24' }
        await subject.ec2.authorizeSecurityGroupIngress({ GroupId, ...flat })
        await expectRules(subject, GroupId, ['tcp 1-2 10.0.0.0/24'])
      }
    },
    {
      name: 'a source that is a group has no CIDR',
      basis: 'documented',
      sources: [api('SecurityGroupRule')],
      relied: 'rules whose source is no CIDR are never taken for ours',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const source = { IpProtocol: 'tcp', FromPort: 1, ToPort: 1, UserIdGroupPairs: [{ GroupId }] }
        const [rule] = await authorize(subject, GroupId, source)
        expectSame(
          [rule?.ReferencedGroupInfo?.GroupId, rule?.CidrIpv4, rule?.CidrIpv6],
          [GroupId, undefined, undefined],
          'source'
        )
      }
    },
    {
      name: 'all that a call writes comes back as it was written',
      basis: 'documented',
      sources: [model('Tag')],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const Value = 'a<b>&"c" \' é 漢 😀 +%=;'
        const { SecurityGroupRules } = await subject.ec2.authorizeSecurityGroupIngress({
          GroupId,
          IpPermissions: [described('a&b;{c} [d]')],
          ...tagged({ text: Value })
        })
        const [rule] = SecurityGroupRules ?? []
        expectSame([rule?.Description, rule?.Tags], ['a&b;{c} [d]', [{ Key: 'text', Value }]], 'texts')
      }
    }
  ]
}
