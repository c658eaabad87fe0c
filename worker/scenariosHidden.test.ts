/** Pods whose status hides an address, and pods that share one, met by a worker that has just started: only the description tells whose a rule is. */
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import { GROUP } from './podFixture.ts'
import { createWorld, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const held = ({ ec2 }: World): string[] => [...(ec2.rules.get(GROUP)?.values() ?? [])].map(({ cidr }) => cidr).sort()

async function hidden(environment: Record<string, string> = {}): Promise<World> {
  const world = createWorld([GROUP], environment)
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  world.cluster.edit('a', { addresses: [] })
  await world.clock.advance(5000)
  world.restart()
  await world.clock.advance(60_000)
  return world
}

t.test('the rule stays as long as the pod lives and asks for it', async (t) => {
  const world = await hidden()
  t.same(held(world), ['10.64.0.1/32'])
})

t.test('the rule goes with the pod’s node', async (t) => {
  const world = await hidden()
  world.cluster.nodes.clear()
  await world.clock.advance(150_000)
  t.same(held(world), [])
})

t.test('the rule goes with the permission', async (t) => {
  const world = await hidden({ PERMISSIONS: 'enforce' })
  world.cluster.may = () => Promise.resolve(false)
  await world.clock.advance(240_000)
  t.same(held(world), [])
})

t.test('the rule goes with the opt-in', async (t) => {
  const world = await hidden()
  world.ec2.optIn(GROUP, false)
  await world.clock.advance(240_000)
  t.same(held(world), [])
})

t.test(
  'who held the rule first keeps it when the other pod at its address ends, though nobody can tell what is permitted',
  async (t) => {
    const world = createWorld([GROUP])
    world.restart()
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(5000)
    world.ec2.denied.add('DescribeSecurityGroups')
    world.restart()
    await runPod(world, 'later', '10.64.0.1')
    await world.clock.advance(5000)
    world.cluster.edit('later', { phase: 'Failed', addresses: [] })
    await world.clock.advance(20_000)
    t.same(held(world), ['10.64.0.1/32'])
  }
)

t.test(
  'the rule stays though whoever takes over missed the address, and an ended pod had it and asked for the same',
  async (t) => {
    const world = createWorld([GROUP])
    world.restart()
    world.standby()
    await runPod(world, 'before', '10.64.0.1')
    await world.clock.advance(5000)
    world.cluster.edit('before', { phase: 'Failed', containersTerminatedAt: world.clock.now() })
    await world.clock.advance(5000)
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(5000)
    world.cluster.edit('a', { addresses: [] })
    // Whoever stands by forgets the pod, and meets it again when we have put the label back.
    world.cluster.edit('a', { labelled: false })
    await world.clock.advance(10_000)
    world.takeOver()
    await world.clock.advance(120_000)
    t.same(held(world), ['10.64.0.1/32'])
    world.cluster.edit('a', { addresses: ['10.64.0.4'] })
    await world.clock.advance(60_000)
    t.same(held(world), ['10.64.0.4/32'], 'until the pod names another')
  }
)

/** One that is gone by the next list, and one that started later at its address and has ended by then. */
async function vanished(world: World): Promise<void> {
  world.restart()
  await runPod(world, 'gone', '10.64.0.1')
  await world.clock.advance(1000)
  await runPod(world, 'later', '10.64.0.1', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:80' })
  await world.clock.advance(15_000)
  world.cluster.breakWatches()
}

t.test('nothing is made for a pod that a list lacks before the API server has said that it is there', async (t) => {
  const world = createWorld([GROUP])
  await vanished(world)
  const marks = { finalized: false, heldByFinalizer: false, gracePeriodSeconds: 0 }
  world.cluster.edit('gone', { ...marks, deletionTimestamp: world.clock.now() })
  world.cluster.edit('later', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  world.ec2.calls.clear()
  world.cluster.relist()
  await world.clock.advance(5000)
  t.same(held(world), [])
  t.notOk(world.ec2.calls.has('AuthorizeSecurityGroupIngress'))
  t.notOk(world.cluster.named('later')?.finalized)
})

t.test('it gets its rules once the API server has said so', async (t) => {
  const world = createWorld([GROUP])
  await vanished(world)
  world.cluster.edit('gone', { labelled: false })
  world.cluster.edit('later', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  world.cluster.relist()
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.1/32'])
})

const asks = (value: string): Record<string, string> => ({ [`sg.amazonaws.com/${GROUP}`]: value })
const ports = ({ ec2 }: World): string[] =>
  [...(ec2.rules.get(GROUP)?.values() ?? [])]
    .map(({ cidr, fromPort, toPort }) => `${cidr} ${fromPort}-${toPort}`)
    .sort()

t.test('who widens its range and loses its label keeps what it has until the API server has answered', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1', asks('tcp:80'))
  await world.clock.advance(20_000)
  world.cluster.latency = () => 2400
  world.cluster.edit('a', { declaration: parseAnnotations(asks('tcp:80-90')) })
  world.cluster.edit('a', { labelled: false })
  await world.clock.advance(4000)
  t.same(ports(world), ['10.64.0.1/32 80-80'])
  await world.clock.advance(20_000)
  t.same(ports(world), ['10.64.0.1/32 80-90'])
})

t.test(
  'who is edited in a full group and loses its label keeps its place, though the API server fails once',
  async (t) => {
    const world = createWorld([GROUP], { RULES_PER_GROUP: '1' })
    world.ec2.quota = 1
    world.restart()
    await runPod(world, 'a', '10.64.0.1', asks('tcp:80'))
    await world.clock.advance(2000)
    await runPod(world, 'b', '10.64.0.2', asks('tcp:80'))
    await world.clock.advance(20_000)
    world.cluster.edit('a', { declaration: parseAnnotations(asks('tcp:443')) })
    world.cluster.edit('a', { labelled: false })
    world.cluster.faults = ['before']
    await world.clock.advance(60_000)
    t.same(ports(world), ['10.64.0.1/32 443-443'])
  }
)

t.test(
  'who takes over revokes no rule that its predecessor made another one of, though its pod is lost to the watch',
  async (t) => {
    const world = createWorld([GROUP], { RULES_PER_GROUP: '1' })
    world.ec2.quota = 1
    world.restart()
    await runPod(world, 'a', '10.64.0.1', asks('tcp:80'))
    await world.clock.advance(30_000)
    world.standby()
    world.cluster.edit('a', { declaration: parseAnnotations(asks('tcp:443')) })
    await world.clock.advance(500)
    world.ec2.readBehind = 8000
    world.ec2.calls.clear()
    world.takeOver()
    await world.clock.advance(60)
    world.cluster.edit('a', { labelled: false })
    world.cluster.faults = ['before']
    await world.clock.advance(5000)
    t.same(ports(world), ['10.64.0.1/32 443-443'])
    t.notOk(world.ec2.calls.has('RevokeSecurityGroupIngress'))
  }
)
