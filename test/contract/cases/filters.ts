/** Filters of the Describe actions. */
import type { DescribeSecurityGroupRulesCommandInput } from '@aws-sdk/client-ec2'
import type { Case, Subject, Topic } from '../case.ts'
import { api, ERRORS, FILTERS } from '../sources.ts'
import { expectRefusal, expectSame, idOf, tagged, tcp } from '../steps.ts'

const RULES = api('DescribeSecurityGroupRules')
const OWNER = 'sg.amazonaws.com/owner'

/** Three groups with one rule each, whose tags are told apart by the run. */
async function threeOwners(subject: Subject) {
  const mark = await subject.createGroup()
  const add = async (owner: string) => {
    const GroupId = await subject.createGroup()
    const call = { GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')], ...tagged({ [OWNER]: `${mark}/${owner}` }) }
    const { SecurityGroupRules } = await subject.ec2.authorizeSecurityGroupIngress(call)
    return { GroupId, id: idOf(SecurityGroupRules?.[0]) }
  }
  const [a, b, c] = [await add('us/1'), await add('us/2'), await add('them*1')]
  const owner = (...values: string[]) => ({ Name: `tag:${OWNER}`, Values: values.map((value) => `${mark}/${value}`) })
  const expectIds = async (Filters: DescribeSecurityGroupRulesCommandInput['Filters'], expected: readonly string[]) => {
    const wanted = [...expected].sort()
    const read = async () => {
      const { SecurityGroupRules = [] } = await subject.ec2.describeSecurityGroupRules({ Filters })
      return SecurityGroupRules.filter(({ IsEgress }) => IsEgress !== true)
        .map(idOf)
        .sort()
    }
    const found = await subject.settled(read, (answer) => answer.join() === wanted.join())
    const letters = (list: readonly string[]) =>
      list.map((id) => (id === a.id ? 'a' : id === b.id ? 'b' : id === c.id ? 'c' : '?'))
    expectSame(letters(found).sort(), letters(wanted).sort(), 'rules that match')
  }
  return { a, b, c, owner, expectIds }
}

type Owners = Awaited<ReturnType<typeof threeOwners>>

const filter = (
  name: string,
  about: Pick<Case, 'basis' | 'sources'> & Partial<Case>,
  run: (owners: Owners) => Promise<void>
): Case => ({ name, ...about, run: async (subject) => run(await threeOwners(subject)) })

const byFilter = { basis: 'documented', sources: [RULES, FILTERS] } as const

const cases: readonly Case[] = [
  filter(
    'filter group-id: any of its values',
    { ...byFilter, relied: 'many groups are read with one call' },
    ({ a, b, c, expectIds }) =>
      expectIds([{ Name: 'group-id', Values: [a.GroupId, c.GroupId] }], [a.id, c.id]).then(() =>
        expectIds([{ Name: 'group-id', Values: [b.GroupId] }], [b.id])
      )
  ),
  filter(
    'filter tag:<key>: any of its values',
    { ...byFilter, relied: 'all owned rules are found by the owner tag' },
    ({ a, c, owner, expectIds }) => expectIds([owner('us/1', 'them*1')], [a.id, c.id])
  ),
  filter('filter security-group-rule-id: any of its values', byFilter, ({ a, b, expectIds }) =>
    expectIds([{ Name: 'security-group-rule-id', Values: [b.id, a.id] }], [a.id, b.id])
  ),
  filter('two filters must both match', byFilter, ({ b, c, owner, expectIds }) =>
    expectIds([owner('us/*'), { Name: 'group-id', Values: [b.GroupId, c.GroupId] }], [b.id])
  ),
  filter('* and ? in a filter are wildcards', byFilter, async ({ a, b, owner, expectIds }) => {
    await expectIds([owner('us/*')], [a.id, b.id])
    await expectIds([owner('us/?')], [a.id, b.id])
  }),
  filter(
    'a backslash before a wildcard in a filter makes it a character',
    { ...byFilter, relied: 'an owner with a wildcard in its name finds its own rules alone' },
    async ({ c, owner, expectIds }) => {
      await expectIds([owner('us/\\*')], [])
      await expectIds([owner('them\\*1')], [c.id])
    }
  ),
  filter('case counts in a filter', byFilter, ({ owner, expectIds }) => expectIds([owner('US/1')], [])),
  ...['is-egress', 'cidr', 'tag-value'].map((Name): Case => ({
    name: `filter ${Name} is refused`,
    basis: 'undocumented',
    sources: [RULES],
    run: async ({ ec2 }) => {
      await expectRefusal(
        ec2.describeSecurityGroupRules({ Filters: [{ Name, Values: ['x'] }] }),
        'InvalidParameterValue'
      )
    }
  })),
  {
    name: '200 values in the filters of a call are allowed, 201 refused',
    basis: 'documented',
    sources: [FILTERS, ERRORS],
    relied: 'groups are read 200 at a time',
    run: async (subject) => {
      const GroupId = await subject.createGroup()
      const values = Array.from({ length: 200 }, (_, i) => `sg-${i.toString(16).padStart(17, '0')}`)
      const read = (Values: string[]) =>
        subject.ec2.describeSecurityGroupRules({ Filters: [{ Name: 'group-id', Values }] })
      await read([GroupId, ...values.slice(1)])
      await expectRefusal(read([GroupId, ...values]), 'FilterLimitExceeded')
    }
  },
  {
    name: 'DescribeSecurityGroups: filter tag:<key>',
    basis: 'documented',
    sources: [api('DescribeSecurityGroups')],
    run: async (subject) => {
      const GroupId = await subject.createGroup()
      await subject.ec2.createTags({ Resources: [GroupId], Tags: [{ Key: 'mark', Value: GroupId }] })
      const { SecurityGroups } = await subject.settled(
        () => subject.ec2.describeSecurityGroups({ Filters: [{ Name: 'tag:mark', Values: [GroupId] }] }),
        (answer) => answer.SecurityGroups?.length === 1
      )
      expectSame(
        (SecurityGroups ?? []).map((group) => group.GroupId),
        [GroupId],
        'groups'
      )
    }
  }
]

export const filters: Topic = { title: 'Filters', cases }
