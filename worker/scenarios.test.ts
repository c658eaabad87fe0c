/** Lives that need a name: each is one that the random histories would meet too rarely. */
import t from 'tap'
import { GROUP } from './podFixture.ts'
import { ASK, createWorld, leaveOrphan, reasonOf, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const held = ({ ec2 }: World): string[] => [...(ec2.rules.get(GROUP)?.values() ?? [])].map(({ cidr }) => cidr).sort()

t.test('a quota below RULES_PER_GROUP is found out by filling the group, the oldest pods first', async (t) => {
  const world = createWorld([GROUP])
  world.ec2.quota = 3
  for (const index of [1, 2, 3, 4, 5]) await runPod(world, `pod-${String(index)}`, `10.64.0.${String(index)}`)
  world.restart()
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.1/32', '10.64.0.2/32', '10.64.0.3/32'])
  t.same([reasonOf(world, 'pod-3'), reasonOf(world, 'pod-4')], ['RulesInEffect', 'RuleQuotaExceeded'])
  world.cluster.edit('pod-1', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.2/32', '10.64.0.3/32', '10.64.0.4/32'], 'whose place is free is next')
})

t.test('a pod that was seen before it had its address does not wait for COALESCE when it has got it', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'before', '10.64.0.1')
  await world.clock.advance(5000)
  world.cluster.create('pod', ASK)
  await world.clock.advance(30)
  world.cluster.edit('pod', { addresses: ['10.64.0.2'], phase: 'Running', startedAt: world.clock.now() })
  await world.clock.advance(70)
  t.same(held(world), ['10.64.0.1/32', '10.64.0.2/32'], 'the run that found nothing to do does not count')
})

t.test('a worker that may not authorize still revokes what ended, and orphans', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'ending', '10.64.0.1')
  await world.clock.advance(1000)
  world.kill()
  leaveOrphan(world, '10.64.0.9/32')
  world.ec2.denied.add('AuthorizeSecurityGroupIngress')
  world.cluster.edit('ending', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await runPod(world, 'coming', '10.64.0.2')
  world.restart()
  await world.clock.advance(10_000)
  t.same(held(world), [])
  t.equal(world.cluster.named('ending')?.finalized, false)
  t.equal(reasonOf(world, 'coming'), 'EC2AccessDenied')
  world.ec2.denied.clear()
  await world.clock.advance(60_000)
  t.same(held(world), ['10.64.0.2/32'])
})

t.test('an API server that cannot prove an orphan does not keep the grants from being told', async (t) => {
  const world = createWorld([GROUP])
  leaveOrphan(world, '10.64.0.9/32')
  await runPod(world, 'coming', '10.64.0.2')
  world.cluster.unlisted = true
  world.restart()
  await world.clock.advance(10_000)
  t.same([held(world), reasonOf(world, 'coming')], [['10.64.0.2/32', '10.64.0.9/32'], 'RulesInEffect'])
  world.cluster.unlisted = false
  await world.clock.advance(60_000)
  t.same(held(world), ['10.64.0.2/32'])
})

t.test('a worker that may not read groups still revokes what ended', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'ending', '10.64.0.1')
  await world.clock.advance(1000)
  world.ec2.optedIn.clear()
  await world.clock.advance(61_000)
  world.ec2.denied.add('DescribeSecurityGroups')
  await runPod(world, 'coming', '10.64.0.2')
  world.cluster.edit('ending', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(20_000)
  t.same(held(world), [])
  t.equal(world.cluster.named('ending')?.finalized, false)
})

t.test('who may not be granted a rule does not inherit it from whoever had the address before', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.ec2.denied.add('RevokeSecurityGroupIngress')
  world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  world.ec2.optedIn.clear()
  await world.clock.advance(100_000)
  t.same(held(world), ['10.64.0.1/32'], 'it could not be revoked, and nobody has seen yet that the opt-in is gone')
  world.ec2.denied.clear()
  await runPod(world, 'b', '10.64.0.1')
  await world.clock.advance(5000)
  t.same([held(world), reasonOf(world, 'b')], [[], 'SecurityGroupNotOptedIn'])
})

t.test('an opt-in that is withdrawn takes an inherited rule too', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.ec2.denied.add('RevokeSecurityGroupIngress')
  world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await runPod(world, 'b', '10.64.0.1')
  await world.clock.advance(10_000)
  world.ec2.denied.clear()
  t.same([held(world), reasonOf(world, 'b')], [['10.64.0.1/32'], 'RulesInEffect'])
  world.cluster.edit('a', { deletionTimestamp: world.clock.now(), gracePeriodSeconds: 0 })
  await world.clock.advance(10_000)
  t.equal(world.cluster.named('a'), undefined, 'its first owner, whom the description names, is gone')
  world.ec2.optedIn.clear()
  await world.clock.advance(61_000)
  t.same(held(world), ['10.64.0.1/32'], 'one denial is none')
  await world.clock.advance(120_000)
  t.same([held(world), reasonOf(world, 'b')], [[], 'SecurityGroupNotOptedIn'])
})

