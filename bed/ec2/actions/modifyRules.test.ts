import type { SecurityGroupRuleRequest } from '@aws-sdk/client-ec2'
import t from 'tap'
import type { Trial } from '../trial.ts'
import { codeOf, refusal, startTrial, tcp } from '../trial.ts'

async function grant({ ec2, createGroup }: Trial, ...cidrs: readonly string[]) {
  const GroupId = await createGroup()
  const { SecurityGroupRules = [] } = await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [tcp(443, ...cidrs)],
    TagSpecifications: [{ ResourceType: 'security-group-rule', Tags: [{ Key: 'k', Value: 'v' }] }]
  })
  const ids = SecurityGroupRules.map((rule) => rule.SecurityGroupRuleId ?? '')
  const modify = (...updates: (readonly [id: string | undefined, rule: SecurityGroupRuleRequest])[]) =>
    ec2.modifySecurityGroupRules({
      GroupId,
      SecurityGroupRules: updates.map(([SecurityGroupRuleId, SecurityGroupRule]) => ({
        SecurityGroupRuleId,
        SecurityGroupRule
      }))
    })
  return { GroupId, ids, modify }
}

const from = (CidrIpv4: string, port = 443): SecurityGroupRuleRequest => ({
  IpProtocol: 'tcp',
  FromPort: port,
  ToPort: port,
  CidrIpv4
})

t.test('a rule changes in place: id, tags and place in the order stay, all else is as given', async (t) => {
  const trial = await startTrial(t)
  const { GroupId, ids, modify } = await grant(trial, '10.0.0.1/32', '10.0.0.2/32')
  const [id = ''] = ids
  await modify([id, { ...from('10.0.0.99/24', 80), Description: 'new' }])
  const { SecurityGroupRules } = await trial.ec2.describeSecurityGroupRules({ SecurityGroupRuleIds: [id] })
  t.match(SecurityGroupRules, [{ CidrIpv4: '10.0.0.0/24', FromPort: 80, Description: 'new', Tags: [{ Key: 'k' }] }])
  t.strictSame(await trial.rulesOf(GroupId), ['tcp 80-80 10.0.0.0/24', 'tcp 443-443 10.0.0.2/32'])
  await modify([id, from('10.0.0.0/24', 80)])
  const again = await trial.ec2.describeSecurityGroupRules({ SecurityGroupRuleIds: [id] })
  t.equal(again.SecurityGroupRules?.[0]?.Description, undefined, 'a description that is left out is gone')
  await trial.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')] })
})

t.test('in a full group it needs no room', async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'settings', { rulesPerGroup: 2 })
  const { GroupId, ids, modify } = await grant(trial, '10.0.0.1/32', '10.0.0.2/32')
  await modify([ids[0], from('10.0.0.3/32')])
  t.strictSame(await trial.rulesOf(GroupId), ['tcp 443-443 10.0.0.3/32', 'tcp 443-443 10.0.0.2/32'])
})

t.test('all of a call or nothing of it', async (t) => {
  const trial = await startTrial(t)
  const { GroupId, ids, modify } = await grant(trial, '10.0.0.1/32', '10.0.0.2/32', '10.0.0.3/32', '2001:db8::1/128')
  const [first, second, , six] = ids
  const good = [first, from('10.0.0.9/32')] as const
  const cases: readonly (readonly [code: string, id: string | undefined, rule: SecurityGroupRuleRequest])[] = [
    ['InvalidPermission.Duplicate', second, from('10.0.0.3/32')],
    ['InvalidPermission.Duplicate', second, from('10.0.0.1/32')],
    ['InvalidParameterValue', second, from('10.0.0.9/32')],
    ['InvalidParameterValue', first, from('10.0.0.8/32')],
    ['InvalidParameterValue', second, { ...from(''), CidrIpv4: 'nonsense' }],
    ['InvalidParameterValue', second, { ...from('10.0.0.8/32'), IpProtocol: '-1' }],
    ['InvalidParameterValue', six, from('10.0.0.8/32')],
    ['InvalidPermission.Malformed', second, from('10.0.0.8/32', 70000)],
    ['InvalidParameterCombination', second, { ...from('10.0.0.8/32'), CidrIpv6: '::/0' }],
    ['MissingParameter', second, { IpProtocol: 'tcp', FromPort: 1, ToPort: 1 }],
    ['UnsupportedOperation', second, { IpProtocol: '-1', PrefixListId: 'pl-1' }],
    ['InvalidSecurityGroupRuleId.NotFound', 'sgr-00000000000000000', from('10.0.0.8/32')],
    ['InvalidSecurityGroupRuleId.Malformed', 'x', from('10.0.0.8/32')],
    ['MissingParameter', undefined, from('10.0.0.8/32')]
  ]
  const before = await trial.rulesOf(GroupId)
  for (const [code, id, rule] of cases) t.equal(await codeOf(modify(good, [id, rule])), code, JSON.stringify(rule))
  t.strictSame(await trial.rulesOf(GroupId), before)
})

t.test('the kind of the source cannot change', async (t) => {
  const trial = await startTrial(t)
  const { ids, modify } = await grant(trial, '10.0.0.1/32')
  t.match(await refusal(modify([ids[0], { IpProtocol: '-1', CidrIpv6: '::/0' }])), {
    code: 'InvalidParameterValue',
    message: /You may not specify CidrIpv6 for an existing CidrIpv4 rule/
  })
})

t.test('a rule may be given the values that it has', async (t) => {
  const trial = await startTrial(t)
  const { GroupId, ids, modify } = await grant(trial, '10.0.0.1/32')
  t.equal((await modify([ids[0], from('10.0.0.1/32')])).Return, true)
  t.strictSame(await trial.rulesOf(GroupId), ['tcp 443-443 10.0.0.1/32'])
  await trial.ec2.revokeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')] })
})

t.test("another group's rule is unknown", async (t) => {
  const trial = await startTrial(t)
  const { ids } = await grant(trial, '10.0.0.1/32')
  const { modify } = await grant(trial, '10.0.0.2/32')
  t.equal(await codeOf(modify([ids[0], from('10.0.0.8/32')])), 'InvalidSecurityGroupRuleId.NotFound')
})
