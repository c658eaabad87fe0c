/** ModifySecurityGroupRules: rules change in place. */
import type { SecurityGroupRuleRequest } from '@aws-sdk/client-ec2'
import type { Case, Subject, Topic } from '../case.ts'
import { api } from '../sources.ts'
import {
  authorize,
  described,
  expectRefusal,
  expectRules,
  expectSame,
  expectUnchanged,
  groupOf,
  hosts,
  idOf,
  tagged,
  tcp
} from '../steps.ts'

const MODIFY = api('ModifySecurityGroupRules')

const from = (CidrIpv4: string, port = 443): SecurityGroupRuleRequest => ({
  IpProtocol: 'tcp',
  FromPort: port,
  ToPort: port,
  CidrIpv4
})

const modify = (
  { ec2 }: Subject,
  GroupId: string,
  ...updates: (readonly [id: string | undefined, rule: SecurityGroupRuleRequest])[]
) =>
  ec2.modifySecurityGroupRules({
    GroupId,
    SecurityGroupRules: updates.map(([SecurityGroupRuleId, SecurityGroupRule]) => ({
      SecurityGroupRuleId,
      SecurityGroupRule
    }))
  })

/** The second of two updates is bad; the first must not stay. */
const atomic = (
  name: string,
  code: string,
  bad: (ids: readonly string[]) => readonly [string | undefined, SecurityGroupRuleRequest]
): Case => ({
  name,
  basis: 'undocumented',
  sources: [],
  run: async (subject) => {
    const { groupId, ids } = await groupOf(subject, ...hosts(3))
    await expectRefusal(modify(subject, groupId, [ids[0], from('10.0.0.9/32')], bad(ids)), code)
    await expectUnchanged(
      subject,
      groupId,
      hosts(3).map((host) => `tcp 443-443 ${host}`)
    )
  }
})

