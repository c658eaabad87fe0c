import type { DescribeSecurityGroupRulesCommandInput } from '@aws-sdk/client-ec2'
import t from 'tap'
import type { Trial } from '../trial.ts'
import { codeOf, hosts, refusal, startTrial, tcp } from '../trial.ts'

const tagged = (value: string) => [
  { ResourceType: 'security-group-rule' as const, Tags: [{ Key: 'sg.amazonaws.com/owner', Value: value }] }
]

const byGroup = (...Values: string[]) => ({ Filters: [{ Name: 'group-id', Values }] })

async function idsOf({ ec2 }: Trial, input: DescribeSecurityGroupRulesCommandInput): Promise<readonly string[]> {
  const { SecurityGroupRules = [] } = await ec2.describeSecurityGroupRules(input)
  return SecurityGroupRules.map((rule) => rule.SecurityGroupRuleId ?? '')
}

t.test('one row per rule, both directions, also those whose source is no CIDR', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const GroupId = await createGroup()
  await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [{ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId, Description: 'self' }] }, tcp(1, '10.0.0.1/32')]
  })
  const { SecurityGroupRules, NextToken } = await ec2.describeSecurityGroupRules(byGroup(GroupId))
  t.equal(NextToken, undefined)
  t.match(SecurityGroupRules, [
    { IsEgress: true, IpProtocol: '-1', FromPort: -1, ToPort: -1, CidrIpv4: '0.0.0.0/0' },
    { IsEgress: false, ReferencedGroupInfo: { GroupId, UserId: '123456789012' }, Description: 'self' },
    { IsEgress: false, CidrIpv4: '10.0.0.1/32', FromPort: 1 }
  ])
  t.equal(SecurityGroupRules?.[1]?.CidrIpv4, undefined)
})

t.test('filters: many values are any of them, many filters all of them, with wildcards', async (t) => {
  const trial = await startTrial(t)
  const { ec2, createGroup } = trial
  const [one, two, three] = [await createGroup(), await createGroup(), await createGroup()]
  const add = async (GroupId: string, owner: string): Promise<string> => {
    const TagSpecifications = tagged(owner)
    const answer = await ec2.authorizeSecurityGroupIngress({
      GroupId,
      IpPermissions: [tcp(1, '10.0.0.1/32')],
      TagSpecifications
    })
    return answer.SecurityGroupRules?.[0]?.SecurityGroupRuleId ?? ''
  }
  const [a, b, c] = [await add(one, 'us/1'), await add(two, 'us/2'), await add(three, 'them/1')]
  const owner = (...Values: string[]) => ({ Name: 'tag:sg.amazonaws.com/owner', Values })
  t.strictSame(await idsOf(trial, { Filters: [owner('us/1', 'them/1')] }), [a, c])
  t.strictSame(await idsOf(trial, { Filters: [owner('us/*')] }), [a, b])
  t.strictSame(await idsOf(trial, { Filters: [owner('us/?', '?hem/1')] }), [a, b, c])
  t.strictSame(await idsOf(trial, { Filters: [owner('us/\\*')] }), [], 'an escaped wildcard is a character')
  t.strictSame(await idsOf(trial, { Filters: [owner('US/1')] }), [], 'case counts')
  t.strictSame(await idsOf(trial, { Filters: [owner('us/*'), ...byGroup(two, three).Filters] }), [b])
  t.strictSame(await idsOf(trial, { Filters: [{ Name: 'security-group-rule-id', Values: [c, a] }] }), [a, c])
  t.strictSame(await idsOf(trial, { Filters: [{ Name: 'group-id', Values: [`${one.slice(0, -1)}*`] }, owner('*')] }), [
    a
  ])
  t.strictSame(await idsOf(trial, { SecurityGroupRuleIds: [c, b] }), [b, c])
})

t.test('an unknown group in the filter matches nothing, a malformed one refuses the call', async (t) => {
  const trial = await startTrial(t)
  const { ec2, createGroup } = trial
  const GroupId = await createGroup()
  t.equal((await idsOf(trial, byGroup('sg-00000000', GroupId))).length, 1)
  for (const bad of ['', 'sg-xyz', 'sg-0123'])
    t.equal(await codeOf(ec2.describeSecurityGroupRules(byGroup(GroupId, bad))), 'InvalidGroupId.Malformed', bad)
})

t.test('an unknown rule id refuses the call, in the filter it matches nothing', async (t) => {
  const trial = await startTrial(t)
  const SecurityGroupRuleIds = ['sgr-00000000000000000']
  t.equal(
    await codeOf(trial.ec2.describeSecurityGroupRules({ SecurityGroupRuleIds })),
    'InvalidSecurityGroupRuleId.NotFound'
  )
  t.strictSame(await idsOf(trial, { Filters: [{ Name: 'security-group-rule-id', Values: SecurityGroupRuleIds }] }), [])
})

t.test('only the documented filters, and at most 200 values', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const GroupId = await createGroup()
  for (const Name of ['is-egress', 'tag-key', 'cidr', 'constructor']) {
    const refused = await refusal(ec2.describeSecurityGroupRules({ Filters: [{ Name, Values: ['x'] }] }))
    t.match(refused, { code: 'InvalidParameterValue', message: `The filter '${Name}' is invalid` })
  }
  const many = Array.from({ length: 201 }, () => GroupId)
  t.equal(await codeOf(ec2.describeSecurityGroupRules(byGroup(...many))), 'FilterLimitExceeded')
  t.equal((await ec2.describeSecurityGroupRules(byGroup(...many.slice(1)))).SecurityGroupRules?.length, 1)
})

t.test('pages of 5 to 1000: each rule that stays is seen once, whatever changes between pages', async (t) => {
  const trial = await startTrial(t)
  const { ec2, createGroup } = trial
  const GroupId = await createGroup()
  await ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(1, ...hosts(23))] })
  const all = await idsOf(trial, byGroup(GroupId))
  const seen: string[] = []
  let NextToken: string | undefined
  do {
    const page = await ec2.describeSecurityGroupRules({
      ...byGroup(GroupId),
      MaxResults: 5,
      ...(NextToken === undefined ? {} : { NextToken })
    })
    const ids = (page.SecurityGroupRules ?? []).map((rule) => rule.SecurityGroupRuleId ?? '')
    t.ok(ids.length <= 5)
    seen.push(...ids)
    NextToken = page.NextToken
    const goes = ids.at(-1) ?? ''
    if (seen.length === 5) await ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [goes] })
  } while (NextToken !== undefined)
  t.strictSame(seen, all)
  for (const MaxResults of [4, 1001])
    t.match(await refusal(ec2.describeSecurityGroupRules({ MaxResults })), {
      code: 'InvalidParameterValue',
      message: `Value ( ${String(MaxResults)} ) for parameter maxResults is invalid.`
    })
  t.equal(await codeOf(ec2.describeSecurityGroupRules({ NextToken: 'bogus' })), 'InvalidNextToken')
})
