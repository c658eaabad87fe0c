/** What an ended pod leaves goes at once, whatever else the run of its group waits for. */
import { RevokeSecurityGroupIngressCommand } from '@aws-sdk/client-ec2'
import { pino } from 'pino'
import t from 'tap'
import { createNetwork } from '../shared/address.ts'
import type { Protocol, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { LIMITS } from './aws/ec2Client.ts'
import { createGroupBook } from './groupBook.ts'
import { createPodCache } from './podCache.ts'
import { GROUP, podOf } from './podFixture.ts'
import { revokeEnded } from './revokeEnded.ts'
import type { EndingDeps } from './revokeEnded.ts'
import { createWorld, reasonOf, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

const idOf = (index: number): SecurityGroupId => `sg-${index.toString(16).padStart(8, '0')}` as SecurityGroupId
const asking = (groupId: string): Record<string, string> => ({ [`sg.amazonaws.com/${groupId}`]: 'tcp:443' })
const addressOf = (index: number): string => `10.64.${String(index >> 8)}.${String(index & 255)}`
const OLD = '10.64.200.1'

const complete = ({ clock, cluster }: World, name: string): void =>
  cluster.edit(name, { phase: 'Succeeded', containersTerminatedAt: clock.now() })
const isHeld = ({ ec2 }: World, groupId: SecurityGroupId, address: string): boolean =>
  [...(ec2.rules.get(groupId)?.values() ?? [])].some(({ cidr }) => cidr === `${address}/32`)

/** New pods, all at once. @param groupOf of each */
async function rollOut(world: World, count: number, groupOf: (index: number) => SecurityGroupId): Promise<void> {
  const { clock, cluster } = world
  for (let index = 0; index < count; index++) cluster.create(`new-${String(index)}`, asking(groupOf(index)))
  await clock.advance(10)
  for (let index = 0; index < count; index++)
    cluster.edit(`new-${String(index)}`, {
      addresses: [addressOf(index), `fd00::${(index + 1).toString(16)}`],
      phase: 'Running',
      startedAt: clock.now()
    })
}

async function eventually({ clock }: World, isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo() && tries < 10_000; tries++) await clock.advance(1)
}

t.test(
  'a pod that ends while its group waits for its turn to authorize leaves its rule for a moment only',
  async (t) => {
    const groups = [idOf(1), idOf(2)] as const
    const limits = { ...LIMITS, AuthorizeSecurityGroupIngress: { burst: 2, perSecond: 0.01 } }
    const world = createWorld(groups, {}, 'silent', limits)
    world.restart()
    for (const [index, groupId] of groups.entries())
      await runPod(world, `old-${String(index)}`, `10.64.200.${String(index)}`, asking(groupId))
    await world.clock.advance(10_000)
    await rollOut(world, 2, (index) => groups[index] ?? idOf(0))
    await world.clock.advance(10_000)
    for (const index of groups.keys()) complete(world, `old-${String(index)}`)
    await world.clock.advance(1000)
    for (const [index, groupId] of groups.entries()) {
      t.equal(world.ec2.rules.get(groupId)?.size, 0)
      t.notOk(world.cluster.named(`old-${String(index)}`)?.finalized)
    }
  }
)

t.test('MAX_HOLD ends a hold though the run of the group goes on waiting', async (t) => {
  const limits = { ...LIMITS, AuthorizeSecurityGroupIngress: { burst: 1, perSecond: 0.001 } }
  const world = createWorld([idOf(1)], {}, 'silent', limits)
  world.restart()
  await runPod(world, 'old', OLD, asking(idOf(1)))
  await world.clock.advance(10_000)
  await rollOut(world, 1, () => idOf(1))
  await world.clock.advance(1000)
  world.ec2.denied.add('RevokeSecurityGroupIngress')
  complete(world, 'old')
  await world.clock.advance(115_000)
  t.equal(world.cluster.named('old')?.finalized, true)
  await world.clock.advance(10_000)
  t.equal(world.cluster.named('old')?.finalized, false)
  world.ec2.denied.clear()
  await world.clock.advance(61_000)
  t.notOk(isHeld(world, idOf(1), OLD), 'the worker goes on revoking')
})

t.test('a pod that ends in a group that has nothing else to do waits for none of five hundred others', async (t) => {
  const groups = Array.from({ length: 500 }, (_, index) => idOf(index))
  const last = idOf(499)
  const world = createWorld(groups)
  world.restart()
  await runPod(world, 'old', OLD, asking(last))
  await world.clock.advance(30_000)
  await rollOut(world, 499, idOf)
  await world.clock.advance(500)
  complete(world, 'old')
  await world.clock.advance(1000)
  t.notOk(isHeld(world, last, OLD))
  t.notOk(world.cluster.named('old')?.finalized)
  t.notOk(isHeld(world, idOf(400), addressOf(400)), 'the others wait indeed')
})

t.test(
  'what was made for a pod that ended while the call was under way goes, though the next call waits',
  async (t) => {
    const groupId = idOf(1)
    const limits = { ...LIMITS, AuthorizeSecurityGroupIngress: { burst: 1, perSecond: 0.01 } }
    const world = createWorld(
      [groupId],
      { RULES_PER_GROUP: '1000', POD_CIDRS: '10.0.0.0/8,fd00::/16' },
      'silent',
      limits
    )
    world.ec2.quota = 1000
    world.ec2.latency = () => 500
    await rollOut(world, 600, () => groupId)
    world.restart()
    await eventually(world, () => world.ec2.calls.get('AuthorizeSecurityGroupIngress') === 1)
    t.notOk(isHeld(world, groupId, addressOf(0)), 'it is under way')
    complete(world, 'new-0')
    await world.clock.advance(3000)
    t.equal(world.ec2.rules.get(groupId)?.size, 998)
    t.notOk(isHeld(world, groupId, addressOf(0)))
  }
)

t.test('permissions that nobody answers keep no rule of an ended pod, and nobody who is known', async (t) => {
  const groupId = idOf(1)
  const world = createWorld([groupId], { PERMISSIONS: 'enforce', RULES_PER_GROUP: '300' })
  world.ec2.quota = 300
  let hang = false
  world.cluster.may = async () => {
    if (hang) await world.clock.sleep(100_000)
    if (hang) throw new Error('no answer')
    return true
  }
  world.restart()
  for (let index = 0; index < 50; index++) {
    world.cluster.create(`p-${String(index)}`, asking(groupId))
    const running = { phase: 'Running', startedAt: world.clock.now(), serviceAccountName: `sa-${String(index)}` }
    world.cluster.edit(`p-${String(index)}`, { addresses: [addressOf(index)], ...running })
  }
  await world.clock.advance(30_000)
  t.equal(world.ec2.rules.get(groupId)?.size, 50)
  hang = true
  await world.clock.advance(61_000)
  complete(world, 'p-0')
  await world.clock.advance(5000)
  t.notOk(isHeld(world, groupId, addressOf(0)))
  t.notOk(world.cluster.named('p-0')?.finalized)
  hang = false
  await runPod(world, 'late', '10.64.201.1', asking(groupId))
  await world.clock.advance(5000)
  t.ok(isHeld(world, groupId, '10.64.201.1'))
})

t.test('permissions that cannot be asked are not asked again because of it', async (t) => {
  const groupId = idOf(1)
  const world = createWorld([groupId], { PERMISSIONS: 'enforce' })
  let asked = 0
  world.cluster.may = async () => {
    asked++
    await world.clock.sleep(3000)
    throw new Error('no answer')
  }
  world.restart()
  await runPod(world, 'a', '10.64.0.1', asking(groupId))
  await world.clock.advance(10_000)
  asked = 0
  await world.clock.advance(120_000)
  t.ok(asked <= 16, String(asked))
})

t.test('MAX_HOLD ends the hold of a pod for which nothing was made yet', async (t) => {
  const limits = { ...LIMITS, AuthorizeSecurityGroupIngress: { burst: 1, perSecond: 0.001 } }
  const world = createWorld([idOf(1)], {}, 'silent', limits)
  world.restart()
  await runPod(world, 'first', OLD, asking(idOf(1)))
  await world.clock.advance(10_000)
  await rollOut(world, 1, () => idOf(1))
  await world.clock.advance(1000)
  complete(world, 'new-0')
  await world.clock.advance(125_000)
  t.equal(world.cluster.named('new-0')?.finalized, false)
})

t.test('no rule is sent twice to be revoked, however pods come and go', async (t) => {
  const groupId = idOf(1)
  const world = createWorld([groupId])
  const revoked: string[] = []
  const client = world.ec2.client.bind(world.ec2)
  world.ec2.client = (caller) => {
    const sender = client(caller)
    const send = (command: { input: object }, options: unknown): Promise<unknown> => {
      if (command instanceof RevokeSecurityGroupIngressCommand)
        revoked.push(...(command.input.SecurityGroupRuleIds ?? []))
      return (sender.send as (command: unknown, options: unknown) => Promise<unknown>).call(sender, command, options)
    }
    return { send }
  }
  world.ec2.latency = () => 20 + world.clock.chance() * 300
  world.restart()
  for (let index = 0; index < 200; index++) {
    await runPod(world, `p-${String(index)}`, addressOf(index), asking(groupId))
    if (index >= 20) complete(world, `p-${String(index - 20)}`)
    await world.clock.advance(100 + world.clock.chance() * 100)
  }
  await world.clock.advance(10_000)
  t.ok(revoked.length >= 180)
  t.equal(new Set(revoked).size, revoked.length)
})

t.test('a pod that completes before anything was said of it is told in the end what became of its rules', async (t) => {
  const world = createWorld([idOf(1)])
  world.restart()
  await runPod(world, 'a', OLD, asking(idOf(1)))
  await eventually(world, () => isHeld(world, idOf(1), OLD))
  complete(world, 'a')
  await world.clock.advance(5000)
  t.notOk(world.cluster.named('a')?.finalized)
  t.equal(reasonOf(world, 'a'), 'RulesRevoked')
})

t.test('what another pod claimed and left while the rule was being revoked is not forgotten with it', async (t) => {
  const book = createGroupBook(0)
  const cache = createPodCache({ groupsTouched: () => undefined, podTouched: () => undefined })
  cache.beginRemembering(0)
  const live = (uid: string): void => cache.change(podOf(uid), 0)
  const end = (uid: string): void => cache.change(podOf(uid, { phase: 'Succeeded' }), 1)
  live('first')
  end('first')
  const [key] = [...cache.formerClaims(GROUP).keys()]
  const rule = { protocol: 'tcp' as Protocol, fromPort: 443, toPort: 443, cidr: '10.64.0.7/32' }
  const made = { ...rule, id: 'sgr-1', owned: true, description: 'demo/web/pod-first' }
  book.takeOwnedRules({ startedAt: 0, rules: new Map([[GROUP, [made]]]) })
  const attempted: string[] = []
  const revoke = (): Promise<void> => {
    live('second')
    end('second')
    return Promise.resolve()
  }
  const nobody = { refresh: () => Promise.resolve(), leave: () => 'granted' as const }
  const deps = {
    book,
    cache,
    ec2: { revoke, rulesPerCall: 1000, turn: () => Promise.resolve({ waited: 0 }) } as unknown as EndingDeps['ec2'],
    claimsOf: () => new Map(),
    clusterId: 'demo',
    logger: pino({ level: 'silent' }),
    nodeAddresses: () => new Set<string>(),
    now: () => 2,
    onAttempted: (uids) => attempted.push(...uids),
    onAuthorized: () => undefined,
    onModified: () => undefined,
    onRevoked: () => undefined,
    optInTag: 'kube-sg/demo',
    permissions: nobody,
    podNetwork: createNetwork(['10.64.0.0/16']),
    readLag: 0,
    readsCompleteFrom: () => 0,
    rulesPerGroup: 60
  } satisfies EndingDeps
  await revokeEnded(deps, GROUP, { tried: new Set(), underWay: new Set() })
  t.same(book.view(GROUP).owned, [])
  t.same(attempted, ['first'])
  t.equal(cache.formerClaims(GROUP).get(key ?? ('' as RuleKey))?.pod.uid, 'second', 'a rule of his may be under way')
})
