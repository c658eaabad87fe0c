/** Lives across a restart of the worker, and what a long hold, a refusal or a stripped label may cost then. */
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import { GROUP, OTHER_GROUP } from './podFixture.ts'
import { createWorld, reasonOf, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const HOUR = 3_600_000
const held = ({ ec2 }: World, groupId = GROUP): string[] =>
  [...(ec2.rules.get(groupId)?.values() ?? [])].map(({ cidr, fromPort }) => `${cidr} ${String(fromPort)}`).sort()
const complete = ({ clock, cluster }: World, name: string): void =>
  cluster.edit(name, { phase: 'Succeeded', containersTerminatedAt: clock.now() })

/** `b` lives at the address that the completed `a` had, and inherited its rule. */
async function inherited(environment: Record<string, string> = {}): Promise<World> {
  const world = createWorld([GROUP], environment)
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(2000)
  complete(world, 'a')
  await world.clock.advance(5000)
  await runPod(world, 'b', '10.64.0.1')
  await world.clock.advance(60_000)
  return world
}

t.test('an error is no denial, after a restart either, for who inherited a rule', async (t) => {
  const world = await inherited({ PERMISSIONS: 'enforce' })
  t.same([held(world), world.cluster.named('a')?.finalized], [['10.64.0.1/32 443'], false])
  world.cluster.may = () => Promise.reject(new Error('the authorizer is down'))
  world.restart()
  await world.clock.advance(600_000)
  t.same(held(world), ['10.64.0.1/32 443'])
})

t.test('one denial after a restart takes nothing away', async (t) => {
  const world = await inherited({ PERMISSIONS: 'enforce' })
  let asked = 0
  world.cluster.may = () => Promise.resolve(asked++ > 0)
  world.restart()
  await world.clock.advance(1000)
  t.same(held(world), ['10.64.0.1/32 443'])
})

t.test('an annotation that went wrong while no worker lived is told by the next one', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'p', '10.64.0.1')
  await world.clock.advance(5000)
  t.equal(reasonOf(world, 'p'), 'RulesInEffect')
  world.kill()
  world.ec2.rules.get(GROUP)?.clear()
  world.cluster.edit('p', { declaration: parseAnnotations({ [`sg.amazonaws.com/${GROUP}`]: 'tcp' }) })
  world.restart()
  await world.clock.advance(5000)
  t.equal(reasonOf(world, 'p'), 'InvalidAnnotation')
})

t.test('the brake holds inherited rules too, over a restart', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  const names = Array.from({ length: 30 }, (_, index) => String(index + 1))
  for (const name of names) await runPod(world, `a-${name}`, `10.64.1.${name}`)
  await world.clock.advance(5000)
  for (const name of names) complete(world, `a-${name}`)
  await world.clock.advance(5000)
  for (const name of names) await runPod(world, `b-${name}`, `10.64.1.${name}`)
  await world.clock.advance(5000)
  world.restart({ POD_CIDRS: '10.46.0.0/16' })
  await world.clock.advance(60_000)
  t.equal(held(world).length, 30)
})

const holds: { name: string; prepare: (world: World) => Promise<void> }[] = [
  {
    name: 'two pods that had one address and ended while no worker lived',
    async prepare(world) {
      world.kill()
      complete(world, 'a')
      await world.clock.advance(10)
      await runPod(world, 'b', '10.64.0.1')
      complete(world, 'b')
      world.ec2.denied.add('RevokeSecurityGroupIngress')
    }
  },
  {
    name: 'an evicted pod whose status names no address',
    async prepare(world) {
      world.kill()
      world.cluster.edit('a', { phase: 'Failed', addresses: [] })
      world.ec2.denied.add('RevokeSecurityGroupIngress')
    }
  },
  {
    name: 'the same, when pods cannot be listed by address',
    async prepare(world) {
      world.kill()
      world.cluster.edit('a', { phase: 'Failed', addresses: [] })
      world.cluster.unlisted = true
    }
  },
  {
    name: 'a pod that asked for nothing any more before it ended',
    async prepare(world) {
      world.ec2.denied.add('RevokeSecurityGroupIngress')
      world.cluster.edit('a', { annotated: false, declaration: parseAnnotations({}) })
      await world.clock.advance(2000)
      complete(world, 'a')
    }
  }
]
for (const { name, prepare } of holds) {
  t.test(`held for MAX_HOLD and no longer: ${name}`, async (t) => {
    const world = createWorld([GROUP])
    world.restart()
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(2000)
    await prepare(world)
    world.restart()
    await world.clock.advance(60_000)
    t.equal(world.cluster.named('a')?.finalized, true)
    await world.clock.advance(80_000)
    t.same(
      [...world.cluster.pods.values()].filter(({ finalized }) => finalized).map((pod) => pod.name),
      []
    )
  })
}

t.test('a pod without our label costs a few calls a minute, not ten a second', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.cluster.edit('a', { deletionTimestamp: world.clock.now() + HOUR, gracePeriodSeconds: 3600 })
  world.cluster.edit('a', { labelled: false, finalized: false, heldByFinalizer: false })
  await world.clock.advance(1000)
  world.cluster.calls = 0
  await world.clock.advance(60_000)
  t.ok(world.cluster.calls <= 60, String(world.cluster.calls))
})

