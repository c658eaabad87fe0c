import { readFile } from 'node:fs/promises'
import { pino } from 'pino'
import t from 'tap'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { ApplyDeps } from './apply.ts'
import { authorizeClaims } from './authorizeClaims.ts'
import { classify, HANDLING } from './failures.ts'
import { createGroupBook } from './groupBook.ts'
import { podOf } from './podFixture.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { NewRule, ObservedRule } from './securityGroups.ts'
import { createWorld, runPod } from './worldFixture.ts'
import type { Fault, World } from './worldFixture.ts'

const cases = [
  ['RequestLimitExceeded', 503, 'throttled'],
  ['Client.RequestLimitExceeded', 400, 'throttled'],
  ['Unheard.Of', 429, 'throttled'],
  ['InternalError', 500, 'unavailable'],
  ['Unavailable', 503, 'unavailable'],
  ['TimeoutError', undefined, 'unavailable'],
  ['ECONNRESET', undefined, 'unavailable'],
  ['SyntaxError', 200, 'unavailable'],
  ['InvalidPermission.Duplicate', 400, 'duplicate'],
  ['InvalidSecurityGroupRuleId.NotFound', 400, 'ruleNotFound'],
  ['InvalidGroup.NotFound', 400, 'groupNotFound'],
  ['RulesPerSecurityGroupLimitExceeded', 400, 'quota'],
  ['UnauthorizedOperation', 403, 'denied'],
  ['ExpiredToken', 400, 'credentials'],
  ['CredentialsProviderError', undefined, 'credentials'],
  ['InvalidIdentityTokenException', 400, 'credentials'],
  ['IDPCommunicationErrorException', 400, 'credentials'],
  ['RegionDisabledException', 403, 'credentials'],
  ['InvalidParameterValue', 400, 'rejected']
] as const
for (const [code, status, kind] of cases) {
  t.test(`${code} with ${String(status)} is ${kind}`, async (t) => t.equal(classify(code, status), kind))
}
t.test('only what EC2 did not refuse may have happened', async (t) => {
  const maybe = Object.entries(HANDLING).filter(([, { maybeApplied }]) => maybeApplied)
  t.same(
    maybe.map(([kind]) => kind),
    ['unavailable']
  )
})
t.test('whatever may have happened, or refutes our view, makes us look again', async (t) => {
  for (const kind of ['unavailable', 'duplicate', 'ruleNotFound', 'quota', 'groupNotFound', 'rejected'] as const)
    t.ok(HANDLING[kind].observeAgain, kind)
})

const addressOf = (index: number) => `10.64.${String(index >> 8)}.${String(index & 255)}`
const groupIds = (count: number) =>
  Array.from({ length: count }, (_, index) => `sg-${index.toString(16).padStart(8, '0')}` as SecurityGroupId)
const asking = (groupId: SecurityGroupId) => ({ [`sg.amazonaws.com/${groupId}`]: 'tcp:443' })
const isOld = ({ description }: ObservedRule): boolean => description.startsWith('demo/web/old-')
const end = ({ clock, cluster }: World, name: string): void =>
  cluster.edit(name, { phase: 'Succeeded', containersTerminatedAt: clock.now() })
/** A running pod for each group. */
async function crowd({ clock, cluster }: World, name: string, from: number, groups: readonly SecurityGroupId[]) {
  for (const [index, groupId] of groups.entries()) cluster.create(`${name}-${String(index)}`, asking(groupId))
  await clock.advance(100)
  for (const index of groups.keys())
    cluster.edit(`${name}-${String(index)}`, { addresses: [addressOf(from + index)], phase: 'Running' })
}
const rulesIn = ({ ec2 }: World): number => [...ec2.rules.values()].reduce((sum, rules) => sum + rules.size, 0)

t.test('500 groups that wait for EC2 come back at our own pace, and revokes wait for no authorization', async (t) => {
  const groups = groupIds(500)
  const world = createWorld(groups)
  world.restart()
  await crowd(world, 'old', 0, groups.slice(0, 250))
  await world.clock.advance(120_000)
  t.equal(rulesIn(world), 250)
  world.ec2.faults = new Array<Fault>(1_000_000).fill('lostBefore')
  for (let index = 0; index < 250; index++) end(world, `old-${String(index)}`)
  await crowd(world, 'new', 1000, groups)
  await world.clock.advance(30_000)
  world.ec2.calls.clear()
  await world.clock.advance(60_000)
  const away = [...world.ec2.calls.values()].reduce((sum, count) => sum + count, 0)
  t.ok(away < 60 * 42, `${String(away)} calls in a minute without an answer`)
  t.equal(rulesIn(world), 250, 'nothing was taken away on no evidence')
  world.ec2.faults = []
  world.ec2.calls.clear()
  let revokedAfter = Infinity
  for (let second = 1; second <= 180; second++) {
    await world.clock.advance(1000)
    const [old] = [...world.ec2.rules.values()].flatMap((rules) => [...rules.values()]).filter(isOld)
    if (old === undefined) revokedAfter = Math.min(revokedAfter, second)
  }
  t.equal(rulesIn(world), 500)
  t.same(world.wrongs(), [])
  t.equal(world.ec2.tooMany, 0, "never beyond AWS's buckets")
  const { AuthorizeSecurityGroupIngress: authorized = 0, RevokeSecurityGroupIngress: revoked = 0 } = Object.fromEntries(
    world.ec2.calls
  )
  // A call whose answer was lost may find its rule made, and a second run is owed to it.
  t.ok(authorized <= 1000 && revoked <= 500, `${String(authorized)} Authorize, ${String(revoked)} Revoke`)
  t.ok(revokedAfter <= 75, `all that ended was revoked after ${String(revokedAfter)} s`)
})

