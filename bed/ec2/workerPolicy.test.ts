/** The least policy that the worker can live with, against the simulator's IAM. Not run against the real one. */
import type { AuthorizeSecurityGroupIngressCommandOutput } from '@aws-sdk/client-ec2'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { codeOf, startTrial, tcp } from './trial.ts'

const DENIED = 'UnauthorizedOperation'
const DEFAULT_VPC = 'vpc-0def0000000000001'
const OWNER = 'sg.amazonaws.com/owner'
const optIn = { Key: 'sg.amazonaws.com/cluster/demo', Value: 'allowed' }

interface Document {
  readonly Version: string
  readonly Statement: readonly { readonly Sid: string }[]
}

/** A worker that has all statements but those left out, and groups to try it on. */
async function startWorker(t: Test, ...without: readonly string[]) {
  const trial = await startTrial(t)
  const { ec2, clientOf, control, createGroup } = trial
  const template = await readFile(join(import.meta.dirname, 'workerPolicy.json'), 'utf8')
  const filled = template
    .replaceAll('REGION', 'eu-west-1')
    .replaceAll('ACCOUNT', '123456789012')
    .replaceAll('VPC"', 'vpc-0abc0000000000002"')
    .replaceAll('CLUSTER', 'demo')
  const { Version, Statement } = JSON.parse(filled) as Document
  const kept = Statement.filter(({ Sid }) => !without.includes(Sid))
  t.equal(kept.length, Statement.length - without.length)
  await control('POST', 'policies', { accessKey: 'AKIAWORKER', policy: { Version, Statement: kept } })
  const worker = clientOf('AKIAWORKER')
  const optedIn = await createGroup()
  await ec2.createTags({ Resources: [optedIn], Tags: [optIn] })
  const authorize = (GroupId: string, owner = 'demo/1', DryRun = false) =>
    worker.authorizeSecurityGroupIngress({
      GroupId,
      DryRun,
      IpPermissions: [tcp(443, '10.0.0.1/32')],
      TagSpecifications: [{ ResourceType: 'security-group-rule', Tags: [{ Key: OWNER, Value: owner }] }]
    })
  return { ...trial, worker, optedIn, authorize }
}

const idIn = ({ SecurityGroupRules = [] }: AuthorizeSecurityGroupIngressCommandOutput): string =>
  SecurityGroupRules[0]?.SecurityGroupRuleId ?? ''

t.test('it may do what the worker does', async (t) => {
  const { worker, optedIn, authorize, rulesOf } = await startWorker(t)
  t.equal(await codeOf(authorize(optedIn, 'demo/1', true)), 'DryRunOperation')
  const id = idIn(await authorize(optedIn))
  const Filters = [{ Name: 'group-id', Values: [optedIn] }]
  t.equal((await worker.describeSecurityGroups({ Filters })).SecurityGroups?.length, 1)
  t.equal((await worker.describeSecurityGroupRules({ Filters })).SecurityGroupRules?.length, 2)
  const rule = { IpProtocol: 'tcp', FromPort: 80, ToPort: 80, CidrIpv4: '10.0.0.1/32' }
  await worker.modifySecurityGroupRules({
    GroupId: optedIn,
    SecurityGroupRules: [{ SecurityGroupRuleId: id, SecurityGroupRule: rule }]
  })
  await worker.revokeSecurityGroupIngress({ GroupId: optedIn, SecurityGroupRuleIds: [id] })
  t.strictSame(await rulesOf(optedIn), [])
})

