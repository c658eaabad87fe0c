/** Lives with rules that EC2 refuses for themselves: nothing is given away for them, and they keep nobody else waiting. */
import { ModifySecurityGroupRulesCommand } from '@aws-sdk/client-ec2'
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import type { Protocol } from '../shared/rules.ts'
import { GROUP } from './podFixture.ts'
import { createWorld, reasonOf, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const MODIFY = 'ModifySecurityGroupRules'
const HOUR = 3_600_000
const ask = (ports: string): Record<string, string> => ({ [`sg.amazonaws.com/${GROUP}`]: ports })
const held = ({ ec2 }: World): string[] =>
  [...(ec2.rules.get(GROUP)?.values() ?? [])].map(({ cidr, fromPort }) => `${cidr}:${String(fromPort)}`).sort()
const at = (...rules: readonly string[]): string[] =>
  rules.map((rule) => rule.replace(/^(\d+):/, '10.64.0.$1/32:')).sort()

function edit({ cluster }: World, name: string, ports: string): void {
  cluster.edit(name, { declaration: parseAnnotations(ask(ports)) })
}

async function worldOf(quota: string, pods: Readonly<Record<string, string>>): Promise<World> {
  const world = createWorld([GROUP], { RULES_PER_GROUP: quota })
  world.restart()
  for (const [index, [name, ports]] of Object.entries(pods).entries()) {
    await runPod(world, name, `10.64.0.${String(index + 1)}`, ask(ports))
    await world.clock.advance(1000)
  }
  await world.clock.advance(30_000)
  return world
}

t.test('more rules than there is room for, refused for a while, are made when EC2 takes them', async (t) => {
  const world = createWorld([GROUP], { RULES_PER_GROUP: '3' })
  world.ec2.refuses = () => true
  world.restart()
  for (let index = 1; index <= 4; index++) await runPod(world, `p-${String(index)}`, `10.64.0.${String(index)}`)
  await world.clock.advance(120_000)
  t.same([held(world), reasonOf(world, 'p-1')], [[], 'AuthorizeFailed'])
  world.ec2.refuses = () => false
  await world.clock.advance(120_000)
  t.same(held(world), at('1:443', '2:443', '3:443'))
  await world.clock.advance(120_000)
  t.equal(reasonOf(world, 'p-4'), 'RuleQuotaExceeded', 'what keeps it out is told')
})

t.test('who waits behind refused rules is served at once', async (t) => {
  const world = await worldOf('2', { y: 'tcp:443' })
  world.ec2.refuses = ({ toPort }) => toPort === 444
  for (let index = 1; index <= 4; index++)
    world.cluster.create(`p-${String(index)}`, ask('tcp:444'), { createdAt: world.clock.now() - HOUR })
  for (let index = 1; index <= 4; index++)
    world.cluster.edit(`p-${String(index)}`, {
      addresses: [`10.64.1.${String(index)}`],
      phase: 'Running',
      startedAt: world.clock.now()
    })
  edit(world, 'y', 'tcp:443,tcp:445')
  await world.clock.advance(1000)
  t.same([held(world), reasonOf(world, 'y')], [at('1:443', '1:445'), 'RulesInEffect'])
  t.equal(reasonOf(world, 'p-1'), 'AuthorizeFailed')
})

t.test(
  'one that was refused once comes before younger ones, and one that always is keeps nobody waiting',
  async (t) => {
    const world = await worldOf('1', {})
    world.ec2.refuses = ({ cidr }) => cidr === '10.64.0.1/32'
    await runPod(world, 'old', '10.64.0.1')
    await world.clock.advance(3000)
    world.ec2.refuses = () => false
    await runPod(world, 'y-1', '10.64.0.11')
    await runPod(world, 'y-2', '10.64.0.12')
    await world.clock.advance(120_000)
    t.same(held(world), at('11:443'))
    world.cluster.edit('y-1', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
    await world.clock.advance(60_000)
    t.same(held(world), at('1:443'))
    world.ec2.refuses = ({ cidr }) => cidr === '10.64.0.12/32'
    await runPod(world, 'y-3', '10.64.0.13')
    world.cluster.edit('old', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
    await world.clock.advance(3000)
    t.same(held(world), at('13:443'))
  }
)

for (const denied of [false, true])
  t.test(`a refused rule that its own pod's old one stands for ${denied ? '(no Modify)' : ''}`, async (t) => {
    const world = await worldOf('2', { a: 'tcp:400-500' })
    if (denied) world.ec2.denied.add(MODIFY)
    world.ec2.refuses = ({ fromPort }) => fromPort === 444
    edit(world, 'a', 'tcp:444')
    await world.clock.advance(3000)
    await runPod(world, 'b', '10.64.0.2')
    await world.clock.advance(HOUR)
    t.same(held(world), at('1:400', '2:443'), 'stays, though it takes the place of nobody knows what')
    world.ec2.refuses = () => false
    await world.clock.advance(180_000)
    t.same(held(world), denied ? at('1:400', '2:443') : at('1:444', '2:443'))
    world.cluster.edit('b', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
    await world.clock.advance(180_000)
    t.same([held(world), reasonOf(world, 'a')], [at('1:444'), 'RulesInEffect'])
  })

for (const to of ['tcp:444', 'tcp:444,tcp:900'])
  t.test(`an edit to ${to} in a full group, of which EC2 refuses a rule: what passes already stays`, async (t) => {
    const world = await worldOf('2', { a: 'tcp:400-500', b: 'tcp:443', late: 'tcp:443' })
    world.ec2.refuses = ({ fromPort }) => fromPort === 444
    edit(world, 'a', to)
    await world.clock.advance(30_000)
    t.same([held(world), reasonOf(world, 'late')], [at('1:400', '2:443'), 'RuleQuotaExceeded'])
    t.equal(reasonOf(world, 'a'), to === 'tcp:444' ? 'AuthorizeFailed' : 'RuleQuotaExceeded')
    await world.clock.advance(HOUR)
    t.same(held(world), at('1:400', '2:443'))
  })

t.test("a refused rule's old one does not keep the pod from its other place", async (t) => {
  const world = await worldOf('3', { a: 'tcp:100-200,tcp:300-400' })
  world.ec2.denied.add(MODIFY)
  world.ec2.refuses = ({ fromPort }) => fromPort === 120
  edit(world, 'a', 'tcp:120,tcp:300-400')
  await world.clock.advance(10_000)
  await runPod(world, 'b', '10.64.0.2')
  await world.clock.advance(30_000)
  edit(world, 'a', 'tcp:110,tcp:120,tcp:310')
  await world.clock.advance(30_000)
  t.same(held(world), at('1:100', '1:310', '2:443'))
})

t.test(
  'where more is there than there is room for, and no rule may be modified, an edit takes nothing away',
  async (t) => {
    const world = await worldOf('2', { a: 'tcp:400-500', b: 'tcp:443' })
    world.ec2.byHand((rules, id) => {
      const foreign = { id, owned: false, description: '', protocol: 'tcp' as Protocol, fromPort: 1, toPort: 1 }
      rules.get(GROUP)?.set(id, { ...foreign, cidr: '192.0.2.1/32' })
    })
    await world.clock.advance(130_000)
    world.ec2.denied.add(MODIFY)
    edit(world, 'a', 'tcp:443')
    await world.clock.advance(HOUR)
    t.same(held(world), [...at('1:400', '2:443'), '192.0.2.1/32:1'])
    t.equal(reasonOf(world, 'a'), 'RuleQuotaExceeded')
    const fewer = await worldOf('4', { a: 'tcp:400-500,tcp:600-700', b: 'tcp:443', c: 'tcp:443' })
    fewer.restart({ RULES_PER_GROUP: '2' })
    await fewer.clock.advance(60_000)
    fewer.ec2.denied.add(MODIFY)
    edit(fewer, 'a', 'tcp:443,tcp:650')
    await fewer.clock.advance(HOUR)
    t.same(held(fewer), at('1:400', '1:600', '2:443', '3:443'))
  }
)

for (const throttled of [false, true])
  t.test(
    `what a full group lets go gives its place to whom it was${throttled ? ', though EC2 throttles' : ''}`,
    async (t) => {
      const world = await worldOf('2', {})
      world.cluster.create('late', ask('tcp:443'))
      await world.clock.advance(1000)
      await runPod(world, 'a', '10.64.0.1', ask('tcp:400-500'))
      await world.clock.advance(1000)
      await runPod(world, 'c', '10.64.0.3')
      await world.clock.advance(1000)
      world.cluster.edit('late', { addresses: ['10.64.0.9'], phase: 'Running', startedAt: world.clock.now() })
      world.ec2.byHand((rules, id) => {
        const foreign = { id, owned: false, description: '', protocol: 'tcp' as Protocol, fromPort: 1, toPort: 1 }
        rules.get(GROUP)?.set(id, { ...foreign, cidr: '192.0.2.1/32' })
      })
      await world.clock.advance(130_000)
      world.ec2.denied.add(MODIFY)
      if (throttled) world.ec2.faults = ['throttled']
      edit(world, 'a', 'tcp:443')
      world.cluster.edit('c', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
      await world.clock.advance(30_000)
      t.same(held(world), [...at('1:443'), '192.0.2.1/32:1'])
    }
  )

t.test('of several that edit in a full group where no rule may be modified, each keeps its place', async (t) => {
  const world = await worldOf('2', { a: 'tcp:400-500', b: 'tcp:443' })
  world.ec2.denied.add(MODIFY)
  edit(world, 'a', 'tcp:450,tcp:900')
  edit(world, 'b', 'tcp:80')
  await world.clock.advance(30_000)
  t.same(held(world), at('1:450', '2:80'))
  const fuller = await worldOf('3', { a: 'tcp:301-500', b: 'tcp:301-500' })
  fuller.ec2.quota = 2
  fuller.ec2.denied.add(MODIFY)
  edit(fuller, 'a', 'tcp:100-500,udp:53')
  edit(fuller, 'b', 'udp:53')
  await fuller.clock.advance(30_000)
  t.same(held(fuller), at('1:100', '2:53'), 'also where EC2 takes fewer than we know')
})

t.test('who edits while a run fails keeps his place for the next one', async (t) => {
  const world = await worldOf('2', {})
  world.cluster.create('late', ask('tcp:443'))
  await world.clock.advance(1000)
  await runPod(world, 'a', '10.64.0.1', ask('tcp:443'))
  await world.clock.advance(1000)
  await runPod(world, 'b', '10.64.0.2', ask('tcp:443'))
  await world.clock.advance(1000)
  world.cluster.edit('late', { addresses: ['10.64.0.9'], phase: 'Running', startedAt: world.clock.now() })
  // That no rule may be modified is known since the last sweep, which could not correct what somebody wrote.
  world.ec2.denied.add(MODIFY)
  world.ec2.byHand((rules) => {
    for (const [id, rule] of rules.get(GROUP) ?? []) rules.get(GROUP)?.set(id, { ...rule, description: 'mine!' })
  })
  await world.clock.advance(70_000)
  world.ec2.latency = () => 1000
  world.ec2.faults = ['none', 'throttled']
  edit(world, 'a', 'tcp:80')
  await world.clock.advance(2500)
  edit(world, 'b', 'tcp:81')
  await world.clock.advance(30_000)
  t.ok(held(world).includes('10.64.0.2/32:81'), String(held(world)))
})

t.test('nothing goes to make room for a pod that the watch has lost', async (t) => {
  const world = await worldOf('3', { a: 'tcp:400-500,tcp:600-700', b: 'tcp:443' })
  world.ec2.denied.add(MODIFY)
  world.ec2.latency = () => 1000
  edit(world, 'a', 'tcp:443,tcp:650')
  await world.clock.advance(4000)
  world.cluster.faults = new Array<'before'>(60).fill('before')
  world.cluster.edit('a', { labelled: false })
  await world.clock.advance(60_000)
  t.same(held(world), at('1:443', '1:600', '2:443'))
  world.cluster.faults = []
  await world.clock.advance(120_000)
  t.same(held(world), at('1:443', '1:650', '2:443'))
})

t.test(
  'a Modify that EC2 refuses for reasons of its own is replaced by Revoke and Authorize, and keeps its place',
  async (t) => {
    const world = await worldOf('2', { a: 'tcp:443', b: 'tcp:443', late: 'tcp:443' })
    const client = world.ec2.client.bind(world.ec2)
    world.ec2.client = (caller) => {
      const { send } = client(caller) as { send: (...given: unknown[]) => unknown }
      const refusing = (...given: unknown[]): unknown => {
        if (!(given[0] instanceof ModifySecurityGroupRulesCommand)) return send(...given)
        const error = Object.assign(new Error('made to fail'), { $metadata: { httpStatusCode: 400 } })
        return Promise.reject(Object.assign(error, { name: 'SomethingElse' }))
      }
      return { send: refusing } as unknown as ReturnType<typeof client>
    }
    world.restart()
    await world.clock.advance(30_000)
    edit(world, 'a', 'tcp:80')
    await world.clock.advance(10_000)
    t.same(held(world), at('1:80', '2:443'))
    t.same([reasonOf(world, 'a'), reasonOf(world, 'late')], ['RulesInEffect', 'RuleQuotaExceeded'])
  }
)

for (const fault of ['hangBefore', 'lostBefore', 'hangAfter'] as const)
  t.test(`that a rule was refused is not forgotten over a lost reply: ${fault}`, async (t) => {
    const world = await worldOf('2', {})
    world.cluster.create('late', ask('tcp:443'))
    await world.clock.advance(1000)
    await runPod(world, 'a', '10.64.0.1', ask('tcp:400-500'))
    await world.clock.advance(30_000)
    world.ec2.denied.add(MODIFY)
    world.ec2.refuses = ({ fromPort }) => fromPort === 444
    edit(world, 'a', 'tcp:444')
    await world.clock.advance(3000)
    await runPod(world, 'b', '10.64.0.2')
    await world.clock.advance(120_000)
    world.cluster.edit('b', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
    world.ec2.faults = ['none', fault]
    await world.clock.advance(500)
    world.cluster.edit('late', { addresses: ['10.64.0.9'], phase: 'Running', startedAt: world.clock.now() })
    await world.clock.advance(600_000)
    t.same(held(world), at('1:400', '9:443'))
  })
