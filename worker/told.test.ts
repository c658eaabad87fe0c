/** What pods are told over time: conditions follow, Events tell news, and a crowd never becomes a storm. */
import t from 'tap'
import { GROUP } from './podFixture.ts'
import { createWorld, reasonOf, runPod } from './worldFixture.ts'
import type { Fault, World } from './worldFixture.ts'

const messageOf = ({ cluster }: World, name: string): string => cluster.named(name)?.condition?.message ?? ''
/** Events as `pod reason`. */
const told = ({ cluster }: World): string[] => cluster.events.map(({ pod, reason }) => `${pod.name} ${reason}`)
const address = (index: number): string => `10.64.${String(index >> 8)}.${String(index & 255)}`

/** Counts what is written onto pods. */
function countWrites({ cluster }: World): () => number {
  let writes = 0
  const before = cluster.onChange
  cluster.onChange = (one, other) => {
    if (one !== undefined && other !== undefined && one.condition !== other.condition) writes += 1
    before(one, other)
  }
  return () => writes
}

t.test('of two living pods that report one address both are told, once', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'older', '10.64.0.1')
  await world.clock.advance(2000)
  await runPod(world, 'younger', '10.64.0.1')
  await world.clock.advance(120_000)
  t.same(reasonOf(world, 'older'), 'AddressConflict')
  t.same(reasonOf(world, 'younger'), 'RulesInEffect')
  const conflicts = world.cluster.events.filter(({ reason }) => reason === 'AddressConflict')
  t.same(
    conflicts.map(({ note, pod, type }) => [pod.name, type, note]),
    [
      ['older', 'Warning', "'10.64.0.1' is reported by a pod that started later, which holds it now"],
      ['younger', 'Warning', "'10.64.0.1' is reported by pod 'older' too, which started earlier: this pod holds it"]
    ]
  )
})

t.test('200 pods wait for room: one Event each, and little is written when one goes', async (t) => {
  const world = createWorld([GROUP])
  world.ec2.quota = 10
  const writes = countWrites(world)
  for (let index = 0; index < 210; index++) await runPod(world, `pod-${String(index)}`, address(index))
  world.restart()
  await world.clock.advance(60_000)
  t.equal(told(world).filter((event) => event.endsWith('RuleQuotaExceeded')).length, 200)
  t.match(messageOf(world, 'pod-10'), 'number 1 of those that wait (more than 100 in all)')
  t.match(messageOf(world, 'pod-209'), 'beyond number 100 of')
  const [events, written] = [world.cluster.events.length, writes()]
  await world.clock.advance(600_000)
  t.equal(world.cluster.events.length, events, 'waiting is no news')
  t.equal(writes(), written, 'and nothing is written while nothing changes')
  world.cluster.edit('pod-0', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(60_000)
  t.equal(reasonOf(world, 'pod-10'), 'RulesInEffect')
  t.same(told(world).slice(events).sort(), ['pod-0 RulesRevoked', 'pod-10 RulesInEffect'])
  t.ok(writes() - written <= 15, `${String(writes() - written)} conditions written`)
})

t.test('EC2 comes and goes every few seconds: pods that have their rules are told nothing', async (t) => {
  const world = createWorld([GROUP])
  for (let index = 0; index < 100; index++) await runPod(world, `pod-${String(index)}`, address(index))
  world.ec2.quota = 1000
  world.restart({ RULES_PER_GROUP: '1000' })
  await world.clock.advance(10_000)
  t.equal(told(world).length, 100)
  const writes = countWrites(world)
  for (let round = 0; round < 20; round++) {
    world.ec2.expired = round % 2 === 0
    await world.clock.advance(7000)
  }
  t.equal(told(world).length, 100)
  t.equal(writes(), 0)
})

t.test('a call that is throttled once is told to nobody; an outage that lasts is, once', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await world.clock.advance(20_000)
  const throttle = (times: number): void => void world.ec2.faults.push(...Array<Fault>(times).fill('throttled'))
  throttle(1)
  await runPod(world, 'quick', address(1))
  await world.clock.advance(20_000)
  t.same(told(world), ['quick RulesInEffect'])
  throttle(6)
  await runPod(world, 'slow', address(2))
  await world.clock.advance(120_000)
  t.same(told(world).slice(1), ['slow Throttled', 'slow RulesInEffect'])
})
