import t from 'tap'
import type { Test } from 'tap'
import { startTrial } from '../../bed/ec2/trial.ts'
import { describeRule, ruleKey } from '../../shared/rules.ts'
import type { Protocol, SecurityGroupId } from '../../shared/rules.ts'
import { Ec2Failure } from '../securityGroups.ts'
import type { NewRule } from '../securityGroups.ts'
import { WorldClock } from '../worldClockFixture.ts'
import { connectEc2, createEc2 } from './ec2Client.ts'
import type { CallReport, Ec2Sender } from './ec2Client.ts'
import { ec2SecurityGroups } from './ec2SecurityGroups.ts'

const OWNER = 'demo/0b5e2a7c-uid'
const rule = (cidr: string, port = 443, protocol = 'tcp'): NewRule => {
  const portless = protocol !== 'tcp' && protocol !== 'udp'
  return {
    protocol: protocol as Protocol,
    fromPort: portless ? -1 : port,
    toPort: portless ? -1 : port,
    cidr,
    description: 'demo/web/api'
  }
}

/** Our adapter, as the worker makes it, against a simulator of this test's own. */
async function adapter(t: Test, { timeout = 2000, mayWrite = true } = {}) {
  const trial = await startTrial(t)
  // As in a container: the SDK's own variables.
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_EC2: trial.endpoint,
    AWS_ACCESS_KEY_ID: 'AKIAWORKER',
    AWS_SECRET_ACCESS_KEY: 'not-a-secret'
  })
  const reports: CallReport[] = []
  const client = connectEc2('eu-west-1', timeout)
  const ec2 = createEc2({
    client,
    timeout,
    mayWrite: () => mayWrite,
    onCall: (report) => reports.push(report),
    timers: {
      now: () => performance.now(),
      after(delay, callback) {
        const timer = setTimeout(callback, delay)
        return () => clearTimeout(timer)
      }
    }
  })
  t.teardown(() => client.destroy())
  const group = (await trial.createGroup()) as SecurityGroupId
  return {
    client,
    trial,
    group,
    reports,
    groups: ec2SecurityGroups(ec2, { clusterId: 'demo', owner: OWNER, now: () => 42 })
  }
}

async function failureOf(call: Promise<unknown>): Promise<Ec2Failure> {
  return call.then(
    () => {
      throw new Error('it succeeded')
    },
    (error: unknown) => {
      if (error instanceof Ec2Failure) return error
      throw error
    }
  )
}

t.test('what is authorized can be read back as ours, every protocol and family', async (t) => {
  const { group, groups, reports, trial } = await adapter(t)
  const asked = [
    rule('10.64.0.7/32'),
    rule('fd00:64::7/128'),
    rule('10.64.0.7/32', 53, 'udp'),
    rule('10.64.0.7/32', 0, 'icmp'),
    rule('fd00:64::7/128', 0, 'icmpv6'),
    rule('10.64.0.7/32', 0, 'all'),
    rule('10.64.0.7/32', 0, '50')
  ]
  const made = await groups.authorize(group, asked)
  t.same(made.map(ruleKey), asked.map(ruleKey), 'the answer, in our order')
  t.equal(
    (await trial.calls()).filter(({ action }) => action === 'AuthorizeSecurityGroupIngress').length,
    1,
    'in one call'
  )
  const read = await groups.readRules([group])
  t.equal(read.startedAt, 42)
  const there = read.rules.get(group) ?? []
  t.same(there.map(ruleKey).sort(), asked.map(ruleKey).sort(), `read as ${there.map(describeRule).join('; ')}`)
  t.ok(there.every(({ owned, description, id }) => owned && description === 'demo/web/api' && id.startsWith('sgr-')))
  t.same((await groups.readOwnedRules()).rules.get(group)?.length, asked.length)
  await groups.revoke(
    group,
    made.map(({ id }) => id)
  )
  t.same(await trial.rulesOf(group), [])
  t.ok(reports.every(({ code }) => code === ''))
})

t.test('rules of others, and of a cluster that merely has our id, are foreign', async (t) => {
  const { group, groups, trial } = await adapter(t)
  const permission = (port: number) => [
    {
      IpProtocol: 'tcp',
      FromPort: port,
      ToPort: port,
      IpRanges: [{ CidrIp: '10.64.0.7/32', Description: 'demo/web/api' }]
    }
  ]
  await trial.ec2.authorizeSecurityGroupIngress({ GroupId: group, IpPermissions: permission(1) })
  await trial.ec2.authorizeSecurityGroupIngress({
    GroupId: group,
    IpPermissions: permission(2),
    TagSpecifications: [
      { ResourceType: 'security-group-rule', Tags: [{ Key: 'sg.amazonaws.com/owner', Value: 'demo/another-uid' }] }
    ]
  })
  await groups.authorize(group, [rule('10.64.0.7/32', 3)])
  const rules = (await groups.readRules([group])).rules.get(group) ?? []
  t.same(rules.map(({ fromPort, owner }) => [fromPort, owner]).sort(), [
    [1, undefined],
    [2, 'demo/another-uid'],
    [3, undefined]
  ])
  t.same(rules.map(({ fromPort, owned }) => [fromPort, owned]).sort(), [
    [1, false],
    [2, false],
    [3, true]
  ])
  const tagged = (await groups.readOwnedRules()).rules.get(group) ?? []
  t.same(
    tagged.map(({ fromPort }) => fromPort).sort(),
    [2, 3],
    'those of a cluster with our id are read, to be told of'
  )
})

