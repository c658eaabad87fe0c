/** A full group on a real control plane: places are kept, given in turn, and found when the quota is raised. */
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import { openYard, QUICK, ruleOn } from './pods.ts'
import type { Yard } from './pods.ts'

const bed = await startBed({ webhooks: 1, workers: 1, settings: { worker: { ...QUICK, MAX_HOLD: '60s' } } })
t.teardown(() => bed.stop())
const yard = await openYard(bed)
const MODIFY = 'ModifySecurityGroupRules'
const REVOKE = 'RevokeSecurityGroupIngress'

/** Rules of somebody else, in both families, for every pod here has an address of each. */
async function fill({ ec2 }: Yard, group: string, count: number): Promise<void> {
  const all = Array.from({ length: count }, (_, index) => index + 1)
  await ec2.authorizeSecurityGroupIngress({
    GroupId: group,
    IpPermissions: [
      {
        IpProtocol: 'tcp',
        FromPort: 9,
        ToPort: 9,
        IpRanges: all.map((index) => ({ CidrIp: `192.0.2.${String(index)}/32` })),
        Ipv6Ranges: all.map((index) => ({ CidrIpv6: `2001:db8::${String(index)}/128` }))
      }
    ]
  })
}

/** Waits until the pod has exactly these rules, beside those of others. */
async function has(group: string, pod: string, ...ports: readonly string[]): Promise<void> {
  const addresses = await yard.addresses(pod)
  const wanted = addresses.flatMap((address) => ports.map((port) => ruleOn(port, address))).sort()
  await yard.until(`${pod} to have ${ports.join(', ') || 'nothing'}`, async () => {
    const mine = (await yard.rules(group)).filter((rule) => addresses.some((address) => rule.includes(` ${address}/`)))
    return JSON.stringify(mine) === JSON.stringify(wanted)
  })
}

/** Calls on the group that change something, after the n-th of all, each with its answer. */
async function writes(group: string, since: number): Promise<readonly string[]> {
  const calls = await bed.calls(since)
  return calls
    .filter(({ action, groupId }) => groupId === group && !action.startsWith('Describe'))
    .map(({ action, code }) => `${action} ${code}`.trim())
}
const now = async (): Promise<number> => (await bed.calls()).at(-1)?.n ?? 0
const ask = (group: string, ports: string) => ({ metadata: { annotations: { [`sg.amazonaws.com/${group}`]: ports } } })

t.test('60 of 60 rules, and an older pod waits: an edit is one Modify, and keeps its place', async (t) => {
  const group = await yard.group()
  await fill(yard, group, 58)
  const closed = await yard.group(false)
  await yard.pod('waiting', closed)
  // Pods tell their age in whole seconds.
  const made = Date.now()
  await yard.until('the next pod to be younger', async () => Date.now() > made + 1500)
  await yard.pod('first', group)
  await yard.pod('second', group)
  await has(group, 'first', 'tcp 443-443')
  await has(group, 'second', 'tcp 443-443')
  t.equal((await yard.rules(group)).length, 120)
  await yard.patch('waiting', { metadata: { annotations: { [`sg.amazonaws.com/${closed}`]: null } } })
  await yard.patch('waiting', ask(group, 'tcp:443'))
  t.match(await yard.reason('waiting', 'RuleQuotaExceeded'), 'this pod is number 1 of those that wait')
  const before = await now()
  await yard.patch('second', ask(group, 'tcp:80'))
  await has(group, 'second', 'tcp 80-80')
  await yard.reason('second', 'RulesInEffect')
  t.same(await writes(group, before), [MODIFY])
  await yard.reason('waiting', 'RuleQuotaExceeded')
  const described = (await bed.rules(group)).filter(({ fromPort }) => fromPort === 80)
  t.same(
    described.map(({ description, tags }) => [description, tags['sg.amazonaws.com/owner']?.startsWith('bed/')]),
    [
      ['bed/default/second', true],
      ['bed/default/second', true]
    ]
  )
  await yard.patch('second', ask(group, 'tcp:80,tcp:90'))
  await yard.reason('second', 'RuleQuotaExceeded')
  await has(group, 'second', 'tcp 80-80')
  await yard.delete('first')
  await has(group, 'waiting', 'tcp 443-443')
  await yard.delete('second')
  await yard.delete('waiting')
  await yard.until('the rules of others are left', async () => (await yard.rules(group)).length === 116)
})

for (const [fault, refused] of [
  ['dropReply', MODIFY],
  ['throttle', `${MODIFY} RequestLimitExceeded`]
] as const) {
  t.test(`a Modify that meets ${fault} is made again, and nothing is revoked`, async (t) => {
    const group = await yard.group()
    await fill(yard, group, 59)
    const name = `edited-${fault.toLowerCase()}`
    await yard.pod(name, group)
    await has(group, name, 'tcp 443-443')
    const before = await now()
    await bed.fault({ action: MODIFY, groupId: group, fault, times: 1 })
    await yard.patch(name, ask(group, 'udp:53'))
    await has(group, name, 'udp 53-53')
    await yard.until('two calls', async () => (await writes(group, before)).length >= 2)
    await yard.reason(name, 'RulesInEffect')
    t.same(await writes(group, before), [refused, MODIFY])
    await yard.delete(name)
    await yard.until('the rules of others are left', async () => (await yard.rules(group)).length === 118)
  })
}

t.test('a role that may not modify: the rule is revoked and made anew', async (t) => {
  const group = await yard.group()
  await fill(yard, group, 59)
  await yard.pod('unmodifiable', group)
  await has(group, 'unmodifiable', 'tcp 443-443')
  const before = await now()
  await bed.fault({ action: MODIFY, groupId: group, fault: 'unauthorized' })
  await yard.patch('unmodifiable', ask(group, 'tcp:80'))
  await has(group, 'unmodifiable', 'tcp 80-80')
  await yard.reason('unmodifiable', 'RulesInEffect')
  t.same((await writes(group, before)).slice(0, 3), [
    `${MODIFY} UnauthorizedOperation`,
    REVOKE,
    'AuthorizeSecurityGroupIngress'
  ])
  await bed.clearFaults(group)
  await yard.delete('unmodifiable')
})

t.test('a quota below RULES_PER_GROUP is learned, and a raised one is found out', async (t) => {
  await bed.settings({ rulesPerGroup: 2 })
  const group = await yard.group()
  for (const name of ['early', 'middle']) {
    await yard.pod(name, group)
    await yard.reason(name, 'RulesInEffect')
  }
  await yard.pod('late', group)
  await yard.reason('late', 'RuleQuotaExceeded')
  t.equal((await yard.rules(group)).length, 4)
  await bed.settings({ rulesPerGroup: 60 })
  await yard.reason('late', 'RulesInEffect')
  await yard.granted(group, ['tcp 443-443'], 'early', 'middle', 'late')
  for (const name of ['early', 'middle', 'late']) await yard.delete(name)
  await yard.empty(group)
})
