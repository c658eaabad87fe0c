/** Lives with a quota that is not what RULES_PER_GROUP says, or not for long. */
import t from 'tap'
import type { Protocol } from '../shared/rules.ts'
import { GROUP, OTHER_GROUP } from './podFixture.ts'
import { createWorld, LAG, reasonOf, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const held = ({ ec2 }: World): number => ec2.rules.get(GROUP)?.size ?? 0
const authorizes = ({ ec2 }: World): number => ec2.calls.get('AuthorizeSecurityGroupIngress') ?? 0

async function crowd(world: World, count: number): Promise<void> {
  for (let index = 1; index <= count; index++) await runPod(world, `p-${String(index)}`, `10.64.1.${String(index)}`)
}

/** A rule of somebody else. */
function fill({ ec2 }: World, cidr: string): string {
  let made = ''
  ec2.byHand((rules, id) => {
    made = id
    const rule = { id, owned: false, description: '', protocol: 'tcp' as Protocol, fromPort: 1, toPort: 1, cidr }
    rules.get(GROUP)?.set(id, rule)
  })
  return made
}

t.test(
  'a quota below RULES_PER_GROUP costs one call each five sweeps, and a raised one is filled at once',
  async (t) => {
    const world = createWorld([GROUP])
    world.ec2.quota = 5
    world.restart()
    await crowd(world, 12)
    await world.clock.advance(30_000)
    t.same([held(world), reasonOf(world, 'p-6')], [5, 'RuleQuotaExceeded'])
    world.ec2.calls.clear()
    await world.clock.advance(1_800_000)
    t.equal(held(world), 5)
    t.ok(authorizes(world) >= 5 && authorizes(world) <= 6, `${String(authorizes(world))} calls in half an hour`)
    world.ec2.quota = 10
    await world.clock.advance(6 * 60_000)
    t.same([held(world), reasonOf(world, 'p-10'), reasonOf(world, 'p-11')], [10, 'RulesInEffect', 'RuleQuotaExceeded'])
    world.ec2.quota = 60
    await world.clock.advance(6 * 60_000)
    t.same([held(world), reasonOf(world, 'p-12')], [12, 'RulesInEffect'])
  }
)

t.test('a place that somebody else takes while it is to be tried does not end the trying', async (t) => {
  const world = createWorld([GROUP])
  world.ec2.quota = 2
  world.restart()
  await crowd(world, 3)
  await world.clock.advance(5 * 60_000 - 10_000)
  fill(world, '10.64.9.1/32')
  world.ec2.quota = 60
  await world.clock.advance(7 * 60_000)
  t.same([held(world), reasonOf(world, 'p-3')], [4, 'RulesInEffect'])
})

t.test('a rule that is refused for itself when one more is tried tells nothing of the quota', async (t) => {
  const world = createWorld([GROUP])
  world.ec2.quota = 5
  world.ec2.refuses = ({ cidr }) => cidr === '10.64.1.6/32'
  world.restart()
  await crowd(world, 20)
  await world.clock.advance(30_000)
  world.ec2.calls.clear()
  await world.clock.advance(1_800_000)
  t.equal(held(world), 5)
  t.ok(authorizes(world) <= 12, `${String(authorizes(world))} calls in half an hour`)
})

/** Pods of both families, which ask all at once. */
async function crowdOfBoth(world: World, count: number): Promise<void> {
  for (let index = 1; index <= count; index++) {
    const name = `both-${String(index)}`
    world.cluster.create(name, { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' })
    await world.clock.advance(10)
    const addresses = [`10.64.2.${String(index)}`, `fd00:64::${String(index)}`]
    world.cluster.edit(name, { addresses, phase: 'Running', startedAt: world.clock.now() })
  }
}

const BOTH = { POD_CIDRS: '10.64.0.0/16,fd00:64::/64' }
const heldOf = ({ ec2 }: World, family: ':' | '.'): number =>
  [...(ec2.rules.get(GROUP)?.values() ?? [])].filter(({ cidr, owned }) => owned && cidr.includes(family)).length

t.test('a family that was not sent, for somebody made one of the rules meanwhile, is not taken for full', async (t) => {
  const world = createWorld([GROUP], BOTH)
  world.ec2.quota = 3
  await crowd(world, 2)
  await crowdOfBoth(world, 2)
  world.restart()
  for (let tries = 0; authorizes(world) === 0 && tries < 10_000; tries++) await world.clock.advance(1)
  // Right before the call has its effect, and no read shows it.
  world.ec2.readBehind = LAG
  world.ec2.byHand((rules, id) => {
    const rule = { protocol: 'tcp' as Protocol, fromPort: 443, toPort: 443, cidr: '10.64.2.2/32' }
    rules.get(GROUP)?.set(id, { ...rule, id, owned: false, description: '' })
  })
  await world.clock.advance(10_000)
  t.same([heldOf(world, '.'), heldOf(world, ':')], [2, 2])
})

t.test('a place that is left while EC2 refuses for want of one is not taken for one that never was', async (t) => {
  for (let offset = 0; offset <= 200; offset += 10) {
    const world = createWorld([GROUP])
    world.ec2.quota = 3
    world.ec2.latency = () => 20
    world.restart()
    await crowd(world, 3)
    await world.clock.advance(30_000)
    await runPod(world, 'late', '10.64.0.9')
    await world.clock.advance(offset)
    world.cluster.edit('p-1', { phase: 'Succeeded' })
    await world.clock.advance(10_000)
    t.equal(reasonOf(world, 'late'), 'RulesInEffect', `left ${String(offset)} ms after it was asked for`)
  }
})

t.test('a family that takes one more than it did is tried at once with all, though the other is full', async (t) => {
  const world = createWorld([GROUP], BOTH)
  world.ec2.quota = 2
  await crowdOfBoth(world, 5)
  world.restart()
  await world.clock.advance(30_000)
  t.same([heldOf(world, '.'), heldOf(world, ':')], [2, 2])
  // Room in one family only: the other is filled by others.
  world.ec2.quota = 6
  for (const index of [1, 2, 3, 4]) fill(world, `192.0.2.${String(index)}/32`)
  await world.clock.advance(6 * 60_000)
  t.same([heldOf(world, '.'), heldOf(world, ':')], [2, 5])
})

t.test('RULES_PER_GROUP is never passed, whatever EC2 would take', async (t) => {
  const world = createWorld([GROUP], { RULES_PER_GROUP: '3' })
  world.restart()
  await crowd(world, 5)
  await world.clock.advance(600_000)
  t.same([held(world), reasonOf(world, 'p-4')], [3, 'RuleQuotaExceeded'])
})

t.test('the rules of others count, and a place that one of them leaves is given to the oldest', async (t) => {
  const world = createWorld([GROUP], { RULES_PER_GROUP: '2' })
  world.ec2.quota = 2
  const foreign = fill(world, '192.0.2.1/32')
  world.restart()
  await crowd(world, 3)
  await world.clock.advance(5000)
  t.same(
    ['p-1', 'p-2', 'p-3'].map((name) => reasonOf(world, name)),
    ['RulesInEffect', 'RuleQuotaExceeded', 'RuleQuotaExceeded']
  )
  t.match(world.cluster.named('p-3')?.condition?.message, /number 2 of|2nd of|2 of 2/)
  world.ec2.byHand((rules) => rules.get(GROUP)?.delete(foreign))
  await world.clock.advance(61_000)
  t.same([reasonOf(world, 'p-2'), reasonOf(world, 'p-3')], ['RulesInEffect', 'RuleQuotaExceeded'])
})

t.test('a rule of others that a lagging read hides teaches no quota that is too low for good', async (t) => {
  const world = createWorld([GROUP], { RULES_PER_GROUP: '4' })
  world.ec2.quota = 4
  world.restart()
  await crowd(world, 2)
  await world.clock.advance(30_000)
  world.ec2.readBehind = LAG - 1000
  const foreign = [fill(world, '192.0.2.1/32'), fill(world, '192.0.2.2/32')]
  await runPod(world, 'late', '10.64.0.9')
  await world.clock.advance(61_000)
  t.equal(reasonOf(world, 'late'), 'RuleQuotaExceeded')
  world.ec2.byHand((rules) => rules.get(GROUP)?.delete(foreign[0] ?? ''))
  await world.clock.advance(75_000)
  t.equal(reasonOf(world, 'late'), 'RulesInEffect', 'four fitted before, so four fit')
})

t.test('each family has its own quota', async (t) => {
  const world = createWorld([GROUP, OTHER_GROUP], { POD_CIDRS: '10.64.0.0/16,fd00:64::/64', RULES_PER_GROUP: '1' })
  world.restart()
  await runPod(world, 'four', '10.64.0.1')
  await runPod(world, 'six', 'fd00:64::1')
  await runPod(world, 'full', 'fd00:64::2')
  await world.clock.advance(5000)
  t.same(
    ['four', 'six', 'full'].map((name) => reasonOf(world, name)),
    ['RulesInEffect', 'RulesInEffect', 'RuleQuotaExceeded']
  )
})

t.test('a family is full only when its claims were sent, whatever became of the other one', async (t) => {
  const world = createWorld([GROUP], { POD_CIDRS: '10.64.0.0/16,fd00:64::/64' })
  world.ec2.quota = 2
  world.restart()
  await runPod(world, 'z', '10.64.0.9')
  await world.clock.advance(5000)
  world.ec2.faults = ['lostBefore']
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(200)
  t.same(world.ec2.faults, [])
  for (const name of ['b', 'c', 'd']) await runPod(world, name, `fd00:64::${name}`)
  await world.clock.advance(15_000)
  const sources = [...(world.ec2.rules.get(GROUP)?.values() ?? [])].map(({ cidr }) => cidr).sort()
  t.same(sources, ['10.64.0.1/32', '10.64.0.9/32', 'fd00:64::b/128', 'fd00:64::c/128'])
})
