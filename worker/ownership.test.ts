/** Lives among the rules of others: what is ours is what carries our owner tag, and nothing else is ever touched. */
import t from 'tap'
import { pino } from 'pino'
import type { Protocol } from '../shared/rules.ts'
import { createMeasure } from './measure.ts'
import type { MeasureDeps } from './measure.ts'
import type { ObservedRule } from './securityGroups.ts'
import { GROUP, OTHER_GROUP } from './podFixture.ts'
import { createWorld, LAG, reasonOf, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const NAMESAKE = 'demo/uid-of-another-kube-system'
const rulesOf = ({ ec2 }: World, groupId = GROUP): ObservedRule[] => [...(ec2.rules.get(groupId)?.values() ?? [])]
const held = (world: World): [string, boolean][] => rulesOf(world).map(({ cidr, owned }) => [cidr, owned])

function put({ ec2 }: World, cidr: string, tweak: Partial<ObservedRule>, groupId = GROUP): void {
  const rule = { protocol: 'tcp' as Protocol, fromPort: 443, toPort: 443, cidr, owned: false, description: '' }
  ec2.byHand((rules, id) => rules.get(groupId)?.set(id, { ...rule, id, ...tweak }))
}

function end({ clock, cluster }: World, name: string): void {
  cluster.edit(name, { phase: 'Succeeded', containersTerminatedAt: clock.now() })
}

const others: { name: string; tweak: Partial<ObservedRule> }[] = [
  { name: 'a person', tweak: {} },
  { name: 'a person who copied our description', tweak: { description: 'demo/web/a' } },
  { name: 'another cluster', tweak: { owner: 'other/uid-of-kube-system' } },
  { name: 'a cluster whose id begins with ours', tweak: { owner: 'demo-2/uid-of-kube-system' } },
  { name: 'another cluster with our id', tweak: { owner: NAMESAKE, description: 'demo/web/a' } }
]
for (const { name, tweak } of others) {
  t.test(`a rule of ${name} serves, stays when its pod ends, and is replaced when it goes before`, async (t) => {
    const world = createWorld([GROUP])
    put(world, '10.64.0.1/32', tweak)
    world.restart()
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(5000)
    t.same([held(world), reasonOf(world, 'a')], [[['10.64.0.1/32', false]], 'RulesInEffect'])
    end(world, 'a')
    await world.clock.advance(130_000)
    t.same([held(world), world.cluster.named('a')?.finalized], [[['10.64.0.1/32', false]], false])
    t.same([world.ec2.revokes, world.ec2.modifies], [[], []])
    await runPod(world, 'next', '10.64.0.1')
    await world.clock.advance(5000)
    world.ec2.byHand((rules) => rules.get(GROUP)?.clear())
    await world.clock.advance(61_000)
    t.same([held(world), reasonOf(world, 'next')], [[['10.64.0.1/32', true]], 'RulesInEffect'])
    end(world, 'next')
    await world.clock.advance(5000)
    t.same(held(world), [])
  })
}

t.test('our owner tag is taken off a rule by hand: it serves on, and is nobody of ours any more', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(20_000)
  world.ec2.byHand((rules) => {
    for (const rule of rulesOf(world)) rules.get(GROUP)?.set(rule.id, { ...rule, owned: false })
  })
  await world.clock.advance(61_000)
  t.equal(reasonOf(world, 'a'), 'RulesInEffect')
  end(world, 'a')
  await world.clock.advance(10_000)
  t.same([held(world), world.cluster.named('a')?.finalized], [[['10.64.0.1/32', false]], false])
})

for (const fault of ['lostAfter', 'internalAfter', 'hangAfter'] as const) {
  t.test(`${fault}, and reads that lag: what the call made is ours all the same`, async (t) => {
    const world = createWorld([GROUP])
    world.restart()
    await world.clock.advance(30_000)
    world.ec2.readBehind = LAG - 1000
    world.cluster.create('a', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' })
    await world.clock.advance(1000)
    world.ec2.faults = [fault]
    world.cluster.edit('a', { addresses: ['10.64.0.1'], phase: 'Running' })
    await world.clock.advance(30_000)
    t.same([held(world), reasonOf(world, 'a')], [[['10.64.0.1/32', true]], 'RulesInEffect'])
    end(world, 'a')
    await world.clock.advance(30_000)
    t.same([held(world), world.cluster.named('a')?.finalized], [[], false])
  })
}

t.test(
  'rules of a namesake are adopted by their tag: claimed ones serve on, the others are proven orphans',
  async (t) => {
    const world = createWorld([GROUP, OTHER_GROUP])
    put(world, '10.64.0.1/32', { owner: NAMESAKE, description: 'demo/web/a' })
    put(world, '10.64.0.9/32', { owner: NAMESAKE, description: 'demo/web/gone' })
    put(world, '10.64.0.9/32', { owner: NAMESAKE, description: 'demo/web/gone' }, OTHER_GROUP)
    put(world, '192.0.2.1/32', {})
    world.restart()
    await runPod(world, 'a', '10.64.0.1')
    await world.clock.advance(200_000)
    t.same([rulesOf(world).length, rulesOf(world, OTHER_GROUP).length, world.ec2.revokes], [3, 1, []])
    world.ec2.byHand((rules) => {
      for (const group of rules.values()) {
        for (const [id, { owner, ...rule }] of [...group])
          if (owner === NAMESAKE) group.set(id, { ...rule, owned: true })
      }
    })
    await world.clock.advance(130_000)
    t.same(held(world), [
      ['10.64.0.1/32', true],
      ['192.0.2.1/32', false]
    ])
    t.same([rulesOf(world, OTHER_GROUP), reasonOf(world, 'a')], [[], 'RulesInEffect'])
  }
)

t.test('rules of a namesake are logged when they come and when their number changes', async (t) => {
  const lines: { owner: string; rules: number }[] = []
  const logger = pino({ level: 'warn' }, { write: (line) => lines.push(JSON.parse(line) as (typeof lines)[number]) })
  const counts: number[] = []
  const metrics = { namesakeRules: (count: number) => counts.push(count) }
  const measure = createMeasure({ logger, metrics } as unknown as MeasureDeps)
  const rule = (count: number) => ({ groupId: GROUP, owner: NAMESAKE, count })
  for (const rules of [[], [rule(2)], [rule(2)], [rule(3)], [], [rule(3)]]) measure.namesakes(rules)
  t.same(
    lines.map(({ owner, rules }) => [owner, rules]),
    [2, 3, 3].map((count) => [NAMESAKE, count])
  )
  t.same(counts, [0, 2, 2, 3, 0, 3])
})
