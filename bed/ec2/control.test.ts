import t from 'tap'
import { codeOf, startTrial, tcp } from './trial.ts'

const GROUP = 'sg-0def0000000000001'
const OWNER = [{ Key: 'sg.amazonaws.com/owner', Value: 'c/1' }]

t.test('groups: ingress rules with a CIDR, those from a group apart, no egress', async (t) => {
  const { ec2, createGroup, control } = await startTrial(t)
  const GroupId = await createGroup()
  await ec2.createTags({ Resources: [GroupId], Tags: [{ Key: 'k', Value: 'v' }] })
  const { SecurityGroupRules } = await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [
      { ...tcp(443), IpRanges: [{ CidrIp: '10.0.0.1/32', Description: 'c/ns/pod' }] },
      { IpProtocol: '-1', UserIdGroupPairs: [{ GroupId }] }
    ],
    TagSpecifications: [{ ResourceType: 'security-group-rule', Tags: OWNER }]
  })
  const [cidrRule, groupRule] = SecurityGroupRules ?? []
  const tags = { 'sg.amazonaws.com/owner': 'c/1' }
  const { groups } = (await control('GET', 'groups')) as { groups: unknown[] }
  t.equal(groups.length, 3)
  t.strictSame(groups[2], {
    groupId: GroupId,
    vpcId: 'vpc-0abc0000000000002',
    tags: { k: 'v' },
    rules: [
      {
        ruleId: cidrRule?.SecurityGroupRuleId,
        protocol: 'tcp',
        fromPort: 443,
        toPort: 443,
        description: 'c/ns/pod',
        tags,
        cidr: '10.0.0.1/32'
      }
    ],
    groupSourceRules: [
      {
        ruleId: groupRule?.SecurityGroupRuleId,
        protocol: '-1',
        fromPort: -1,
        toPort: -1,
        description: '',
        tags,
        sourceGroupId: GroupId
      }
    ]
  })
})

t.test('calls: numbered from 1, with the rules also of a revoke by id, and the code of a refusal', async (t) => {
  const { ec2, createGroup, calls, control } = await startTrial(t)
  const before = Date.now()
  const GroupId = await createGroup()
  const { SecurityGroupRules } = await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [tcp(443, '10.0.0.1/32', '2001:DB8::1/128')]
  })
  await codeOf(ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')] }))
  const [id = ''] = (SecurityGroupRules ?? []).map((rule) => rule.SecurityGroupRuleId ?? '')
  await ec2.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [id] })
  await ec2.describeSecurityGroupRules({ Filters: [{ Name: 'group-id', Values: [GroupId, GROUP] }] })
  const log = await calls()
  const one = { protocol: 'tcp', fromPort: 443, toPort: 443, cidr: '10.0.0.1/32' }
  t.strictSame(
    log.map(({ n, action, groupId, rules, code }) => [n, action, groupId, rules, code]),
    [
      [1, 'CreateSecurityGroup', GroupId, [], ''],
      [2, 'AuthorizeSecurityGroupIngress', GroupId, [one, { ...one, cidr: '2001:db8::1/128' }], ''],
      [3, 'AuthorizeSecurityGroupIngress', GroupId, [one], 'InvalidPermission.Duplicate'],
      [4, 'RevokeSecurityGroupIngress', GroupId, [one], ''],
      [5, 'DescribeSecurityGroupRules', `${GroupId},${GROUP}`, [], '']
    ]
  )
  t.ok(log.every((call) => before <= call.startedAt && call.startedAt <= call.endedAt && call.endedAt <= Date.now()))
  t.ok(log.every((call) => call.accessKey === 'AKIATRIAL' && call.fault === ''))
  t.strictSame(await control('GET', 'calls?since=3'), { calls: log.slice(3) })
  t.strictSame(await control('GET', 'calls?since=5'), { calls: [] })
})

t.test('settings: what is not named stays', async (t) => {
  const { control } = await startTrial(t)
  t.strictSame(await control('GET', 'settings'), { rulesPerGroup: 60, buckets: 'off', latencyMs: 0 })
  t.strictSame(await control('POST', 'settings', { rulesPerGroup: 5, buckets: 'on' }), {
    rulesPerGroup: 5,
    buckets: 'on',
    latencyMs: 0
  })
  t.strictSame(await control('POST', 'settings', { latencyMs: 1.5 }), {
    rulesPerGroup: 5,
    buckets: 'on',
    latencyMs: 1.5
  })
})