t.test('one sweep of 200 groups is three calls', async (t) => {
  const groups = groupIds(200)
  const world = createWorld(groups)
  await crowd(world, 'p', 0, groups)
  world.restart()
  await world.clock.advance(150_000)
  t.equal(rulesIn(world), 200)
  world.ec2.calls.clear()
  world.restart()
  await world.clock.advance(5000)
  t.same(Object.fromEntries(world.ec2.calls), { DescribeSecurityGroupRules: 2, DescribeSecurityGroups: 1 })
  world.ec2.calls.clear()
  await world.clock.advance(300_000)
  t.same(
    Object.fromEntries(world.ec2.calls),
    { DescribeSecurityGroupRules: 10, DescribeSecurityGroups: 5 },
    'five sweeps'
  )
})

t.test('a group that is deleted lets its pods go', async (t) => {
  const [groupId] = groupIds(1)
  if (groupId === undefined) return
  const world = createWorld([groupId])
  world.restart()
  await runPod(world, 'a', '10.64.0.1', asking(groupId))
  await world.clock.advance(20_000)
  world.ec2.byHand((rules) => rules.delete(groupId))
  end(world, 'a')
  await world.clock.advance(5000)
  t.equal(world.cluster.named('a')?.finalized, false)
})

t.test('a poisoned rule is told on its own pod, and keeps none of the others out', async (t) => {
  const [groupId] = groupIds(1)
  if (groupId === undefined) return
  const book = createGroupBook(10_000)
  const made: string[] = []
  let calls = 0
  const ec2 = {
    rulesPerCall: 1000,
    turn: () => Promise.resolve({ waited: 0 }),
    authorize(_groupId: SecurityGroupId, rules: readonly NewRule[]) {
      calls += 1
      if (rules.some(({ cidr }) => cidr === '10.64.0.13/32'))
        return Promise.reject(new Ec2Failure('Authorize', 'rejected', 'InvalidPermission.Malformed', new Error('no')))
      made.push(...rules.map(({ cidr }) => cidr))
      return Promise.resolve(rules.map((rule) => ({ ...rule, id: `sgr-${rule.cidr}`, owned: true })))
    }
  }
  const claims = Array.from({ length: 60 }, (_, index) => ({
    rule: { protocol: 'tcp' as Protocol, fromPort: 1, toPort: 1, cidr: `10.64.0.${String(index)}/32` },
    pod: podOf(String(index)),
    authorizable: true
  }))
  const logger = pino({ level: 'silent' })
  const claimsOf = (): unknown => new Map(claims.map((claim) => [ruleKey(claim.rule), claim]))
  const deps = { book, claimsOf, ec2, clusterId: 'demo', now: () => 0, logger, onAuthorized: () => 0 }
  const failed = new Map<RuleKey, Ec2Failure>()
  await authorizeClaims(deps as unknown as ApplyDeps, groupId, claims, failed, new Map())
  t.same([made.length, [...failed.keys()]], [59, ['tcp 1-1 10.64.0.13/32']])
  t.ok(calls <= 13, `${String(calls)} calls, a logarithm of 60 twice`)
})

t.test('what docs/failures.md says is shown by a test is shown there', async (t) => {
  const text = await readFile(new URL('../docs/failures.md', import.meta.url), 'utf8')
  const named = [
    ...text.matchAll(/`((?:worker|test|bed)\/[\w/]+(?:\.test|\/failures)\.ts)`(?:: ([^|;`]+?))?(?= \||;| for )/g)
  ]
  t.ok(named.length > 12, `${String(named.length)} named`)
  for (const [, file = '', title] of named) {
    const source = await readFile(new URL(`../${file}`, import.meta.url), 'utf8')
    t.ok(title === undefined || source.includes(title), `${file}: ${title ?? ''}`)
  }
})