t.test('groups: opted in, not opted in, and one that does not exist', async (t) => {
  const { group, groups, trial } = await adapter(t)
  const other = (await trial.createGroup()) as SecurityGroupId
  await trial.ec2.createTags({ Resources: [group], Tags: [{ Key: 'sg.amazonaws.com/cluster/demo', Value: 'allowed' }] })
  await trial.ec2.createTags({
    Resources: [other],
    Tags: [{ Key: 'sg.amazonaws.com/cluster/other', Value: 'allowed' }]
  })
  const found = await groups.readGroups([group, other, 'sg-00000000' as SecurityGroupId])
  t.same(
    new Map(found.map(({ groupId, optedIn }) => [groupId, optedIn])),
    new Map([
      [group, true],
      [other, false]
    ])
  )
})

t.test('a page without groups is not the end while EC2 gives a token', async (t) => {
  const tokens: unknown[] = []
  const send = ({ input }: { input: { NextToken?: string } }): Promise<unknown> => {
    tokens.push(input.NextToken)
    const SecurityGroups = tokens.length === 1 ? [] : [{ GroupId: 'sg-0123abcd', VpcId: 'vpc-1' }]
    return Promise.resolve({
      SecurityGroups,
      ...(tokens.length < 3 ? { NextToken: `page ${String(tokens.length)}` } : {})
    })
  }
  const client = { send } as unknown as Ec2Sender
  const ec2 = createEc2({
    client,
    timeout: 5000,
    mayWrite: () => true,
    onCall: () => undefined,
    timers: new WorldClock()
  })
  const groups = ec2SecurityGroups(ec2, { clusterId: 'demo', owner: 'demo/uid', now: () => 0 })
  t.equal((await groups.readGroups(['sg-0123abcd' as SecurityGroupId])).length, 2)
  t.same(tokens, [undefined, 'page 1', 'page 2'])
})

t.test('reads go on over pages', async (t) => {
  const { group, groups, trial } = await adapter(t)
  await trial.control('POST', 'settings', { rulesPerGroup: 1000 })
  const other = (await trial.createGroup()) as SecurityGroupId
  const many = Array.from({ length: 600 }, (_, index) => rule(`10.64.${String(index >> 8)}.${String(index & 255)}/32`))
  for (const each of [group, other]) await groups.authorize(each, many)
  const read = await groups.readRules([group, other])
  t.same([read.rules.get(group)?.length, read.rules.get(other)?.length], [600, 600])
  t.equal((await groups.readOwnedRules()).rules.get(other)?.length, 600)
})

const refusals = [
  {
    name: 'a rule that is there already',
    kind: 'duplicate',
    make: (group: SecurityGroupId) => ({ group, rules: [rule('10.64.0.7/32'), rule('10.64.0.1/32')] })
  },
  {
    name: 'a group that does not exist',
    kind: 'groupNotFound',
    make: () => ({ group: 'sg-00000000' as SecurityGroupId, rules: [rule('10.64.0.9/32')] })
  },
  {
    name: 'more rules than the quota',
    kind: 'quota',
    make: (group: SecurityGroupId) => ({
      group,
      rules: Array.from({ length: 60 }, (_, index) => rule(`10.64.1.${String(index)}/32`))
    })
  },
  {
    name: 'a range written twice in one call',
    kind: 'rejected',
    make: (group: SecurityGroupId) => ({ group, rules: [rule('10.64.0.9/32'), rule('10.64.0.9/32')] })
  }
]
for (const { name, kind, make } of refusals) {
  t.test(`refused whole: ${name}`, async (t) => {
    const { group, groups, trial } = await adapter(t)
    await groups.authorize(group, [rule('10.64.0.7/32')])
    const call = make(group)
    t.equal((await failureOf(groups.authorize(call.group, call.rules))).kind, kind)
    t.equal((await trial.rulesOf(group)).length, 1, 'and nothing of it is left')
  })
}