export const modifying: Topic = {
  title: 'Modify',
  cases: [
    {
      name: 'a rule changes its values and keeps id and tags',
      basis: 'documented',
      sources: [MODIFY],
      relied: 'a rule that was modified is ours still, under the id that we know',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const call = { GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')], ...tagged({ k: 'v' }) }
        const { SecurityGroupRules } = await subject.ec2.authorizeSecurityGroupIngress(call)
        const id = idOf(SecurityGroupRules?.[0])
        await modify(subject, GroupId, [id, { ...from('10.0.0.99/24', 80), Description: 'new' }])
        const [rule] = await expectRules(subject, GroupId, ['tcp 80-80 10.0.0.0/24'])
        expectSame(
          [idOf(rule), rule?.Description, rule?.Tags],
          [id, 'new', [{ Key: 'k', Value: 'v' }]],
          'id, description and tags'
        )
      }
    },
    {
      name: 'an IPv6 rule changes in place',
      basis: 'documented',
      sources: [MODIFY],
      run: async (subject) => {
        const { groupId, ids } = await groupOf(subject, '2001:db8::1/128')
        const rule = { IpProtocol: 'tcp', FromPort: 443, ToPort: 443, CidrIpv6: '2001:db8::2/128' }
        await modify(subject, groupId, [ids[0], rule])
        await expectRules(subject, groupId, ['tcp 443-443 2001:db8::2/128'])
      }
    },
    {
      name: 'a modify without description takes the description away',
      basis: 'undocumented',
      sources: [api('SecurityGroupRuleRequest')],
      relied: 'every modification says the description',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const [made] = await authorize(subject, GroupId, described('old'))
        await modify(subject, GroupId, [idOf(made), from('10.0.0.2/32')])
        const [rule] = await expectRules(subject, GroupId, ['tcp 443-443 10.0.0.2/32'])
        expectSame(rule?.Description ?? '', '', 'description')
      }
    },
    {
      name: 'a rule may be given the values that it has, and another description',
      basis: 'undocumented',
      sources: [],
      relied: 'a modification whose reply was lost is made again; an inherited rule is described anew',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const [made] = await authorize(subject, GroupId, described('old'))
        const same = { ...from(made?.CidrIpv4 ?? '', made?.FromPort), Description: 'new' }
        for (let time = 1; time <= 2; time++) await modify(subject, GroupId, [idOf(made), same])
        const [rule] = await expectRules(subject, GroupId, ['tcp 443-443 10.0.0.1/32'])
        expectSame(idOf(rule), idOf(made), 'id')
        const read = () => subject.ec2.describeSecurityGroupRules({ SecurityGroupRuleIds: [idOf(made)] })
        const descriptionIn = (answer: Awaited<ReturnType<typeof read>>) => answer.SecurityGroupRules?.[0]?.Description
        const answer = await subject.settled(read, (found) => descriptionIn(found) === 'new')
        expectSame(descriptionIn(answer), 'new', 'description')
      }
    },
    {
      name: 'a rule cannot change from IPv4 to IPv6',
      basis: 'documented',
      sources: [MODIFY],
      run: async (subject) => {
        const { groupId, ids } = await groupOf(subject, '10.0.0.1/32')
        const rule = { IpProtocol: 'tcp', FromPort: 443, ToPort: 443, CidrIpv6: '2001:db8::2/128' }
        await expectRefusal(modify(subject, groupId, [ids[0], rule]), 'InvalidParameterValue')
        await expectUnchanged(subject, groupId, ['tcp 443-443 10.0.0.1/32'])
      }
    },
    {
      name: 'a modify needs no room in a full group',
      basis: 'undocumented',
      sources: [],
      relied: 'an edit of a living pod in a full group does not cost it its place',
      run: async (subject) => {
        const all = hosts(subject.quota)
        const { groupId, ids } = await groupOf(subject, ...all)
        await modify(subject, groupId, [ids[0], from('10.1.0.0/32')])
        await expectRules(
          subject,
          groupId,
          ['10.1.0.0/32', ...all.slice(1)].map((host) => `tcp 443-443 ${host}`)
        )
      }
    },
    {
      name: 'the values of another rule refuse a modify',
      basis: 'undocumented',
      sources: [],
      relied: 'a duplicate proves that the rule is there, and that the call changed nothing',
      run: async (subject) => {
        const { groupId, ids } = await groupOf(subject, '10.0.0.1/32', '10.0.0.2/32')
        await expectRefusal(modify(subject, groupId, [ids[0], from('10.0.0.2/32')]), 'InvalidPermission.Duplicate')
        await expectUnchanged(subject, groupId, ['tcp 443-443 10.0.0.1/32', 'tcp 443-443 10.0.0.2/32'])
      }
    },
    atomic('a duplicate in a modify leaves all rules as they were', 'InvalidPermission.Duplicate', (ids) => [
      ids[1],
      from('10.0.0.2/32')
    ]),
    atomic('a malformed value in a modify leaves all rules as they were', 'InvalidParameterValue', (ids) => [
      ids[1],
      from('nonsense')
    ]),
    atomic('two rules of one modify with one value are refused', 'InvalidParameterValue', (ids) => [
      ids[1],
      from('10.0.0.9/32')
    ]),
    atomic('an unknown id in a modify leaves all rules as they were', 'InvalidSecurityGroupRuleId.NotFound', () => [
      'sgr-00000000000000000',
      from('10.0.0.8/32')
    ]),
    {
      name: 'two rules cannot swap their values in one modify',
      basis: 'undocumented',
      sources: [],
      run: async (subject) => {
        const { groupId, ids } = await groupOf(subject, '10.0.0.1/32', '10.0.0.2/32')
        await expectRefusal(
          modify(subject, groupId, [ids[0], from('10.0.0.2/32')], [ids[1], from('10.0.0.1/32')]),
          'InvalidPermission.Duplicate'
        )
      }
    }
  ]
}
