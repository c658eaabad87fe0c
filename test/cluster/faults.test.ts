/** What EC2 can do to us, on a real control plane: nothing is lost, and the reason is on the pod. */
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import { FINALIZER, openYard, QUICK } from './pods.ts'

const bed = await startBed({ webhooks: 1, workers: 1, settings: { worker: { ...QUICK, MAX_HOLD: '12s' } } })
t.teardown(() => bed.stop())
t.afterEach(() => bed.clearFaults())
const yard = await openYard(bed)
const HTTPS = 'tcp 443-443'
const AUTHORIZE = 'AuthorizeSecurityGroupIngress'
const REVOKE = 'RevokeSecurityGroupIngress'

t.test('a group that does not exist', async (t) => {
  const group = 'sg-0123456789abcdef0'
  await yard.pod('unknown', group)
  t.match(
    await yard.event('unknown', 'SecurityGroupNotFound'),
    `security group '${group}' does not exist in this Region`
  )
  await yard.reason('unknown', 'SecurityGroupNotFound')
  await yard.delete('unknown')
  await yard.gone('unknown')
})

t.test('a group whose owner has not opted in, until he does; and when he withdraws', async (t) => {
  const group = await yard.group(false)
  await yard.pod('closed', group)
  t.match(await yard.event('closed', 'SecurityGroupNotOptedIn'), 'sg.amazonaws.com/cluster/bed = allowed')
  t.same(await yard.rules(group), [])
  const opened = { Resources: [group], Tags: [{ Key: 'sg.amazonaws.com/cluster/bed', Value: 'allowed' }] }
  await yard.ec2.createTags(opened)
  await yard.granted(group, [HTTPS], 'closed')
  await yard.reason('closed', 'RulesInEffect')
  await yard.delete('closed')
  await yard.gone('closed')
})

t.test('EC2 denies access, then no longer', async (t) => {
  const group = await yard.group()
  await bed.fault({ action: AUTHORIZE, fault: 'unauthorized' })
  await yard.pod('denied', group)
  t.match(await yard.event('denied', 'EC2AccessDenied'), "let the worker's IAM role make this call")
  await bed.clearFaults()
  await yard.granted(group, [HTTPS], 'denied')
  await yard.delete('denied')
  await yard.gone('denied')
})

t.test('a full group: the second pod waits its turn, and is told its place', async (t) => {
  const group = await yard.group()
  await bed.settings({ rulesPerGroup: 1 })
  await yard.pod('early', group)
  await yard.granted(group, [HTTPS], 'early')
  await yard.pod('late', group)
  t.match(await yard.event('late', 'RuleQuotaExceeded'), 'this pod is number 1 of those that wait')
  await yard.granted(group, [HTTPS], 'early')
  await yard.delete('early')
  await yard.granted(group, [HTTPS], 'late')
  await yard.reason('late', 'RulesInEffect')
  await bed.settings({ rulesPerGroup: 60 })
  await yard.delete('late')
  await yard.empty(group)
})

t.test('EC2 is away while pods come and go: nothing is lost', async (t) => {
  const group = await yard.group()
  await yard.pod('leaver', group)
  await yard.granted(group, [HTTPS], 'leaver')
  await bed.fault({ action: '*', fault: 'reset' })
  await yard.pod('comer', group)
  await yard.delete('leaver')
  t.match(await yard.event('comer', 'EC2Unavailable'), 'EC2 failed or did not answer')
  t.ok((await yard.get('leaver'))?.metadata?.finalizers?.includes(FINALIZER), 'held, for its rule is there')
  await bed.clearFaults()
  await yard.granted(group, [HTTPS], 'comer')
  await yard.gone('leaver')
  await yard.delete('comer')
  await yard.empty(group)
})

for (const [name, fault] of [
  ['a throttled call', 'throttle'],
  ['a call that fails inside EC2', 'internalError'],
  ['a reply that is lost after the effect', 'dropReply'],
  ['a call that hangs', 'hang']
] as const) {
  t.test(`${name}, both ways: granted and revoked all the same`, async () => {
    const group = await yard.group()
    await bed.fault({ action: AUTHORIZE, fault, times: 1 })
    await yard.pod(`faulty-${fault.toLowerCase()}`, group, { ports: 'tcp:443,tcp:80' })
    await yard.granted(group, [HTTPS, 'tcp 80-80'], `faulty-${fault.toLowerCase()}`)
    await bed.fault({ action: REVOKE, fault, times: 1 })
    await yard.delete(`faulty-${fault.toLowerCase()}`)
    await yard.empty(group)
    await yard.gone(`faulty-${fault.toLowerCase()}`)
  })
}

t.test('one rule that EC2 has from elsewhere does not keep the others of its call out', async () => {
  const group = await yard.group()
  await yard.pod('a', group, { ports: 'tcp:1' })
  await yard.granted(group, ['tcp 1-1'], 'a')
  const [address = ''] = (await yard.addresses('a')).filter((each) => !each.includes(':'))
  await bed.fault({ action: 'DescribeSecurityGroupRules', fault: 'stale', staleSeconds: 1, seconds: 2 })
  await yard.ec2.authorizeSecurityGroupIngress({
    GroupId: group,
    IpPermissions: [{ IpProtocol: 'tcp', FromPort: 3, ToPort: 3, IpRanges: [{ CidrIp: `${address}/32` }] }]
  })
  await yard.patch('a', { metadata: { annotations: { [`sg.amazonaws.com/${group}`]: 'tcp:1,tcp:3,tcp:5' } } })
  await yard.granted(group, ['tcp 1-1', 'tcp 3-3', 'tcp 5-5'], 'a')
  await yard.delete('a')
  await yard.until(
    "only the other's rule is left",
    async () => JSON.stringify(await yard.rules(group)) === JSON.stringify([`tcp 3-3 ${address}/32`])
  )
})

t.test('a rule that cannot be revoked holds its pod until the deadline, and is revoked later', async (t) => {
  const group = await yard.group()
  await yard.pod('held', group)
  await yard.granted(group, [HTTPS], 'held')
  await bed.fault({ action: REVOKE, fault: 'unauthorized' })
  await yard.delete('held')
  t.match(await yard.event('held', 'RevokeFailed'), 'not revoked yet')
  await yard.gone('held')
  t.match(await yard.event('held', 'FinalizerHoldExceeded'), 'released after MAX_HOLD')
  t.ok((await yard.rules(group)).length > 0, 'the rule outlived the object, and is not forgotten')
  await bed.clearFaults()
  await yard.empty(group)
})

t.test('an orphan, though the pod object went while no worker lived', async () => {
  const group = await yard.group()
  await yard.pod('orphaned', group)
  await yard.granted(group, [HTTPS], 'orphaned')
  await bed.ctl('kill', 'worker-0')
  await yard.delete('orphaned', '--force', '--grace-period=0')
  await yard.patch('orphaned', { metadata: { finalizers: null } })
  await yard.gone('orphaned')
  await bed.ctl('start', 'worker-0')
  await yard.empty(group)
})