t.test('a modification keeps id, tags and place, and changes all else', async (t) => {
  const { group, groups, trial } = await adapter(t)
  const quota = { rulesPerGroup: 2 }
  await trial.control('POST', 'settings', quota)
  const asked = [rule('10.64.0.7/32'), rule('10.64.0.8/32', 0, 'all'), rule('fd00:64::7/128')]
  const made = await groups.authorize(group, asked)
  const wanted = [rule('10.64.0.9/32', 0, '50'), rule('10.64.0.7/32', 53, 'udp'), rule('fd00:64::9/128', 0, 'icmpv6')]
  const changed = await groups.modify(
    group,
    wanted.map((to, index) => ({ ruleId: made[index]?.id ?? '', rule: { ...to, description: 'demo/web/other' } }))
  )
  t.same(
    changed.map(({ id }) => id),
    made.map(({ id }) => id)
  )
  t.same(changed.map(ruleKey), wanted.map(ruleKey))
  const byId = (one: { id: string }, other: { id: string }) => (one.id < other.id ? -1 : 1)
  const there = (await groups.readOwnedRules()).rules.get(group) ?? []
  t.same(there.toSorted(byId), changed.toSorted(byId), 'what is read is what was answered')
  const [first] = made
  const call = groups.modify(group, [{ ruleId: first?.id ?? '', rule: rule('fd00:64::9/128') }])
  t.equal((await failureOf(call)).kind, 'rejected', 'the family cannot change')
})

t.test('a modification is refused whole', async (t) => {
  const { group, groups, trial } = await adapter(t)
  const [one, other] = await groups.authorize(group, [rule('10.64.0.7/32'), rule('10.64.0.8/32')])
  const good = { ruleId: one?.id ?? '', rule: rule('10.64.0.9/32') }
  const before = await trial.rulesOf(group)
  const bad = [
    ['duplicate', { ruleId: other?.id ?? '', rule: rule('10.64.0.7/32') }],
    ['ruleNotFound', { ruleId: 'sgr-0123456789abcdef0', rule: rule('10.64.0.6/32') }]
  ] as const
  for (const [kind, each] of bad) t.equal((await failureOf(groups.modify(group, [good, each]))).kind, kind)
  t.same(await trial.rulesOf(group), before)
})

t.test('one unknown id keeps the others from being revoked', async (t) => {
  const { group, groups, trial } = await adapter(t)
  const [made] = await groups.authorize(group, [rule('10.64.0.7/32')])
  t.equal((await failureOf(groups.revoke(group, [made?.id ?? '', 'sgr-0123456789abcdef0']))).kind, 'ruleNotFound')
  t.equal((await trial.rulesOf(group)).length, 1)
})

const faults = [
  { fault: 'throttle', kind: 'throttled' },
  { fault: 'internalError', kind: 'unavailable' },
  { fault: 'unauthorized', kind: 'denied' },
  { fault: 'reset', kind: 'unavailable' },
  { fault: 'dropReply', kind: 'unavailable' },
  { fault: 'hang', kind: 'unavailable' }
]
for (const { fault, kind } of faults) {
  t.test(`${fault} is ${kind}, after one call`, async (t) => {
    const { group, groups, reports, trial } = await adapter(t, { timeout: 300 })
    await trial.control('POST', 'faults', { action: 'AuthorizeSecurityGroupIngress', fault, times: 1 })
    const failure = await failureOf(groups.authorize(group, [rule('10.64.0.7/32')]))
    t.equal(failure.kind, kind)
    t.same(
      reports.map(({ action, code }) => [action, code]),
      [['AuthorizeSecurityGroupIngress', failure.code]]
    )
    t.equal((await trial.rulesOf(group)).length, fault === 'dropReply' ? 1 : 0)
    t.equal((await groups.authorize(group, [rule('10.64.0.8/32')])).length, 1, 'and the next call is made as ever')
  })
}

t.test('expired credentials, and then renewed ones', async (t) => {
  const { group, groups, trial } = await adapter(t)
  await trial.control('POST', 'credentials', { accessKey: 'AKIAWORKER', state: 'expired' })
  t.equal((await failureOf(groups.authorize(group, [rule('10.64.0.7/32')]))).kind, 'credentials')
  await trial.control('POST', 'credentials', { accessKey: 'AKIAWORKER', state: null })
  t.equal((await groups.authorize(group, [rule('10.64.0.7/32')])).length, 1)
})

for (const minutes of [-40, 40]) {
  t.test(`a clock that is wrong by ${String(minutes)} minutes costs one call`, async (t) => {
    const { client, group, groups } = await adapter(t)
    // The SDK adds this to the time that it signs with, and sets it from EC2's answers.
    client.config.systemClockOffset = minutes * 60_000
    const refused = await failureOf(groups.authorize(group, [rule('10.64.0.7/32')]))
    t.equal(refused.kind, 'credentials', refused.code)
    t.equal((await groups.authorize(group, [rule('10.64.0.7/32')])).length, 1)
  })
}

t.test('who does not lead writes nothing, and may read', async (t) => {
  const { group, groups, trial } = await adapter(t, { mayWrite: false })
  t.equal((await failureOf(groups.authorize(group, [rule('10.64.0.7/32')]))).kind, 'notLeading')
  t.equal((await failureOf(groups.revoke(group, ['sgr-0123456789abcdef0']))).kind, 'notLeading')
  const modification = { ruleId: 'sgr-0123456789abcdef0', rule: rule('10.64.0.7/32') }
  t.equal((await failureOf(groups.modify(group, [modification]))).kind, 'notLeading')
  t.same((await groups.readRules([group])).rules.get(group), [])
  t.notOk((await trial.calls()).some(({ action }) => action.includes('Ingress') || action.startsWith('Modify')))
})
