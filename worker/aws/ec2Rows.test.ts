import type { SecurityGroupRule } from '@aws-sdk/client-ec2'
import fc from 'fast-check'
import t from 'tap'
import { createRowReader, toObservedRule } from './ec2Rows.ts'

const OWNER = 'demo/uid'
const tagged = fc.constantFrom(undefined, OWNER, 'demo/other', 'else/uid')
const row: fc.Arbitrary<SecurityGroupRule> = fc.record({
  SecurityGroupRuleId: fc.constantFrom('sgr-1', 'sgr-2'),
  GroupId: fc.constant('sg-1'),
  IsEgress: fc.constantFrom(false, false, false, true),
  IpProtocol: fc.constantFrom('tcp', '6', 'udp', '-1', 'icmp'),
  FromPort: fc.constantFrom(-1, 443, 80),
  ToPort: fc.constantFrom(-1, 443),
  CidrIpv4: fc.constantFrom('10.0.0.1/32', '10.0.0.2/32', '10.0.0.9/8', 'pl-1'),
  Description: fc.constantFrom('', 'demo/n/p', 'demo/n/q'),
  Tags: tagged.map((Value) => (Value === undefined ? [] : [{ Key: 'sg.amazonaws.com/owner', Value }]))
})

/** What another row has instead, which may be the same. */
const field = fc.constantFrom(
  ...(['IsEgress', 'IpProtocol', 'FromPort', 'ToPort', 'CidrIpv4', 'Description', 'Tags'] as const)
)

t.test('what is known changes nothing of what is read, and comes back as it is where nothing changed', async (t) => {
  let reused = 0
  fc.assert(
    fc.property(fc.array(row, { minLength: 1, maxLength: 3 }), row, field, (before, other, changed) => {
      const now = { ...before.at(-1), [changed]: other[changed] }
      const known = new Map(
        before
          .map((each) => toObservedRule(each, OWNER))
          .filter((rule) => rule !== undefined)
          .map((rule) => [rule.id, rule])
      )
      const wanted = toObservedRule(now, OWNER)
      const read = createRowReader(OWNER, known)(now)
      t.same(read, wanted)
      const held = known.get(now.SecurityGroupRuleId ?? '')
      const alike = held !== undefined && JSON.stringify(held) === JSON.stringify(wanted)
      if (alike && now.CidrIpv4 === held.cidr) {
        reused++
        t.equal(read, held)
      } else if (held !== undefined && !alike) t.not(read, held)
    }),
    { numRuns: 2000 }
  )
  t.ok(reused > 100, `${reused} came back as they were`)
})
