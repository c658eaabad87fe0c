/** Lives in a full group: an edit of a living pod never costs it its place, whatever EC2 answers. */
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import type { ObservedRule } from './securityGroups.ts'
import { GROUP } from './podFixture.ts'
import { createWorld, LAG, reasonOf, runPod } from './worldFixture.ts'
import type { Fault, World } from './worldFixture.ts'

const AUTHORIZE = 'AuthorizeSecurityGroupIngress'
const MODIFY = 'ModifySecurityGroupRules'
const REVOKE = 'RevokeSecurityGroupIngress'
const rulesOf = ({ ec2 }: World): ObservedRule[] => [...(ec2.rules.get(GROUP)?.values() ?? [])]
const held = (world: World): string[] =>
  rulesOf(world)
    .map(({ cidr, fromPort }) => `${cidr.slice(0, -3)}:${String(fromPort)}`)
    .sort()
const calls = ({ ec2 }: World): Record<string, number> =>
  Object.fromEntries([...ec2.calls].filter(([action]) => !action.startsWith('Describe')))

function edit({ cluster }: World, name: string, ports: string): void {
  cluster.edit(name, { declaration: parseAnnotations({ [`sg.amazonaws.com/${GROUP}`]: ports }) })
}

/** `a` and `b` fill the group; `late` waits, and is older than `b`. */
async function fullWorld(): Promise<World> {
  const world = createWorld([GROUP], { RULES_PER_GROUP: '2' })
  world.ec2.quota = 2
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  world.cluster.create('late', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' })
  await world.clock.advance(1000)
  await runPod(world, 'b', '10.64.0.2')
  await world.clock.advance(1000)
  world.cluster.edit('late', { addresses: ['10.64.0.3'], phase: 'Running', startedAt: world.clock.now() })
  await world.clock.advance(30_000)
  t.same([held(world), reasonOf(world, 'late')], [['10.64.0.1:443', '10.64.0.2:443'], 'RuleQuotaExceeded'])
  world.ec2.calls.clear()
  return world
}

t.test('one call, no place lost, and the description names the pod', async (t) => {
  const world = await fullWorld()
  const [before] = rulesOf(world).filter(({ cidr }) => cidr === '10.64.0.2/32')
  edit(world, 'b', 'tcp:80')
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.1:443', '10.64.0.2:80'])
  t.same(calls(world), { [MODIFY]: 1 })
  t.match(rulesOf(world)[1], { id: before?.id, description: 'demo/web/b' })
  t.same([reasonOf(world, 'b'), reasonOf(world, 'late')], ['RulesInEffect', 'RuleQuotaExceeded'])
  world.cluster.edit('b', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.1:443', '10.64.0.3:443'], 'whose place is free is next')
  t.equal(world.cluster.named('b')?.finalized, false)
})

t.test('more ranges than before wait, and fewer give a place away', async (t) => {
  const world = await fullWorld()
  edit(world, 'b', 'tcp:80,tcp:90')
  await world.clock.advance(5000)
  t.same([held(world), reasonOf(world, 'b')], [['10.64.0.1:443', '10.64.0.2:80'], 'RuleQuotaExceeded'])
  t.same(calls(world), { [MODIFY]: 1 })
  world.cluster.edit('late', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.2:80', '10.64.0.2:90'])
  await runPod(world, 'next', '10.64.0.4')
  await world.clock.advance(5000)
  edit(world, 'b', 'tcp:100')
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.2:100', '10.64.0.4:443'])
})

/** Which of the ports were open after each change. */
function watchPorts(world: World, ports: readonly number[]): number[][] {
  const open: number[][] = []
  world.ec2.onEffect = () => {
    const rules = rulesOf(world)
    open.push(ports.filter((port) => rules.some(({ fromPort, toPort }) => fromPort <= port && port <= toPort)))
  }
  return open
}

/** Its group is run every ten seconds at most. */
async function alone(quota: string, ports: string, rulesPerCall = 1000): Promise<World> {
  const environment = { RULES_PER_GROUP: quota, COALESCE: '10s' }
  const world = createWorld([GROUP], environment, 'silent', undefined, rulesPerCall)
  world.restart()
  await runPod(world, 'a', '10.64.0.1', { [`sg.amazonaws.com/${GROUP}`]: ports })
  await world.clock.advance(30_000)
  world.ec2.calls.clear()
  return world
}

const troubles: { name: string; faults?: Fault[]; away?: boolean; within?: number }[] = [
  { name: 'in one run', within: 1000 },
  { name: 'though EC2 throttles', faults: ['throttled'] },
  { name: 'after a takeover', away: true }
]
for (const { away = false, faults = [], name, within = 15_000 } of troubles) {
  t.test(`a range that is split where one of its parts finds room passes all the while: ${name}`, async (t) => {
    const world = await alone('2', 'tcp:400-500')
    const open = watchPorts(world, [443, 450])
    if (away) world.kill()
    edit(world, 'a', 'tcp:443,tcp:450')
    if (away) world.restart()
    await world.clock.advance(away ? LAG + 5000 : 0)
    world.ec2.faults = [...faults]
    await world.clock.advance(within)
    t.same(held(world), ['10.64.0.1:443', '10.64.0.1:450'])
    t.same(open, [
      [443, 450],
      [443, 450]
    ])
  })
}

const unmodified: Fault[] = ['throttled', 'internalBefore', 'lostBefore', 'hangBefore']
for (const fault of unmodified) {
  t.test(`ranges that become one where there is no room for it stay until it is there: ${fault}`, async (t) => {
    const world = await alone('2', 'tcp:400-440,tcp:460-500')
    const open = watchPorts(world, [440, 460])
    world.ec2.faults = [fault]
    edit(world, 'a', 'tcp:400-500')
    await world.clock.advance(300)
    t.same(calls(world), { [MODIFY]: 1 }, 'whatever came of it, it is not asked for again at once')
    await world.clock.advance(60_000)
    t.same(held(world), ['10.64.0.1:400'])
    t.same(calls(world), { [MODIFY]: 2, [REVOKE]: 1 })
    t.same(open, [
      [440, 460],
      [440, 460]
    ])
  })
}

t.test('ranges that become one in a full group, with a role that may not modify', async (t) => {
  const world = await alone('9', 'tcp:400,tcp:410,tcp:420,tcp:430,tcp:440,tcp:450,tcp:460,tcp:470')
  await runPod(world, 'b', '10.64.0.2')
  await runPod(world, 'late', '10.64.0.3')
  await world.clock.advance(15_000)
  world.ec2.denied.add(MODIFY)
  world.ec2.calls.clear()
  const ports = [400, 410, 420, 430, 440, 450, 460, 470]
  const open = watchPorts(world, ports)
  edit(world, 'a', 'tcp:400-500')
  await world.clock.advance(1000)
  t.same(held(world), ['10.64.0.1:400', '10.64.0.2:443', '10.64.0.3:443'])
  t.same(calls(world), { [MODIFY]: 8, [REVOKE]: 2, [AUTHORIZE]: 2 })
  t.same(
    open.map(({ length }) => ports.length - length),
    [1, 0, 0, 0],
    'one makes room for the whole, and the others stay until it is there'
  )
})

t.test('what passes already comes first where there is not room for all, and nothing is cut', async (t) => {
  const cases = [
    { quota: '2', from: 'tcp:400-500', to: 'tcp:100,tcp:443,tcp:450', ports: [443, 450] },
    { quota: '2', from: 'tcp:400-500,tcp:600-610', to: 'tcp:100,tcp:600,tcp:450', ports: [450, 600] },
    { quota: '2', from: 'tcp:400-460,tcp:461-500', to: 'tcp:100,tcp:430-480', ports: [440, 470] }
  ]
  for (const rulesPerCall of [1000, 1]) {
    for (const { from, ports, quota, to } of cases) {
      const world = await alone(quota, from, rulesPerCall)
      const open = watchPorts(world, ports)
      edit(world, 'a', to)
      await world.clock.advance(15_000)
      t.ok(open.length > 0)
      t.same(
        open.filter(({ length }) => length < ports.length),
        [],
        `${to}, ${String(rulesPerCall)} a call`
      )
    }
  }
})

t.test('rules that lean on each other change one after the other where a call takes one', async (t) => {
  const world = await alone('2', 'tcp:400-500,udp:53', 1)
  const open = watchPorts(world, [443, 450])
  edit(world, 'a', 'tcp:443,tcp:450')
  await world.clock.advance(15_000)
  t.same(held(world), ['10.64.0.1:443', '10.64.0.1:450'])
  t.same(calls(world), { [MODIFY]: 2 })
  t.same(open, [
    [443, 450],
    [443, 450]
  ])
})

t.test('who edits in a full group keeps his place also where a role may not modify', async (t) => {
  const world = await fullWorld()
  world.ec2.denied.add(MODIFY)
  edit(world, 'b', 'tcp:80')
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.1:443', '10.64.0.2:80'], 'though somebody older waits')
  t.same([reasonOf(world, 'b'), reasonOf(world, 'late')], ['RulesInEffect', 'RuleQuotaExceeded'])
})

t.test('a rule that EC2 refuses for itself takes no place, and nothing from whom it is refused', async (t) => {
  const world = await alone('2', 'tcp:400-500')
  world.ec2.refuses = ({ fromPort }) => fromPort === 444
  edit(world, 'a', 'tcp:444,tcp:900')
  await world.clock.advance(15_000)
  t.same(held(world), ['10.64.0.1:400', '10.64.0.1:900'])
  await runPod(world, 'late', '10.64.0.3')
  await world.clock.advance(120_000)
  t.same(held(world), ['10.64.0.1:400', '10.64.0.1:900'], 'also where somebody else waits')
  t.same([reasonOf(world, 'a'), reasonOf(world, 'late')], ['AuthorizeFailed', 'RuleQuotaExceeded'])
  edit(world, 'a', 'tcp:444')
  await world.clock.advance(30_000)
  t.same(held(world), ['10.64.0.1:400', '10.64.0.3:443'], 'a place that nothing asks for goes to who waits')
})

t.test('a range that is split, with a role that may not modify, is revoked and made anew in one run', async (t) => {
  const world = await alone('2', 'tcp:400-500')
  world.ec2.denied.add(MODIFY)
  edit(world, 'a', 'tcp:443,tcp:450')
  await world.clock.advance(1000)
  t.same(held(world), ['10.64.0.1:443', '10.64.0.1:450'])
  t.same(calls(world), { [AUTHORIZE]: 2, [MODIFY]: 1, [REVOKE]: 1 })
})

t.test('an edit in a full group waits for no place that cannot be freed', async (t) => {
  const world = await alone('2', 'tcp:100-500')
  await runPod(world, 'gone', '10.64.0.2')
  await world.clock.advance(15_000)
  world.ec2.denied.add(REVOKE)
  world.cluster.edit('gone', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  edit(world, 'a', 'tcp:100-440,tcp:460-900')
  await world.clock.advance(30_000)
  t.same(held(world), ['10.64.0.1:100', '10.64.0.2:443'])
  world.ec2.denied.clear()
  await world.clock.advance(120_000)
  t.same(held(world), ['10.64.0.1:100', '10.64.0.1:460'])
})

t.test('a rule that EC2 does not let be modified stays until what passes by it is there', async (t) => {
  const world = await alone('9', 'tcp:443')
  world.ec2.denied.add(MODIFY)
  world.cluster.create('heir', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' })
  world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  world.cluster.edit('heir', { addresses: ['10.64.0.1'], phase: 'Running', startedAt: world.clock.now() })
  await world.clock.advance(15_000)
  t.match(rulesOf(world), [{ description: 'demo/web/a' }], 'it could not be put into the name of its heir')
  const open = watchPorts(world, [443])
  world.ec2.faults = ['throttled']
  edit(world, 'heir', 'tcp:400-500')
  await world.clock.advance(30_000)
  t.same([held(world), open], [['10.64.0.1:400'], [[443], [443]]])
})

t.test('a pod that gets another address takes its place along', async (t) => {
  const world = await fullWorld()
  world.cluster.edit('b', { addresses: ['10.64.0.9'] })
  await world.clock.advance(5000)
  t.same([held(world), calls(world)], [['10.64.0.1:443', '10.64.0.9:443'], { [MODIFY]: 1 }])
})

const faults: { fault: Fault; lag: number }[] = [
  { fault: 'lostAfter', lag: 0 },
  { fault: 'lostAfter', lag: LAG - 1000 },
  { fault: 'lostBefore', lag: LAG - 1000 },
  { fault: 'throttled', lag: LAG - 1000 }
]
for (const { fault, lag } of faults) {
  t.test(`${fault}, reads behind by ${String(lag)}: said again, and nothing is revoked`, async (t) => {
    const world = await fullWorld()
    world.ec2.readBehind = lag
    world.ec2.faults = [fault]
    edit(world, 'b', 'tcp:80')
    await world.clock.advance(5000)
    t.same([held(world), reasonOf(world, 'b')], [['10.64.0.1:443', '10.64.0.2:80'], 'RulesInEffect'])
    await world.clock.advance(70_000)
    t.same([held(world), calls(world)], [['10.64.0.1:443', '10.64.0.2:80'], { [MODIFY]: 2 }])
    t.same(world.wrongs(), ['cut: sg-0123456789abcdef0 tcp 443-443 10.64.0.3/32'])
  })

  t.test(`${fault}, and the pod changes its mind or ends before it is settled`, async (t) => {
    const world = await fullWorld()
    world.ec2.readBehind = lag
    world.ec2.faults = [fault, fault]
    edit(world, 'b', 'tcp:80')
    await world.clock.advance(100)
    edit(world, 'b', 'tcp:443')
    await world.clock.advance(10_000)
    t.same([held(world), reasonOf(world, 'b')], [['10.64.0.1:443', '10.64.0.2:443'], 'RulesInEffect'])
    world.ec2.faults = [fault]
    edit(world, 'b', 'tcp:80')
    await world.clock.advance(100)
    world.cluster.edit('b', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
    await world.clock.advance(20_000)
    t.same(held(world), ['10.64.0.1:443', '10.64.0.3:443'])
    t.equal(world.cluster.named('b')?.finalized, false)
    await world.clock.advance(70_000)
    t.same(world.wrongs(), [])
  })

  t.test(`${fault}, and a worker that starts right afterwards is shown the past`, async (t) => {
    const world = await fullWorld()
    world.ec2.readBehind = lag
    world.ec2.faults = [fault]
    edit(world, 'b', 'tcp:80')
    await world.clock.advance(200)
    world.restart()
    const cut = new Set<string>()
    for (let second = 0; second < 90; second++) {
      await world.clock.advance(1000)
      if (!held(world).some((rule) => rule.startsWith('10.64.0.2'))) cut.add(String(second))
    }
    t.same([...cut], [], 'it never loses what it has')
    t.same([held(world), reasonOf(world, 'b')], [['10.64.0.1:443', '10.64.0.2:80'], 'RulesInEffect'])
    t.same(world.ec2.revokes, [])
  })
}

t.test('what a worker that died has modified is not revoked for what it was before', async (t) => {
  const world = createWorld([GROUP], { RULES_PER_GROUP: '2' })
  world.ec2.quota = 2
  world.restart()
  await runPod(world, 'a', '10.64.0.1', { [`sg.amazonaws.com/${GROUP}`]: 'tcp:1,tcp:10' })
  await world.clock.advance(30_000)
  world.ec2.readBehind = LAG - 1000
  edit(world, 'a', 'tcp:20,tcp:30')
  await world.clock.advance(200)
  t.same(held(world), ['10.64.0.1:20', '10.64.0.1:30'])
  world.kill()
  edit(world, 'a', 'tcp:30,tcp:40')
  world.restart()
  const cut: number[] = []
  for (let second = 0; second < 90; second++) {
    await world.clock.advance(1000)
    if (!held(world).includes('10.64.0.1:30')) cut.push(second)
  }
  t.same([cut, held(world), world.ec2.revokes], [[], ['10.64.0.1:30', '10.64.0.1:40'], []])
})

t.test('a worker that is shown the past describes nothing anew, for its view may not be what is there', async (t) => {
  const world = await fullWorld()
  await world.clock.advance(30_000)
  world.ec2.readBehind = LAG - 1000
  world.cluster.edit('b', { addresses: ['10.64.0.9'] })
  await world.clock.advance(500)
  t.same(held(world), ['10.64.0.1:443', '10.64.0.9:443'])
  world.kill()
  // It asks for what the lagging view still shows at the address that `b` had.
  await runPod(world, 'heir', '10.64.0.2')
  world.restart()
  const cut: number[] = []
  for (let second = 0; second < 90; second++) {
    await world.clock.advance(1000)
    if (!held(world).includes('10.64.0.9:443')) cut.push(second)
  }
  t.same([cut, held(world)], [[], ['10.64.0.1:443', '10.64.0.9:443']])
  t.same([reasonOf(world, 'b'), reasonOf(world, 'heir')], ['RulesInEffect', 'RuleQuotaExceeded'])
})

t.test('a full family lets no rule of the other one go before what takes it over is there', async (t) => {
  const world = createWorld([GROUP], { RULES_PER_GROUP: '2', POD_CIDRS: '10.64.0.0/16,fd00:64::/64' })
  world.restart()
  for (const index of ['1', '2', '3']) await runPod(world, `pod-${index}`, `10.64.0.${index}`)
  await runPod(world, 'six', 'fd00:64::6')
  await world.clock.advance(70_000)
  t.equal(reasonOf(world, 'pod-3'), 'RuleQuotaExceeded')
  const six = (): unknown[] => rulesOf(world).flatMap(({ cidr, toPort }) => (cidr.includes(':') ? [toPort] : []))
  world.ec2.denied.add(AUTHORIZE)
  edit(world, 'six', 'tcp:443-450')
  await world.clock.advance(5000)
  t.same([six(), reasonOf(world, 'six')], [[443], 'EC2AccessDenied'])
  world.ec2.denied.clear()
  await world.clock.advance(20_000)
  t.same([six(), reasonOf(world, 'six')], [[450], 'RulesInEffect'])
})

t.test(
  'EC2 denies to modify: the rule is revoked and made anew, the place is at risk, and nothing hangs',
  async (t) => {
    const world = await fullWorld()
    world.ec2.denied.add(MODIFY)
    edit(world, 'a', 'tcp:80')
    await world.clock.advance(5000)
    t.same(held(world), ['10.64.0.1:80', '10.64.0.2:443'])
    t.same(calls(world), { [MODIFY]: 1, [REVOKE]: 1, [AUTHORIZE]: 1 })
    await world.clock.advance(120_000)
    t.same(calls(world), { [MODIFY]: 1, [REVOKE]: 1, [AUTHORIZE]: 1 })
  }
)

t.test('somebody has made the new rule by hand meanwhile: it serves, and ours goes', async (t) => {
  const world = await fullWorld()
  world.ec2.quota = 3
  world.ec2.readBehind = LAG - 1000
  world.ec2.byHand((rules, id) => {
    const [, old] = rulesOf(world)
    if (old !== undefined) rules.get(GROUP)?.set(id, { ...old, id, owned: false, fromPort: 80, toPort: 80 })
  })
  edit(world, 'b', 'tcp:80')
  await world.clock.advance(5000)
  t.equal(reasonOf(world, 'b'), 'RulesInEffect')
  await world.clock.advance(70_000)
  t.same(
    rulesOf(world).map(({ cidr, fromPort, owned }) => [cidr, fromPort, owned]),
    [
      ['10.64.0.1/32', 443, true],
      ['10.64.0.2/32', 80, false]
    ]
  )
})

t.test('somebody has revoked the old rule by hand meanwhile: the new one is made', async (t) => {
  const world = await fullWorld()
  world.ec2.readBehind = LAG - 1000
  world.ec2.byHand((rules) => rules.get(GROUP)?.delete(rulesOf(world)[1]?.id ?? ''))
  edit(world, 'b', 'tcp:80')
  await world.clock.advance(70_000)
  t.match(held(world), ['10.64.0.1:443'])
  t.equal(held(world).length, 2, 'by whoever waited longest')
})

t.test('whoever gets the old address and asks for the old rule keeps it from being modified', async (t) => {
  const world = await fullWorld()
  world.cluster.edit('b', { addresses: ['10.64.0.9'] })
  world.cluster.edit('late', { addresses: ['10.64.0.2'] })
  await world.clock.advance(5000)
  t.same(held(world), ['10.64.0.1:443', '10.64.0.2:443'])
  t.same([reasonOf(world, 'late'), reasonOf(world, 'b')], ['RulesInEffect', 'RuleQuotaExceeded'])
  t.same(world.ec2.revokes, [])
})

t.test('an inherited rule is described anew, so that a worker which knows no history keeps it', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.ec2.denied.add(REVOKE)
  world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await runPod(world, 'heir', '10.64.0.1')
  await world.clock.advance(10_000)
  world.ec2.denied.clear()
  t.same(
    rulesOf(world).map(({ description }) => description),
    ['demo/web/heir']
  )
  world.cluster.edit('heir', { addresses: [] })
  world.cluster.edit('a', { deletionTimestamp: world.clock.now(), gracePeriodSeconds: 0 })
  await world.clock.advance(1000)
  world.restart()
  await world.clock.advance(120_000)
  t.same([held(world), world.ec2.revokes], [['10.64.0.1:443'], []])
})

t.test('a description that cannot be corrected costs one call a sweep, and no word to the pod', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.ec2.denied.add(MODIFY)
  world.ec2.byHand((rules) => {
    for (const [id, rule] of rules.get(GROUP) ?? []) rules.get(GROUP)?.set(id, { ...rule, description: 'mine!' })
  })
  await world.clock.advance(300_000)
  t.equal(reasonOf(world, 'a'), 'RulesInEffect')
  t.ok((world.ec2.calls.get(MODIFY) ?? 0) <= 5, String(world.ec2.calls.get(MODIFY)))
  world.ec2.denied.clear()
  await world.clock.advance(61_000)
  t.equal(rulesOf(world)[0]?.description, 'demo/web/a')
})

t.test('a range that grows or shrinks keeps what it has until the new rule is there', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.0.1')
  await world.clock.advance(1000)
  world.ec2.denied.add(AUTHORIZE)
  edit(world, 'a', 'tcp:443-500')
  await world.clock.advance(30_000)
  t.same([held(world), reasonOf(world, 'a'), world.ec2.revokes], [['10.64.0.1:443'], 'EC2AccessDenied', []])
  world.ec2.denied.clear()
  await world.clock.advance(61_000)
  t.same(
    rulesOf(world).map(({ fromPort, toPort }) => [fromPort, toPort]),
    [[443, 500]]
  )
  world.ec2.denied.add(AUTHORIZE)
  edit(world, 'a', 'tcp:443')
  await world.clock.advance(30_000)
  t.same(
    rulesOf(world).map(({ fromPort, toPort }) => [fromPort, toPort]),
    [[443, 500]]
  )
  world.ec2.denied.clear()
  await world.clock.advance(61_000)
  t.same(
    rulesOf(world).map(({ fromPort, toPort }) => [fromPort, toPort]),
    [[443, 443]]
  )
})