t.test('a brake that could not do its few withdrawals lets go once their pods have ended', async (t) => {
  const world = createWorld([GROUP, OTHER_GROUP])
  world.restart()
  const names = Array.from({ length: 15 }, (_, index) => String(index + 1))
  for (const name of names) await runPod(world, `one-${name}`, `10.64.1.${name}`)
  for (const name of names)
    await runPod(world, `two-${name}`, `10.64.2.${name}`, { [`sg.amazonaws.com/${OTHER_GROUP}`]: 'tcp:443' })
  await world.clock.advance(5000)
  world.ec2.denied.add('RevokeSecurityGroupIngress')
  world.ec2.optedIn.delete(GROUP)
  await world.clock.advance(180_000)
  for (const name of names) complete(world, `one-${name}`)
  world.ec2.denied.clear()
  await world.clock.advance(60_000)
  t.same(held(world), [])
  world.ec2.optedIn.delete(OTHER_GROUP)
  await world.clock.advance(240_000)
  t.same(held(world, OTHER_GROUP), [])
})

t.test('rules that the brake keeps take their room: who comes later waits, and EC2 is not asked in vain', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  world.ec2.quota = 30
  for (let index = 1; index <= 30; index++) await runPod(world, `p-${String(index)}`, `10.64.1.${String(index)}`)
  await world.clock.advance(70_000)
  world.restart({ POD_CIDRS: '10.64.2.0/24', RULES_PER_GROUP: '30' })
  await world.clock.advance(70_000)
  await runPod(world, 'n', '10.64.2.1')
  await world.clock.advance(10_000)
  world.ec2.calls.clear()
  await world.clock.advance(600_000)
  t.equal(world.ec2.calls.get('AuthorizeSecurityGroupIngress') ?? 0, 0)
  t.match(world.cluster.named('n')?.condition?.message, 'number 1 of those that wait')
})

t.test('a completed pod, whose status goes on naming its address, takes it from nobody', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'old', '10.64.0.5')
  await world.clock.advance(2000)
  await runPod(world, 'job', '10.64.0.1')
  await world.clock.advance(2000)
  complete(world, 'job')
  await world.clock.advance(5000)
  world.cluster.edit('old', { addresses: ['10.64.0.1'] })
  await world.clock.advance(5000)
  world.cluster.edit('old', { addresses: [] })
  world.cluster.edit('job', { deletionTimestamp: world.clock.now(), gracePeriodSeconds: 30 })
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.1/32 443'])
})

t.test("an address that another pod newly reports is that pod's, whoever merely remembers it", async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'older', '10.64.0.1', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:80' })
  await world.clock.advance(2000)
  await runPod(world, 'later', '10.64.0.2')
  await world.clock.advance(2000)
  world.cluster.edit('later', { addresses: [] })
  await world.clock.advance(1000)
  world.cluster.edit('older', { addresses: ['10.64.0.2'] })
  await world.clock.advance(10_000)
  t.same([held(world), reasonOf(world, 'older')], [['10.64.0.2/32 80'], 'RulesInEffect'])
})

t.test('a worker that starts where groups may not be read revokes what ended all the same', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(2000)
  world.ec2.denied.add('DescribeSecurityGroups')
  world.restart()
  await world.clock.advance(2000)
  complete(world, 'a')
  await world.clock.advance(30_000)
  t.same([held(world), world.cluster.named('a')?.finalized], [[], false])
})

t.test('what EC2 hid from a new worker it finds after the lag, though nodes could not be looked for', async (t) => {
  const world = createWorld([GROUP], { SWEEP_INTERVAL: '1h' })
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(30_000)
  world.kill()
  await runPod(world, 'late', '10.64.0.2')
  world.ec2.byHand((rules, id) => {
    const [made] = rules.get(GROUP)?.values() ?? []
    if (made !== undefined)
      rules.get(GROUP)?.set(id, { ...made, id, cidr: '10.64.0.9/32', description: 'demo/web/gone' })
  })
  world.ec2.readBehind = 9000
  world.cluster.nodes.clear()
  world.cluster.nodeless = true
  world.restart()
  await world.clock.advance(3000)
  t.ok(held(world).includes('10.64.0.9/32 443'), 'hidden')
  await world.clock.advance(40_000)
  t.notOk(held(world).includes('10.64.0.9/32 443'))
})

t.test(
  'a leader whose lease is in doubt changes no pod, however long it holds one, and goes on once it is sure',
  async (t) => {
    const world = createWorld([GROUP])
    world.restart()
    await runPod(world, 'p', '10.64.0.1')
    await world.clock.advance(5000)
    world.leaseInDoubt = true
    await runPod(world, 'q', '10.64.0.2')
    complete(world, 'p')
    const before = JSON.stringify([...world.cluster.pods.values()])
    await world.clock.advance(600_000)
    t.equal(JSON.stringify([...world.cluster.pods.values()]), before)
    t.same(held(world), ['10.64.0.1/32 443'])
    world.leaseInDoubt = false
    await world.clock.advance(60_000)
    t.same([held(world), world.cluster.named('p')?.finalized], [['10.64.0.2/32 443'], false])
  }
)
