/** Steps of the wall clock, which the worker compares with the pods' timestamps. */
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import { GROUP } from './podFixture.ts'
import { createWorld, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const MINUTES = 60_000

/** A pod that has ended and whose rule cannot be revoked. */
async function stuck(wallOff: number): Promise<World> {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  world.ec2.denied.add('RevokeSecurityGroupIngress')
  world.wallOff = wallOff
  world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(10_000)
  return world
}

t.test('a step forward frees no pod before its time', async (t) => {
  const world = await stuck(-10 * MINUTES)
  world.wallOff = 0
  await world.clock.advance(60_000)
  t.equal(world.cluster.named('a')?.finalized, true)
  await world.clock.advance(60_000)
  t.equal(world.cluster.named('a')?.finalized, false)
})

t.test('a step back holds no pod beyond MAX_HOLD', async (t) => {
  const world = await stuck(0)
  world.wallOff = -60 * MINUTES
  await world.clock.advance(130_000)
  t.equal(world.cluster.named('a')?.finalized, false)
})

t.test('a step back keeps no mark from being put back', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(5000)
  world.cluster.edit('a', { finalized: false, heldByFinalizer: false })
  await world.clock.advance(10_000)
  world.wallOff = -60 * MINUTES
  world.cluster.edit('a', { finalized: false, heldByFinalizer: false })
  await world.clock.advance(20_000)
  t.equal(world.cluster.named('a')?.finalized, true)
})

t.test(
  'a pod that ended long before it was seen is released only after an attempt to revoke what it had',
  async (t) => {
    const world = createWorld([GROUP])
    world.restart()
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(5000)
    // What is revoked of a living pod is none.
    world.cluster.edit('a', { declaration: parseAnnotations({ [`sg.amazonaws.com/${GROUP}`]: 'tcp:80' }) })
    await world.clock.advance(5000)
    world.cluster.breakWatches()
    world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
    await world.clock.advance(10 * MINUTES)
    const left: number[] = []
    world.cluster.onRelease = () => left.push(world.ec2.rules.get(GROUP)?.size ?? 0)
    world.cluster.relist()
    await world.clock.advance(5000)
    t.same(left, [0])
    t.notOk(world.cluster.events.some(({ reason }) => reason === 'FinalizerHoldExceeded'))
  }
)
