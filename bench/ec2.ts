/**
 * How fast the EC2 simulator is on its own side, so that what is measured with it is kube-sg. Prints a table; nothing is
 * asserted. Times are of this machine in this run: compare ratios. Run by `node bench/ec2.ts`.
 */
import { EC2 } from '@aws-sdk/client-ec2'
import { serveSimulator } from '../bed/ec2/serve.ts'
import type { Simulator } from '../bed/ec2/simulator.ts'
import { createSimulator } from '../bed/ec2/simulator.ts'
import { signedHeaders } from '../bed/ec2/trial.ts'

const GROUPS = 5000
const RULES = 20
const VPC = 'vpc-0abc0000000000002'
const OWNER = 'sg.amazonaws.com/owner'

interface Measure {
  readonly what: string
  readonly microseconds: number
  /** What the ratio is to: the name of another row, or of a bound. */
  readonly against: string
  readonly ratio: number
}

/** A clock that goes on, so that the past can be read. */
let clock = Date.UTC(2026, 0, 1)

function start(): Simulator {
  let id = 0
  const hex = (): string => (++id).toString(16).padStart(16, '0')
  return createSimulator({
    now: () => ++clock,
    hex,
    onDefect: (error) => {
      throw error
    }
  })
}

/** @throws Error when EC2 refuses */
function call(simulator: Simulator, action: string, parameters: Readonly<Record<string, string>>): string {
  const headers = signedHeaders(clock)
  const credentials = { authorization: headers.authorization, date: headers['x-amz-date'] }
  const form = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters })
  const outcome = simulator.handle({ credentials, body: Buffer.from(form.toString()) }, clock)
  if (outcome.kind !== 'answer' || outcome.status !== 200) throw new Error(JSON.stringify(outcome))
  return outcome.body
}

const address = (n: number): string => `10.${String((n >> 16) & 255)}.${String((n >> 8) & 255)}.${String(n & 255)}/32`

const authorize = (simulator: Simulator, groupId: string, from: number, count = 1): string =>
  call(simulator, 'AuthorizeSecurityGroupIngress', {
    GroupId: groupId,
    'IpPermissions.1.IpProtocol': 'tcp',
    'IpPermissions.1.FromPort': '443',
    'IpPermissions.1.ToPort': '443',
    ...Object.fromEntries(
      Array.from({ length: count }, (_, i) => [`IpPermissions.1.IpRanges.${String(i + 1)}.CidrIp`, address(from + i)])
    ),
    'TagSpecification.1.ResourceType': 'security-group-rule',
    'TagSpecification.1.Tag.1.Key': OWNER,
    'TagSpecification.1.Tag.1.Value': 'demo/1'
  })

const idsIn = (body: string): readonly string[] =>
  [...body.matchAll(/<securityGroupRuleId>([^<]+)/g)].map(([, id]) => id ?? '')

const createGroup = (simulator: Simulator, name: string): string =>
  /<groupId>([^<]+)/.exec(
    call(simulator, 'CreateSecurityGroup', { GroupName: name, GroupDescription: 'of a bench', VpcId: VPC })
  )?.[1] ?? ''

/** 100 000 rules in 5 000 groups. */
function fill(simulator: Simulator): readonly string[] {
  return Array.from({ length: GROUPS }, (_, n) => {
    const groupId = createGroup(simulator, `g${String(n)}`)
    authorize(simulator, groupId, n * RULES, RULES)
    return groupId
  })
}

/** Microseconds of the median call, after some that are not counted. */
function median(times: number, run: (n: number) => void): number {
  const samples: number[] = []
  const warm = Math.min(200, times)
  for (let n = -warm; n < times; n++) {
    const startedAt = performance.now()
    run(n + warm)
    if (n >= 0) samples.push((performance.now() - startedAt) * 1000)
  }
  return samples.sort((a, b) => a - b)[samples.length >> 1] ?? Infinity
}

function measureAuthorize(simulator: Simulator, groups: readonly string[]): number {
  let group = ''
  return median(500, (n) => {
    // Each group takes a few, so that none becomes full.
    group = groups[n % groups.length] ?? group
    authorize(simulator, group, 0x800000 + n)
  })
}

const byGroups = (ids: readonly string[]): Readonly<Record<string, string>> => ({
  'Filter.1.Name': 'group-id',
  ...Object.fromEntries(ids.map((id, i) => [`Filter.1.Value.${String(i + 1)}`, id]))
})

const describe = (simulator: Simulator, parameters: Readonly<Record<string, string>>): number =>
  idsIn(call(simulator, 'DescribeSecurityGroupRules', parameters)).length

