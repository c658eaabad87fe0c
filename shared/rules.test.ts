import fc from 'fast-check'
import t from 'tap'
import { canonicalProtocol, canonicalRule, describeRule, isSecurityGroupId, ruleFor, ruleKey } from './rules.ts'
import type { Protocol, Rule, RuleRequest, SecurityGroupId } from './rules.ts'

const rule = (protocol: string, fromPort: number, toPort: number, cidr = '10.0.0.1/32'): Rule => ({
  protocol: protocol as Protocol,
  fromPort,
  toPort,
  cidr
})

t.test('group ids have 8 or 17 lower-case hex digits', async (t) => {
  for (const id of ['sg-1a2b3c4d', 'sg-0123456789abcdef0']) t.ok(isSecurityGroupId(id), id)
  for (const id of ['sg-1A2B3C4D', 'sg-1a2b3c4', 'sg-1a2b3c4d5', 'sg-', '1a2b3c4d', 'sg-1a2b3c4g', 'sg-1a2b3c4d\n'])
    t.notOk(isSecurityGroupId(id), id)
})

t.test('numbers with a name, and what EC2 calls all, are spelled by name', async (t) => {
  t.same(['6', '17', '1', '58', '-1', 'TCP', '50'].map(canonicalProtocol), [
    'tcp',
    'udp',
    'icmp',
    'icmpv6',
    'all',
    'tcp',
    '50'
  ])
})

t.test('ports of protocols without ports make no difference', async (t) => {
  t.equal(ruleKey(canonicalRule(rule('-1', -1, -1))), ruleKey(canonicalRule(rule('all', 0, 65_535))))
  t.equal(ruleKey(canonicalRule(rule('50', 0, 0))), ruleKey(canonicalRule(rule('50', -1, -1))))
  t.not(ruleKey(canonicalRule(rule('tcp', 1, 2))), ruleKey(canonicalRule(rule('tcp', 1, 1))))
  t.not(
    ruleKey(canonicalRule(rule('icmp', 8, -1))),
    ruleKey(canonicalRule(rule('icmp', -1, -1))),
    'an echo is not every type'
  )
})

t.test('the key is injective', async () => {
  const anyRule = fc
    .record({
      protocol: fc.constantFrom('tcp', 'udp', '1', '12'),
      from: fc.integer({ min: -1, max: 130 }),
      to: fc.integer({ min: -1, max: 130 }),
      host: fc.integer({ min: 0, max: 20 })
    })
    .map(({ protocol, from, to, host }) => rule(protocol, from, to, `10.0.0.${String(host)}/32`))
  fc.assert(
    fc.property(
      anyRule,
      anyRule,
      (one, other) => (ruleKey(one) === ruleKey(other)) === (JSON.stringify(one) === JSON.stringify(other))
    )
  )
})

t.test('a request means one rule for an address, and icmp only one of its own family', async (t) => {
  const ask = (protocol: string): RuleRequest => ({
    groupId: 'sg-1a2b3c4d' as SecurityGroupId,
    protocol: protocol as Protocol,
    fromPort: 443,
    toPort: 443
  })
  t.same(ruleFor(ask('tcp'), '10.0.0.1'), rule('tcp', 443, 443))
  t.equal(ruleFor(ask('tcp'), 'fd00::1')?.cidr, 'fd00::1/128')
  t.equal(ruleFor(ask('icmp'), 'fd00::1'), undefined)
  t.equal(ruleFor(ask('icmpv6'), '10.0.0.1'), undefined)
  t.equal(ruleFor(ask('icmpv6'), 'fd00::1')?.cidr, 'fd00::1/128')
})

t.test('a person reads ports only where there are some', async (t) => {
  t.same([rule('tcp', 443, 443), rule('udp', 1, 9), rule('all', -1, -1)].map(describeRule), [
    'tcp 443 from 10.0.0.1/32',
    'udp 1-9 from 10.0.0.1/32',
    'all from 10.0.0.1/32'
  ])
})