t.test('it may do nothing else', async (t) => {
  const { ec2, worker, optedIn, authorize, createGroup, rulesOf } = await startWorker(t)
  const [other, elsewhere] = [await createGroup(), await createGroup(DEFAULT_VPC)]
  await ec2.createTags({ Resources: [elsewhere], Tags: [optIn] })
  const id = idIn(await authorize(optedIn))
  t.equal(await codeOf(authorize(other)), DENIED, 'a group that is not opted in')
  t.equal(await codeOf(authorize(other, 'demo/1', true)), DENIED, 'which a DryRun tells too')
  t.equal(await codeOf(authorize(elsewhere)), DENIED, 'a group of another VPC')
  t.equal(await codeOf(authorize(optedIn, 'other/1')), DENIED, "another cluster's owner tag")
  const foreign = idIn(
    await ec2.authorizeSecurityGroupIngress({ GroupId: elsewhere, IpPermissions: [tcp(1, '10.0.0.1/32')] })
  )
  const revoke = { GroupId: elsewhere, SecurityGroupRuleIds: [foreign] }
  t.equal(await codeOf(worker.revokeSecurityGroupIngress(revoke)), DENIED, 'a revoke in another VPC')
  t.equal(await codeOf(worker.createTags({ Resources: [id], Tags: [{ Key: 'x' }] })), DENIED, 'tags but at creation')
  t.equal(await codeOf(worker.createTags({ Resources: [other], Tags: [optIn] })), DENIED, 'opting in for itself')
  t.equal(await codeOf(worker.deleteTags({ Resources: [id], Tags: [{ Key: OWNER }] })), DENIED)
  t.equal(await codeOf(worker.describeVpcs({})), DENIED)
  t.equal(await codeOf(worker.deleteSecurityGroup({ GroupId: optedIn })), DENIED)
  const named = { GroupName: 'x', Description: 'x', VpcId: DEFAULT_VPC }
  t.equal(await codeOf(worker.createSecurityGroup(named)), DENIED)
  t.strictSame([await rulesOf(other), (await rulesOf(elsewhere)).length], [[], 1])
})

t.test('a group that is no longer opted in can be revoked from, and not granted to', async (t) => {
  const { ec2, worker, optedIn, authorize, rulesOf } = await startWorker(t)
  const id = idIn(await authorize(optedIn))
  await ec2.deleteTags({ Resources: [optedIn], Tags: [{ Key: optIn.Key }] })
  t.equal(await codeOf(authorize(optedIn)), DENIED)
  await worker.revokeSecurityGroupIngress({ GroupId: optedIn, SecurityGroupRuleIds: [id] })
  t.strictSame(await rulesOf(optedIn), [])
})

t.test('rules of others cannot be modified', async (t) => {
  const { ec2, worker, optedIn } = await startWorker(t)
  const call = { GroupId: optedIn, IpPermissions: [tcp(443, '10.0.0.1/32')] }
  const id = idIn(await ec2.authorizeSecurityGroupIngress(call))
  const rule = { IpProtocol: 'tcp', FromPort: 80, ToPort: 80, CidrIpv4: '10.0.0.1/32' }
  const SecurityGroupRules = [{ SecurityGroupRuleId: id, SecurityGroupRule: rule }]
  t.equal(await codeOf(worker.modifySecurityGroupRules({ GroupId: optedIn, SecurityGroupRules })), DENIED)
})

t.test('each statement is needed', async (t) => {
  for (const [sid, action] of [
    ['Grant', 'authorize'],
    ['RuleResource', 'authorize'],
    ['TagOnCreateOnly', 'authorize'],
    ['TakeBack', 'revoke'],
    ['OwnRules', 'modify'],
    ['Read', 'read']
  ] as const) {
    const { ec2, worker, optedIn, authorize } = await startWorker(t, sid)
    const tags = [{ ResourceType: 'security-group-rule' as const, Tags: [{ Key: OWNER, Value: 'demo/1' }] }]
    const IpPermissions = [tcp(1, '10.0.0.9/32')]
    const id = idIn(
      await ec2.authorizeSecurityGroupIngress({ GroupId: optedIn, IpPermissions, TagSpecifications: tags })
    )
    const rule = { IpProtocol: 'tcp', FromPort: 80, ToPort: 80, CidrIpv4: '10.0.0.1/32' }
    const calls = {
      authorize: () => authorize(optedIn),
      revoke: () => worker.revokeSecurityGroupIngress({ GroupId: optedIn, SecurityGroupRuleIds: [id] }),
      modify: () =>
        worker.modifySecurityGroupRules({
          GroupId: optedIn,
          SecurityGroupRules: [{ SecurityGroupRuleId: id, SecurityGroupRule: rule }]
        }),
      read: () => worker.describeSecurityGroupRules({ MaxResults: 5 })
    }
    t.equal(await codeOf(calls[action]()), DENIED, sid)
  }
})