/** @throws Error unless so many rules come */
function expectRules(found: number, expected: number): void {
  if (found < expected) throw new Error(`${String(found)} rules instead of ${String(expected)}`)
}

async function measureOverHttp(): Promise<number> {
  const server = await serveSimulator({ port: 0, onDefect: console.error })
  const credentials = { accessKeyId: 'AKIABENCH', secretAccessKey: 'not-a-secret' }
  const ec2 = new EC2({ region: 'eu-west-1', endpoint: server.endpoint, credentials })
  const groupIds = await Promise.all(
    Array.from({ length: 10 }, async (_, n) => {
      const { GroupId } = await ec2.createSecurityGroup({ GroupName: `h${String(n)}`, Description: 'x', VpcId: VPC })
      return GroupId ?? ''
    })
  )
  const samples: number[] = []
  for (let n = 0; n < 400; n++) {
    const startedAt = performance.now()
    await ec2.authorizeSecurityGroupIngress({
      GroupId: groupIds[n % 10],
      IpPermissions: [{ IpProtocol: 'tcp', FromPort: 1, ToPort: 1, IpRanges: [{ CidrIp: address(n) }] }]
    })
    if (n >= 100) samples.push((performance.now() - startedAt) * 1000)
  }
  ec2.destroy()
  await server.close()
  return samples.sort((a, b) => a - b)[samples.length >> 1] ?? Infinity
}

async function measureAll(): Promise<readonly Measure[]> {
  const small = start()
  const few = Array.from({ length: 50 }, (_, n) => createGroup(small, `s${String(n)}`))
  const alone = measureAuthorize(small, few)
  const big = start()
  const groups = fill(big)
  const amongMany = measureAuthorize(big, groups)
  const one = median(500, (n) => expectRules(describe(big, byGroups([groups[n % GROUPS] ?? ''])), RULES))
  const many = median(20, (n) =>
    expectRules(describe(big, byGroups(groups.slice((n % 25) * 200, (n % 25) * 200 + 200))), 200 * RULES)
  )
  const owned = { 'Filter.1.Name': `tag:${OWNER}`, 'Filter.1.Value.1': 'demo/1', MaxResults: '1000' }
  const byOwner = median(20, () => expectRules(describe(big, owned), 1000))
  const revoked = groups.slice(0, 700).map((groupId) => idsIn(authorize(big, groupId, 0x900000))[0] ?? '')
  const revoke = median(500, (n) => {
    const parameters = { GroupId: groups[n] ?? '', 'SecurityGroupRuleId.1': revoked[n] ?? '' }
    call(big, 'RevokeSecurityGroupIngress', parameters)
  })
  const stale = {
    action: '*',
    fault: 'stale',
    times: undefined,
    seconds: undefined,
    effect: undefined,
    seed: undefined
  } as const
  big.world.faults.add({ ...stale, staleSeconds: 1 }, clock)
  const late = median(200, (n) => void describe(big, byGroups([groups[n % GROUPS] ?? ''])))
  const overHttp = await measureOverHttp()
  const bound = (what: string, microseconds: number, milliseconds: number): Measure => ({
    what,
    microseconds,
    against: `${String(milliseconds)} ms`,
    ratio: microseconds / (milliseconds * 1000)
  })
  const to = (what: string, microseconds: number, against: string, other: number): Measure => ({
    what,
    microseconds,
    against,
    ratio: microseconds / other
  })
  const all = `of ${String(GROUPS * RULES)} rules in ${String(GROUPS)} groups`
  return [
    bound('Authorize of one rule', alone, 1),
    to(`Authorize of one rule beside ${String(GROUPS * RULES)} others`, amongMany, 'Authorize of one rule', alone),
    to('Authorize of one rule, with HTTP and the SDK', overHttp, 'Authorize of one rule', alone),
    to('Revoke of one rule by id', revoke, 'Authorize of one rule', alone),
    bound(`Describe by group ${all}`, one, 5),
    to(`Describe by 200 groups ${all}`, many, 'Describe by group', one),
    to(`Describe by owner tag ${all}, a page of 1000`, byOwner, 'Describe by group', one),
    to(`Describe by group ${all}, as it was a second ago`, late, 'Describe by group', one)
  ]
}

const rows = await measureAll()
const width = Math.max(...rows.map(({ what }) => what.length))
console.log(`${'on the simulator’s side, median'.padEnd(width)}  ${'µs'.padStart(8)}  ratio`)
for (const { what, microseconds, against, ratio } of rows)
  console.log(`${what.padEnd(width)}  ${microseconds.toFixed(0).padStart(8)}  ${ratio.toFixed(2)} of ${against}`)
