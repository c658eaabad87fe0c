import t from 'tap'
import type { Trial } from '../trial.ts'
import { codeOf, refusal, startTrial, tcp } from '../trial.ts'

const DEFAULT_VPC = 'vpc-0def0000000000001'

async function grant({ ec2 }: Trial, GroupId: string, ...cidrs: readonly string[]): Promise<readonly string[]> {
  const { SecurityGroupRules = [] } = await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [tcp(443, ...cidrs)]
  })
  return SecurityGroupRules.map((rule) => rule.SecurityGroupRuleId ?? '')
}

t.test('by permission: values must match, the description need not; the answer tells what is gone', async (t) => {
  const trial = await startTrial(t)
  const GroupId = await trial.createGroup()
  const [id] = await grant(trial, GroupId, '10.0.0.1/32', '10.0.0.2/32')
  const answer = await trial.ec2.revokeSecurityGroupIngress({
    GroupId,
    IpPermissions: [{ ...tcp(443), IpProtocol: '6', IpRanges: [{ CidrIp: '10.0.0.1/32', Description: 'any' }] }]
  })
  t.equal(answer.Return, true)
  t.equal(answer.UnknownIpPermissions, undefined)
  t.strictSame(answer.RevokedSecurityGroupRules, [
    {
      SecurityGroupRuleId: id,
      GroupId,
      IsEgress: false,
      IpProtocol: 'tcp',
      FromPort: 443,
      ToPort: 443,
      CidrIpv4: '10.0.0.1/32'
    }
  ])
  t.strictSame(await trial.rulesOf(GroupId), ['tcp 443-443 10.0.0.2/32'])
})

t.test(
  'in a VPC that is not the default, one unknown permission refuses the call and nothing is revoked',
  async (t) => {
    const trial = await startTrial(t)
    const GroupId = await trial.createGroup()
    await grant(trial, GroupId, '10.0.0.1/32')
    for (const IpPermissions of [
      [tcp(443, '10.0.0.1/32', '10.0.0.9/32')],
      [tcp(443, '10.0.0.1/32'), tcp(444, '10.0.0.1/32')],
      [tcp(443, '10.0.0.1/24')]
    ])
      t.match(await refusal(trial.ec2.revokeSecurityGroupIngress({ GroupId, IpPermissions })), {
        code: 'InvalidPermission.NotFound',
        message: 'The specified rule does not exist in this security group.'
      })
    t.strictSame(await trial.rulesOf(GroupId), ['tcp 443-443 10.0.0.1/32'])
  }
)

t.test('in the default VPC the unknown is told and the known is revoked', async (t) => {
  const trial = await startTrial(t)
  const GroupId = await trial.createGroup(DEFAULT_VPC)
  await grant(trial, GroupId, '10.0.0.1/32', '2001:db8::1/128')
  const answer = await trial.ec2.revokeSecurityGroupIngress({
    GroupId,
    IpPermissions: [tcp(443, '10.0.0.1/32', '10.0.0.9/32', '2001:db8::9/128'), tcp(80, '10.0.0.1/32')]
  })
  t.equal(answer.Return, true)
  t.strictSame(
    answer.RevokedSecurityGroupRules?.map((rule) => rule.CidrIpv4),
    ['10.0.0.1/32']
  )
  t.match(answer.UnknownIpPermissions, [
    { FromPort: 443, IpRanges: [{ CidrIp: '10.0.0.9/32' }], Ipv6Ranges: [{ CidrIpv6: '2001:db8::9/128' }] },
    { FromPort: 80, IpRanges: [{ CidrIp: '10.0.0.1/32' }] }
  ])
  t.strictSame(await trial.rulesOf(GroupId), ['tcp 443-443 2001:db8::1/128'])
})

t.test('by rule id: all are looked up before any is revoked', async (t) => {
  const trial = await startTrial(t)
  const { ec2 } = trial
  const [GroupId, other] = [await trial.createGroup(DEFAULT_VPC), await trial.createGroup(DEFAULT_VPC)]
  const ids = await grant(trial, GroupId, '10.0.0.1/32', '10.0.0.2/32')
  const [foreign = ''] = await grant(trial, other, '10.0.0.3/32')
  const { SecurityGroupRules = [] } = await ec2.describeSecurityGroupRules({
    Filters: [{ Name: 'group-id', Values: [GroupId] }]
  })
  const egress = SecurityGroupRules.find((rule) => rule.IsEgress)?.SecurityGroupRuleId ?? ''
  const revoke = (...SecurityGroupRuleIds: string[]) =>
    ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds })
  t.equal(await codeOf(revoke(...ids, 'sgr-00000000000000000')), 'InvalidSecurityGroupRuleId.NotFound', 'unknown')
  t.equal(await codeOf(revoke(...ids, foreign)), 'InvalidSecurityGroupRuleId.NotFound', "another group's")
  t.equal(await codeOf(revoke(...ids, egress)), 'InvalidSecurityGroupRuleId.NotFound', 'an egress rule')
  t.equal(await codeOf(revoke(...ids, 'sgr-xyz')), 'InvalidSecurityGroupRuleId.NotFound', 'a short suffix')
  t.equal(await codeOf(revoke(...ids, 'rule')), 'InvalidSecurityGroupRuleId.Malformed', 'no prefix')
  t.match(await refusal(revoke(...ids, ids[0]!)), { code: 'InvalidParameterValue', message: /multiple times/ })
  t.equal((await trial.rulesOf(GroupId)).length, 2)
  const answer = await revoke(...ids)
  t.strictSame(
    answer.RevokedSecurityGroupRules?.map((rule) => rule.SecurityGroupRuleId),
    ids
  )
  t.strictSame(await trial.rulesOf(GroupId), [])
  t.equal(await codeOf(revoke(ids[0]!)), 'InvalidSecurityGroupRuleId.NotFound', 'revoked already')
})

t.test('a revoked rule can be authorized again, under another id', async (t) => {
  const trial = await startTrial(t)
  const GroupId = await trial.createGroup()
  const [id = ''] = await grant(trial, GroupId, '10.0.0.1/32')
  await trial.ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [id] })
  const [again] = await grant(trial, GroupId, '10.0.0.1/32')
  t.not(again, id)
})

t.test('ids and permissions do not go together, and one of them must be there', async (t) => {
  const trial = await startTrial(t)
  const GroupId = await trial.createGroup()
  const [id = ''] = await grant(trial, GroupId, '10.0.0.1/32')
  const both = { GroupId, SecurityGroupRuleIds: [id], IpPermissions: [tcp(443, '10.0.0.1/32')] }
  t.equal(await codeOf(trial.ec2.revokeSecurityGroupIngress(both)), 'InvalidParameterCombination')
  t.equal(await codeOf(trial.ec2.revokeSecurityGroupIngress({ GroupId })), 'MissingParameter')
  const dry = { GroupId, SecurityGroupRuleIds: [id], DryRun: true }
  t.equal(await codeOf(trial.ec2.revokeSecurityGroupIngress(dry)), 'DryRunOperation')
  t.equal((await trial.rulesOf(GroupId)).length, 1)
})
