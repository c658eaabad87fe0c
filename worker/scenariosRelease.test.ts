/** Lives that end while another pod has the address: when the one is let go, and what the other keeps. */
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import { asking, GROUP, OTHER_GROUP } from './podFixture.ts'
import { ASK, createWorld, leaveOrphan, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const complete = ({ clock, cluster }: World, name: string): void =>
  cluster.edit(name, { phase: 'Succeeded', containersTerminatedAt: clock.now() })
const rulesIn = ({ ec2 }: World): string[] =>
  [...(ec2.rules.get(GROUP)?.values() ?? [])].map(({ cidr, fromPort }) => `${cidr} ${String(fromPort)}`)

t.test('whoever ends in a full group goes though the heir of its rule waits for another one', async (t) => {
  const world = createWorld([GROUP])
  world.ec2.quota = 1
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  await runPod(world, 'b', '10.64.0.1', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443,tcp:80' })
  await world.clock.advance(5000)
  complete(world, 'a')
  await world.clock.advance(2000)
  t.equal(world.cluster.named('a')?.finalized, false)
  t.same(rulesIn(world), ['10.64.0.1/32 443'])
})

t.test('a pod that asks again while its end of asking is put into words is not let go', async (t) => {
  const world = createWorld([GROUP])
  const released: string[] = []
  world.cluster.onRelease = (pod) => released.push(pod.name)
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  world.cluster.latency = () => 500
  const annotated = { annotated: true, declaration: parseAnnotations(ASK) }
  world.cluster.edit('a', { annotated: false, declaration: parseAnnotations({}) })
  await world.clock.advance(1000)
  world.cluster.edit('a', annotated)
  await world.clock.advance(10_000)
  t.same(released, [])
  t.same(rulesIn(world), ['10.64.0.1/32 443'])
})

t.test(
  'a pod that asks again and ends while its end of asking is put into words is held until its rule is gone',
  async (t) => {
    const world = createWorld([GROUP])
    const left: string[][] = []
    world.cluster.onRelease = () => left.push(rulesIn(world))
    world.restart()
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(5000)
    world.cluster.latency = () => 500
    world.cluster.edit('a', { annotated: false, declaration: parseAnnotations({}) })
    await world.clock.advance(700)
    world.ec2.latency = () => 100
    world.cluster.edit('a', { annotated: true, declaration: parseAnnotations(ASK) })
    await world.clock.advance(200)
    world.ec2.denied.add('RevokeSecurityGroupIngress')
    complete(world, 'a')
    await world.clock.advance(5000)
    t.same([left, rulesIn(world)], [[], ['10.64.0.1/32 443']])
    world.ec2.denied.clear()
    await world.clock.advance(60_000)
    t.same([left, rulesIn(world)], [[[]], []])
  }
)

t.test(
  'an orphan that could not be revoked is tried again within half a minute, however busy its group is',
  async (t) => {
    const world = createWorld([GROUP])
    world.restart()
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(5000)
    leaveOrphan(world, '10.64.0.9/32')
    world.ec2.denied.add('RevokeSecurityGroupIngress')
    world.restart()
    await world.clock.advance(2000)
    world.ec2.denied.clear()
    world.cluster.edit('a', { declaration: parseAnnotations({ [`sg.amazonaws.com/${GROUP}`]: 'tcp:443,tcp:80' }) })
    await world.clock.advance(20_000)
    world.cluster.edit('a', { declaration: parseAnnotations(ASK) })
    await world.clock.advance(10_000)
    t.same(rulesIn(world), ['10.64.0.1/32 443'])
  }
)

t.test('who begins to lead takes no pod of a lost node for the holder of an address', async (t) => {
  const world = createWorld([GROUP])
  world.cluster.nodes.add('node-1')
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.cluster.create('b', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:80' })
  world.cluster.edit('b', {
    addresses: ['10.64.0.1'],
    phase: 'Running',
    startedAt: world.clock.now(),
    nodeName: 'node-1'
  })
  world.cluster.nodes.delete('node-1')
  await world.clock.advance(120_000)
  t.same(rulesIn(world), ['10.64.0.1/32 443'])
  world.ec2.revokes.length = 0
  world.restart()
  await world.clock.advance(60_000)
  t.same(
    world.ec2.revokes.map(({ rule }) => rule.fromPort),
    []
  )
})

t.test('a pod on a node that was lost and is back is kept, though the node is shown only after it', async (t) => {
  const world = createWorld([GROUP])
  const released: string[] = []
  world.cluster.onRelease = ({ name }) => released.push(name)
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  world.cluster.removeNode('node-0')
  await world.clock.advance(70_000)
  t.same([rulesIn(world), released], [[], ['a']])
  world.cluster.down = true
  world.cluster.addNode('node-0')
  await world.clock.advance(100)
  world.cluster.down = false
  await runPod(world, 'b', '10.64.0.2')
  t.equal(world.cluster.nodesShown.has('node-0'), false)
  await world.clock.advance(2000)
  t.same([rulesIn(world).sort(), released], [['10.64.0.1/32 443', '10.64.0.2/32 443'], ['a']])
})

for (const lived of [100_000, 5])
  t.test(
    `MAX_HOLD begins anew with the end of a pod whose node had been gone, and was back for ${String(lived)} ms`,
    async (t) => {
      const world = createWorld([GROUP])
      const released: number[] = []
      world.cluster.onRelease = () => released.push(world.clock.now())
      world.restart()
      await runPod(world, 'a', '10.64.0.1')
      await world.clock.advance(5000)
      world.ec2.denied.add('RevokeSecurityGroupIngress')
      world.cluster.nodes.clear()
      await world.clock.advance(100_000)
      // It has just been looked at, so that the next look waits for COALESCE.
      world.cluster.edit('a', { deletionTimestamp: world.clock.now() + 30_000, gracePeriodSeconds: 30 })
      await world.clock.advance(60)
      world.cluster.addNode('node-0')
      await world.clock.advance(lived)
      complete(world, 'a')
      const end = world.clock.now()
      await world.clock.advance(200_000)
      t.equal(released.length, 1)
      t.ok((released[0] ?? 0) >= end + 120_000)
    }
  )

t.test('a pod that lost its label before anybody watched it is found by its rule', async (t) => {
  const world = createWorld([GROUP])
  world.standby()
  world.cluster.breakWatches()
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  world.takeOver()
  await world.clock.advance(2000)
  world.cluster.edit('a', { labelled: false })
  await world.clock.advance(90_000)
  t.equal(world.cluster.named('a')?.labelled, true)
  t.same(rulesIn(world), ['10.64.0.1/32 443'])
})

t.test('what a pod no longer asked for goes, though it completed and lost our marks while nobody led', async (t) => {
  const world = createWorld([GROUP, OTHER_GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:1,tcp:2,tcp:3' })
  await world.clock.advance(5000)
  world.ec2.denied.add('RevokeSecurityGroupIngress')
  world.cluster.edit('a', { declaration: asking('tcp:443', OTHER_GROUP) })
  await world.clock.advance(5000)
  world.cluster.edit('a', { labelled: false, finalized: false, heldByFinalizer: false })
  complete(world, 'a')
  world.ec2.denied.clear()
  world.restart()
  await world.clock.advance(60_000)
  t.same(rulesIn(world), [])
})

t.test(
  'MAX_HOLD frees whoever ends at the address of a rule that cannot be revoked, though it never asked',
  async (t) => {
    const world = createWorld([GROUP])
    world.restart()
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(5000)
    world.kill()
    complete(world, 'a')
    world.ec2.denied.add('RevokeSecurityGroupIngress')
    await runPod(world, 'later', '10.64.0.1')
    world.cluster.edit('later', { declaration: parseAnnotations({}), annotated: false })
    world.restart()
    await world.clock.advance(5000)
    complete(world, 'later')
    await world.clock.advance(100_000)
    t.equal(world.cluster.named('later')?.finalized, true)
    await world.clock.advance(50_000)
    t.equal(world.cluster.named('later')?.finalized, false)
  }
)

/** A pod in effect for so many milliseconds, whose node then goes. */
async function ofLostNode(time: number) {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(time)
  const sweeps = (): number => world.ec2.calls.get('DescribeSecurityGroupRules') ?? 0
  world.cluster.removeNode('node-0')
  return { world, sweeps, isRevoked: () => rulesIn(world).length === 0 && !world.cluster.named('a')?.finalized }
}

t.test('who ended with its node waits for no other sweep when the API server failed the first one', async (t) => {
  const { isRevoked, world } = await ofLostNode(30_000)
  world.cluster.nodeless = true
  await world.clock.advance(45_000)
  t.notOk(isRevoked(), 'nobody could tell')
  world.cluster.nodeless = false
  await world.clock.advance(6000)
  t.ok(isRevoked())
})

t.test('what was made for the pods of a node goes as soon as the node does, and not with the next sweep', async (t) => {
  const { isRevoked, sweeps, world } = await ofLostNode(30_000)
  const before = sweeps()
  await world.clock.advance(2000)
  t.ok(isRevoked())
  t.equal(sweeps(), before)
})

t.test('a worker that stops looks for lost nodes no more', async (t) => {
  const { world } = await ofLostNode(30_000)
  await world.clock.advance(500)
  const { calls } = world.cluster
  await Promise.all([world.leader()?.worker.stop(), world.clock.advance(10_000)])
  t.equal(world.cluster.calls, calls)
})

t.test('a node that is back within the second has ended nobody', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(10_000)
  world.cluster.removeNode('node-0')
  world.cluster.addNode('node-0')
  await world.clock.advance(300_000)
  t.same(rulesIn(world), ['10.64.0.1/32 443'])
  t.notOk(world.ec2.calls.has('RevokeSecurityGroupIngress'))
})
