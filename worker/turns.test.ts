/** Calls that wait for their turn in our own buckets, while what they were meant for changes. */
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { LIMITS } from './aws/ec2Client.ts'
import type { Action } from './aws/ec2Client.ts'
import { GROUP, OTHER_GROUP } from './podFixture.ts'
import { createWorld, reasonOf, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const asking = (groupId: SecurityGroupId, ports: string): Record<string, string> => ({
  [`sg.amazonaws.com/${groupId}`]: ports
})
const portsIn = ({ ec2 }: World, groupId: SecurityGroupId): number[] =>
  [...(ec2.rules.get(groupId)?.values() ?? [])].map(({ fromPort }) => fromPort)
const edit = ({ cluster }: World, name: string, groupId: SecurityGroupId, ports: string): void =>
  cluster.edit(name, { declaration: parseAnnotations(asking(groupId, ports)) })

/** Of the action one call goes at once, and one every ten seconds. `before` has the first turn, and `after` the next. */
async function slow(action: Action, quota = 60): Promise<World> {
  const environment = { RULES_PER_GROUP: String(quota), POD_CIDRS: '10.64.0.0/16,fd00:64::/64' }
  const world = createWorld([GROUP, OTHER_GROUP], environment, 'silent', {
    ...LIMITS,
    [action]: { burst: 1, perSecond: 0.1 }
  })
  world.restart()
  await runPod(world, 'before', '10.64.0.1', asking(GROUP, 'tcp:443'))
  if (action === 'AuthorizeSecurityGroupIngress') return world
  await runPod(world, 'after', '10.64.0.2', asking(OTHER_GROUP, 'tcp:443'))
  await world.clock.advance(30_000)
  return world
}

t.test('who comes while others are served waits for COALESCE with those who are still to come', async (t) => {
  const world = createWorld([GROUP], { COALESCE: '10s' })
  world.restart()
  await world.clock.advance(30_000)
  world.ec2.latency = () => 500
  for (const [name, delay] of [
    ['a', 100],
    ['b', 2000],
    ['c', 0]
  ] as const) {
    await runPod(world, name, `10.64.0.${String(name.charCodeAt(0) - 96)}`)
    await world.clock.advance(delay)
  }
  const authorizes = (): number => world.ec2.calls.get('AuthorizeSecurityGroupIngress') ?? 0
  await world.clock.advance(5000)
  t.equal(authorizes(), 1)
  await world.clock.advance(6000)
  t.equal(authorizes(), 2)
  t.same(portsIn(world, GROUP), [443, 443, 443])
})

t.test('nothing is authorized for a pod that has ended meanwhile', async (t) => {
  const world = await slow('AuthorizeSecurityGroupIngress')
  await world.clock.advance(1000)
  await runPod(world, 'after', '10.64.0.2', asking(OTHER_GROUP, 'tcp:443'))
  await world.clock.advance(1000)
  world.cluster.edit('after', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(60_000)
  t.same([portsIn(world, GROUP), world.ec2.authorizes.length], [[443], 1])
  t.equal(world.cluster.named('after')?.finalized, false)
})

t.test('nothing is revoked that a pod asks for again meanwhile', async (t) => {
  const world = await slow('RevokeSecurityGroupIngress')
  edit(world, 'before', GROUP, 'tcp:80')
  await world.clock.advance(1000)
  edit(world, 'after', OTHER_GROUP, 'tcp:80')
  await world.clock.advance(1000)
  edit(world, 'after', OTHER_GROUP, 'tcp:443,tcp:80')
  await world.clock.advance(60_000)
  t.same([portsIn(world, GROUP), portsIn(world, OTHER_GROUP)], [[80], [443, 80]])
  t.equal(world.ec2.revokes.length, 1)
})

t.test('nothing is modified that a pod asks for again meanwhile', async (t) => {
  const world = await slow('ModifySecurityGroupRules', 1)
  edit(world, 'before', GROUP, 'tcp:80')
  await world.clock.advance(1000)
  edit(world, 'after', OTHER_GROUP, 'tcp:80')
  await world.clock.advance(1000)
  edit(world, 'after', OTHER_GROUP, 'tcp:443')
  await world.clock.advance(60_000)
  t.same([portsIn(world, GROUP), portsIn(world, OTHER_GROUP)], [[80], [443]])
  t.equal(world.ec2.modifies.length, 1)
})

t.test('nor what whoever got the address asks for as it is', async (t) => {
  const world = await slow('ModifySecurityGroupRules', 1)
  edit(world, 'before', GROUP, 'tcp:80')
  await world.clock.advance(1000)
  world.cluster.edit('after', { addresses: ['10.64.0.3'] })
  await world.clock.advance(1000)
  await runPod(world, 'heir', '10.64.0.2', asking(OTHER_GROUP, 'tcp:443'))
  await world.clock.advance(9000)
  const sources = [...(world.ec2.rules.get(OTHER_GROUP)?.values() ?? [])].map(({ cidr }) => cidr)
  t.same([sources, world.ec2.modifies.filter(({ groupId }) => groupId === OTHER_GROUP)], [['10.64.0.2/32'], []])
})

t.test('what was not sent after all teaches no quota', async (t) => {
  const world = await slow('AuthorizeSecurityGroupIngress')
  world.ec2.quota = 1
  await world.clock.advance(1000)
  for (const [name, address] of [
    ['first', '10.64.0.2'],
    ['second', '10.64.0.3'],
    ['six', 'fd00:64::4']
  ] as const)
    await runPod(world, name, address, asking(OTHER_GROUP, 'tcp:443'))
  await world.clock.advance(1000)
  world.cluster.edit('six', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(60_000)
  t.equal(reasonOf(world, 'second'), 'RuleQuotaExceeded')
  await runPod(world, 'later', 'fd00:64::5', asking(OTHER_GROUP, 'tcp:443'))
  await world.clock.advance(30_000)
  t.equal(reasonOf(world, 'later'), 'RulesInEffect')
})