t.test('a pod stripped of both marks while it drains is noticed when it is gone', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.cluster.edit('a', { deletionTimestamp: world.clock.now() + 30_000, gracePeriodSeconds: 30 })
  world.cluster.edit('a', { labelled: false, finalized: false, heldByFinalizer: false })
  await world.clock.advance(10_000)
  t.same(held(world), ['10.64.0.1/32'], 'it drains')
  world.cluster.edit('a', { gracePeriodSeconds: 0, phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(15_000)
  t.same(held(world), [])
})

t.test('who begins to lead serves all soon, however many pods escape our watch', async (t) => {
  const world = createWorld([GROUP])
  const others = Array.from({ length: 500 }, (_, index) => `agent-${String(index)}`)
  for (const name of others) {
    world.cluster.create(name, { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' })
    world.cluster.edit(name, { hostNetwork: true, labelled: false, finalized: false, heldByFinalizer: false })
  }
  await runPod(world, 'a', '10.64.0.1')
  world.restart()
  await world.clock.advance(2000)
  t.same(held(world), ['10.64.0.1/32'])
})

t.test('a node that comes back brings its pods back', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.cluster.nodes.clear()
  await world.clock.advance(70_000)
  t.same(held(world), [], 'its node is gone')
  world.cluster.nodes.add('node-0')
  await world.clock.advance(130_000)
  t.same([held(world), world.cluster.named('a')?.finalized], [['10.64.0.1/32'], true])
})

t.test('pods that cannot be listed: MAX_HOLD holds, and a worker that works goes on', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await runPod(world, 'b', '10.64.0.2')
  await world.clock.advance(1000)
  world.cluster.overlooking = false
  await world.clock.advance(900_000)
  world.ec2.byHand((rules) => rules.get(GROUP)?.clear())
  await world.clock.advance(61_000)
  t.same(held(world), ['10.64.0.1/32', '10.64.0.2/32'], 'what was deleted by hand is restored')
  world.restart()
  world.cluster.edit('a', { phase: 'Failed', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(60_000)
  t.equal(world.cluster.named('a')?.finalized, true)
  t.match(world.cluster.named('a')?.condition?.message, 'cannot be listed')
  await world.clock.advance(70_000)
  t.equal(world.cluster.named('a')?.finalized, false)
})

t.test('MAX_HOLD is not counted from a deletion timestamp in the future', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.ec2.denied.add('RevokeSecurityGroupIngress')
  world.cluster.edit('a', {
    phase: 'Failed',
    deletionTimestamp: world.clock.now() + 3_600_000,
    gracePeriodSeconds: 3600
  })
  await world.clock.advance(130_000)
  t.equal(world.cluster.named('a')?.finalized, false)
})

t.test('a condition that nobody lets us write does not keep a pod', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.cluster.wordless = true
  world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(10_000)
  t.same([held(world), world.cluster.named('a')?.finalized], [[], false])
})

t.test('a lost reply and lagging reads cost a few calls, not one for each rule', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await world.clock.advance(30_000)
  world.ec2.readBehind = 9000
  for (let index = 1; index <= 40; index++) world.cluster.create(`p-${String(index)}`, ASK)
  await world.clock.advance(500)
  world.ec2.faults = ['lostAfter']
  for (let index = 1; index <= 40; index++) {
    world.cluster.edit(`p-${String(index)}`, { addresses: [`10.64.1.${String(index)}`], phase: 'Running' })
  }
  world.ec2.calls.clear()
  await world.clock.advance(25_000)
  t.equal(held(world).length, 40)
  t.equal(reasonOf(world, 'p-40'), 'RulesInEffect')
  t.ok(
    (world.ec2.calls.get('AuthorizeSecurityGroupIngress') ?? 0) <= 12,
    `authorize: ${String(world.ec2.calls.get('AuthorizeSecurityGroupIngress'))}`
  )
  world.ec2.calls.clear()
  world.ec2.faults = ['lostAfter']
  for (let index = 1; index <= 40; index++)
    world.cluster.edit(`p-${String(index)}`, { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(30_000)
  t.same(held(world), [])
  t.ok(
    (world.ec2.calls.get('RevokeSecurityGroupIngress') ?? 0) <= 12,
    `revoke: ${String(world.ec2.calls.get('RevokeSecurityGroupIngress'))}`
  )
})

t.test('an address outside of the pod network is told, though another one is in effect', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  world.cluster.create('a', ASK)
  await world.clock.advance(10)
  world.cluster.edit('a', { addresses: ['10.64.0.1', 'fd00::1'], phase: 'Running' })
  await world.clock.advance(5000)
  t.same([held(world), reasonOf(world, 'a')], [['10.64.0.1/32'], 'AddressRefused'])
})

t.test('icmpv6 on a pod without an IPv6 address is told', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  world.cluster.create('a', { [`sg.amazonaws.com/${GROUP}`]: 'icmpv6' })
  await world.clock.advance(10)
  world.cluster.edit('a', { addresses: ['10.64.0.1'], phase: 'Running' })
  await world.clock.advance(5000)
  t.equal(reasonOf(world, 'a'), 'NoRuleForFamily')
})