t.test('reset: the state at start', async (t) => {
  const { ec2, createGroup, control, calls } = await startTrial(t)
  await createGroup()
  await ec2.authorizeSecurityGroupIngress({ GroupId: GROUP, IpPermissions: [tcp(1, '10.0.0.1/32')] })
  await control('POST', 'settings', { rulesPerGroup: 5, latencyMs: 1 })
  await control('POST', 'faults', { action: '*', fault: 'throttle' })
  await control('POST', 'policies', { accessKey: 'AKIATRIAL', policy: { Version: '2012-10-17', Statement: [] } })
  await control('POST', 'reset')
  t.strictSame(await calls(), [])
  t.strictSame(await control('GET', 'settings'), { rulesPerGroup: 60, buckets: 'off', latencyMs: 0 })
  t.strictSame(await control('GET', 'faults'), { faults: [] })
  t.equal((await ec2.describeSecurityGroups({})).SecurityGroups?.length, 2)
  await ec2.authorizeSecurityGroupIngress({ GroupId: GROUP, IpPermissions: [tcp(1, '10.0.0.1/32')] })
  t.strictSame(
    (await calls()).map(({ n }) => n),
    [1, 2]
  )
})

t.test('credentials: unknown and expired keys are refused until they are good again', async (t) => {
  const { clientOf, control, calls } = await startTrial(t)
  const worker = clientOf('AKIAWORKER')
  for (const [state, code] of [
    ['expired', 'RequestExpired'],
    ['unknown', 'AuthFailure']
  ]) {
    await control('POST', 'credentials', { accessKey: 'AKIAWORKER', state })
    t.equal(await codeOf(worker.describeVpcs({})), code)
    await clientOf('AKIAOTHER').describeVpcs({})
  }
  await control('POST', 'credentials', { accessKey: 'AKIAWORKER', state: null })
  await worker.describeVpcs({})
  t.strictSame(
    (await calls()).map(({ code }) => code),
    ['RequestExpired', '', 'AuthFailure', '', '']
  )
})

t.test('bad bodies get 400 and say what would be right', async (t) => {
  const { endpoint } = await startTrial(t)
  const post = async (path: string, body: string) => {
    const response = await fetch(`${endpoint}/_sim/${path}`, { method: 'POST', body })
    return [response.status, ((await response.json()) as { error: string }).error] as const
  }
  const cases: readonly [path: string, body: string, error: RegExp][] = [
    ['faults', '', /not JSON/],
    ['faults', '[]', /must be a JSON object/],
    ['faults', '{"action":"RunInstances","fault":"throttle"}', /action must be '\*' or one of/],
    ['faults', '{"action":"*","fault":"explode"}', /fault must be one of throttle, internalError/],
    ['faults', '{"action":"*","fault":"throttle","times":0}', /times must be a number from 1/],
    ['faults', '{"action":"*","fault":"throttle","times":1.5}', /whole number/],
    ['faults', '{"action":"*","fault":"throttle","seconds":"5"}', /seconds must be a number/],
    ['faults', '{"action":"*","fault":"throttle","rate":0.5}', /'rate' is none of action, fault/],
    ['faults', '{"action":"*","fault":"throttle","effect":"after"}', /effect goes only with/],
    ['faults', '{"action":"*","fault":"throttle","groupId":7}', /groupId must be/],
    ['faults', '{"action":"*","fault":"stale"}', /staleSeconds goes with/],
    ['faults', '{"action":"*","fault":"stale","staleSeconds":301}', /from 0 to 300/],
    ['faults', '{"action":"CreateTags","fault":"stale","staleSeconds":3}', /only reads/],
    ['settings', '{"rulesPerGroup":0}', /rulesPerGroup must be a number from 1 to 1000/],
    ['settings', '{"buckets":"maybe"}', /'on' or 'off'/],
    ['settings', '{"latencyMs":-1}', /latencyMs must be/],
    ['policies', '{"accessKey":"","policy":null}', /accessKey must be/],
    ['policies', '{"accessKey":"a"}', /policy must be an IAM policy document, or null/],
    ['policies', '{"accessKey":"a","policy":{"Version":"2008"}}', /Version must be/],
    ['credentials', '{"accessKey":"","state":null}', /accessKey must be/],
    ['credentials', '{"accessKey":"a"}', /state must be one of unknown, expired, or null/],
    ['credentials', '{"accessKey":"a","state":"lost"}', /state must be one of unknown, expired, or null/]
  ]
  for (const [path, body, error] of cases) {
    const [status, text] = await post(path, body)
    t.equal(status, 400, body)
    t.match(text, error)
  }
  t.match(await post('nothing', '{}'), [404, /try GET groups/])
  const since = await fetch(`${endpoint}/_sim/calls?since=-1`)
  t.equal(since.status, 400)
})
