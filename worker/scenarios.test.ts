/** Lives that need a name: each is one that the random histories would meet too rarely. */
import t from 'tap'
import type { Protocol } from '../shared/rules.ts'
import { GROUP } from './podFixture.ts'
import { createWorld } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const ASK = { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' }
const held = ({ ec2 }: World): string[] => [...(ec2.rules.get(GROUP)?.values() ?? [])].map(({ cidr }) => cidr).sort()
const reasonOf = ({ cluster }: World, name: string): string | undefined => cluster.named(name)?.condition?.reason

async function run(world: World, name: string, address: string): Promise<void> {
  world.cluster.create(name, ASK)
  await world.clock.advance(10)
  world.cluster.edit(name, { addresses: [address], phase: 'Running', startedAt: world.clock.now() })
}

t.test('a quota below RULES_PER_GROUP is found out by filling the group, the oldest pods first', async (t) => {
  const world = createWorld([GROUP])
  world.ec2.quota = 3
  for (const index of [1, 2, 3, 4, 5]) await run(world, `pod-${String(index)}`, `10.64.0.${String(index)}`)
  world.restart()
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.1/32', '10.64.0.2/32', '10.64.0.3/32'])
  t.same([reasonOf(world, 'pod-3'), reasonOf(world, 'pod-4')], ['RulesInEffect', 'RuleQuotaExceeded'])
  world.cluster.edit('pod-1', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.2/32', '10.64.0.3/32', '10.64.0.4/32'], 'whose place is free is next')
})

t.test('a worker that may not authorize still revokes what ended, and orphans', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await run(world, 'ending', '10.64.0.1')
  await world.clock.advance(1000)
  world.kill()
  world.ec2.byHand((rules, id) =>
    rules.get(GROUP)?.set(id, {
      id,
      owned: true,
      description: 'demo/web/long-gone',
      protocol: 'tcp' as Protocol,
      fromPort: 1,
      toPort: 1,
      cidr: '10.64.0.9/32'
    })
  )
  world.ec2.denied.add('AuthorizeSecurityGroupIngress')
  world.cluster.edit('ending', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await run(world, 'coming', '10.64.0.2')
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
  world.ec2.byHand((rules, id) =>
    rules.get(GROUP)?.set(id, {
      id,
      owned: true,
      description: 'demo/web/long-gone',
      protocol: 'tcp' as Protocol,
      fromPort: 1,
      toPort: 1,
      cidr: '10.64.0.9/32'
    })
  )
  await run(world, 'coming', '10.64.0.2')
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
  await run(world, 'ending', '10.64.0.1')
  await world.clock.advance(1000)
  world.ec2.optedIn.clear()
  await world.clock.advance(61_000)
  world.ec2.denied.add('DescribeSecurityGroups')
  await run(world, 'coming', '10.64.0.2')
  world.cluster.edit('ending', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(20_000)
  t.same(held(world), [])
  t.equal(world.cluster.named('ending')?.finalized, false)
})