t.test('a typo in POD_CIDRS cuts nobody: the brake holds, and the pods say what is wrong', async (t) => {
  const world = createWorld([GROUP], { POD_CIDRS: '10.64.0.0/16' })
  world.restart()
  for (let index = 1; index <= 30; index++) await runPod(world, `p-${String(index)}`, `10.64.1.${String(index)}`)
  await world.clock.advance(5000)
  t.equal(held(world).length, 30)
  world.restart({ POD_CIDRS: '10.46.0.0/16' })
  await world.clock.advance(300_000)
  t.same([held(world).length, reasonOf(world, 'p-1')], [30, 'AddressRefused'])
  world.cluster.edit('p-1', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(5000)
  t.equal(held(world).length, 29, 'what ended is revoked all the same')
})

t.test('a standby keeps no pod that is gone', async (t) => {
  const world = createWorld([GROUP])
  const standby = world.standby()
  for (let index = 1; index <= 5; index++) {
    await runPod(world, `p-${String(index)}`, '10.64.0.1')
    world.cluster.edit(`p-${String(index)}`, {
      deletionTimestamp: world.clock.now(),
      gracePeriodSeconds: 0,
      finalized: false,
      heldByFinalizer: false
    })
    await world.clock.advance(100)
  }
  t.same([...standby.views()].length, 0)
})

t.test('a readiness gate without a group does not hold its pod back', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  world.cluster.create('a', { 'sg.amazonaws.com/readiness-gate': 'true' })
  await world.clock.advance(10)
  world.cluster.edit('a', { addresses: ['10.64.0.1'], phase: 'Running' })
  await world.clock.advance(5000)
  t.equal(world.cluster.named('a')?.condition?.status, 'True')
})

t.test('who may not use the group gets nothing, until the Role is there', async (t) => {
  const world = createWorld([GROUP], { PERMISSIONS: 'enforce' })
  world.cluster.may = () => Promise.resolve(false)
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  t.same([held(world), reasonOf(world, 'a')], [[], 'NotPermitted'])
  world.cluster.may = () => Promise.resolve(true)
  await world.clock.advance(20_000)
  t.same([held(world), reasonOf(world, 'a')], [['10.64.0.1/32'], 'RulesInEffect'])
})

t.test('a Role that is taken away takes the rule, after two denials', async (t) => {
  const world = createWorld([GROUP], { PERMISSIONS: 'enforce' })
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  world.cluster.may = () => Promise.resolve(false)
  await world.clock.advance(65_000)
  t.same(held(world), ['10.64.0.1/32'], 'one is none')
  await world.clock.advance(120_000)
  t.same([held(world), reasonOf(world, 'a')], [[], 'NotPermitted'])
})

t.test('PERMISSIONS=warn grants all the same', async (t) => {
  const world = createWorld([GROUP], { PERMISSIONS: 'warn' })
  world.cluster.may = () => Promise.resolve(false)
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  t.same([held(world), reasonOf(world, 'a')], [['10.64.0.1/32'], 'RulesInEffect'])
})

t.test('a pod in the node’s network that lacks our label is told, and is asked for at sweeps only', async (t) => {
  const world = createWorld([GROUP])
  world.cluster.create('a', ASK, { hostNetwork: true, labelled: false, finalized: false, heldByFinalizer: false })
  world.restart()
  await world.clock.advance(90_000)
  t.equal(reasonOf(world, 'a'), 'HostNetworkRefused')
  const before = world.cluster.calls
  await world.clock.advance(120_000)
  const sweeps = 2
  // The pod, and what a sweep asks for besides.
  t.ok(world.cluster.calls - before <= 3 * sweeps, `${String(world.cluster.calls - before)} calls`)
})
