/** Two owners on one group, on a real control plane: each rule belongs to whoever's tag it carries. */
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import { openYard, QUICK } from './pods.ts'

const bed = await startBed({ webhooks: 1, workers: 1, settings: { worker: { ...QUICK, MAX_HOLD: '60s' } } })
t.teardown(() => bed.stop())
const yard = await openYard(bed)
const OWNER_TAG = 'sg.amazonaws.com/owner'
const NAMESAKE = 'bed/11111111-2222-3333-4444-555555555555'

/** A rule for tcp 443, as whoever this owner tag stands for makes it. @returns its id */
async function make(group: string, address: string, owner?: string, description = ''): Promise<string> {
  const range = description === '' ? {} : { Description: description }
  const six = address.includes(':')
  const { SecurityGroupRules: [rule] = [] } = await yard.ec2.authorizeSecurityGroupIngress({
    GroupId: group,
    IpPermissions: [
      {
        IpProtocol: 'tcp',
        FromPort: 443,
        ToPort: 443,
        ...(six
          ? { Ipv6Ranges: [{ CidrIpv6: `${address}/128`, ...range }] }
          : { IpRanges: [{ CidrIp: `${address}/32`, ...range }] })
      }
    ],
    ...(owner === undefined
      ? {}
      : { TagSpecifications: [{ ResourceType: 'security-group-rule', Tags: [{ Key: OWNER_TAG, Value: owner }] }] })
  })
  return rule?.SecurityGroupRuleId ?? ''
}

const owners = async (group: string) =>
  (await bed.rules(group)).map(({ cidr, tags }) => `${cidr} ${tags[OWNER_TAG]?.slice(0, 12) ?? 'nobody'}`).sort()

/** Two sweeps from now everything has been looked at. */
async function afterSweeps(): Promise<void> {
  const reads = async (): Promise<number> =>
    (await bed.calls()).filter(({ action }) => action === 'DescribeSecurityGroups').length
  const before = await reads()
  await yard.until('two sweeps', async () => (await reads()) >= before + 3)
}

const foreign = [
  { name: 'a person who copied our description', owner: undefined },
  { name: 'another cluster', owner: 'elsewhere/1' },
  { name: 'another cluster with our id', owner: NAMESAKE }
]
for (const [index, { name, owner }] of foreign.entries()) {
  t.test(`a rule of ${name} serves our pod, outlives it, and is replaced by ours if it goes`, async (t) => {
    const pod = `guest-${String(index)}`
    const group = await yard.group()
    const closed = await yard.group(false)
    await yard.pod(pod, closed)
    const [address = ''] = (await yard.addresses(pod)).filter((each) => !each.includes(':'))
    const id = await make(group, address, owner, `bed/default/${pod}`)
    const ask = { [`sg.amazonaws.com/${group}`]: 'tcp:443', [`sg.amazonaws.com/${closed}`]: null }
    await yard.patch(pod, { metadata: { annotations: ask } })
    await yard.reason(pod, 'RulesInEffect')
    await yard.ec2.revokeSecurityGroupIngress({ GroupId: group, SecurityGroupRuleIds: [id] })
    await yard.granted(group, ['tcp 443-443'], pod)
    t.notOk(
      (await owners(group)).some((each) => !each.includes(' bed/')),
      'both are ours now'
    )
    await yard.ec2.revokeSecurityGroupIngress({
      GroupId: group,
      SecurityGroupRuleIds: (await bed.rules(group)).map(({ ruleId }) => ruleId)
    })
    const again = await make(group, address, owner, `bed/default/${pod}`)
    await afterSweeps()
    await yard.delete(pod)
    await yard.gone(pod)
    t.same(
      (await bed.rules(group)).map(({ ruleId }) => ruleId),
      [again]
    )
  })
}

t.test('rules of a cluster with our id are told of, and adopted by their tag', async (t) => {
  const [group, unclaimed] = [await yard.group(), await yard.group()]
  await yard.pod('heir', group)
  await yard.granted(group, ['tcp 443-443'], 'heir')
  const left = [
    await make(group, '10.64.255.1', NAMESAKE, 'bed/default/long-gone'),
    await make(unclaimed, '10.64.255.2', NAMESAKE, 'bed/default/long-gone')
  ]
  const metrics = async (): Promise<string> => (await fetch(bed.env.METRICS_WORKER_0 ?? '')).text()
  await yard.until('the metric to count them', async () => /^kube_sg_namesake_rules [2-9]/m.test(await metrics()))
  t.match(await bed.log('worker-0'), 'rules of another cluster with our CLUSTER_ID')
  await afterSweeps()
  t.equal((await bed.rules(unclaimed)).length, 1)
  const ours = (await bed.rules(group)).find(({ tags }) => tags[OWNER_TAG] !== NAMESAKE)?.tags[OWNER_TAG] ?? ''
  await yard.ec2.createTags({ Resources: left, Tags: [{ Key: OWNER_TAG, Value: ours }] })
  await yard.granted(group, ['tcp 443-443'], 'heir')
  await yard.empty(unclaimed)
  await yard.delete('heir')
  await yard.empty(group)
})

t.test('Nodes that all are in another Region stop the worker at its start, and say why', async (t) => {
  const label = (value: string) => bed.kubectl(['label', 'nodes', '--all', `topology.kubernetes.io/region=${value}`])
  await bed.ctl('stop', 'worker-0')
  await label('mars-1')
  await t.rejects(bed.ctl('start', 'worker-0'))
  t.match(await bed.log('worker-0'), 'but the Nodes are in mars-1 (label topology.kubernetes.io/region)')
})
