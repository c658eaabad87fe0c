import fc from 'fast-check'
import t from 'tap'
import { canonicalAddress, canonicalCidr, createNetwork } from './address.ts'

for (const [text, canonical] of [
  ['10.64.0.7', '10.64.0.7'],
  ['FD00:64:0:0::1', 'fd00:64::1'],
  ['fd00:64:0:0:8000::1', 'fd00:64::8000:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1']
] as const) {
  t.test(`${text} is ${canonical}`, async (t) => t.equal(canonicalAddress(text), canonical))
}
for (const text of [
  '',
  '010.0.0.1',
  '10.1',
  '0x7f.1',
  '256.0.0.1',
  '10.0.0.1/32',
  'fe80::1%eth0',
  '::ffff:10.0.0.1',
  ' 10.0.0.1',
  'fd00::1::2'
]) {
  t.test(`'${text}' is no address`, async (t) => t.equal(canonicalAddress(text), undefined))
}
for (const [text, canonical] of [
  ['100.68.0.18/18', '100.68.0.0/18'],
  ['10.0.0.1/32', '10.0.0.1/32'],
  ['FD00:64::9/64', 'fd00:64::/64'],
  ['0.0.0.0/0', '0.0.0.0/0']
] as const) {
  t.test(`${text} is ${canonical}`, async (t) => t.equal(canonicalCidr(text), canonical))
}
for (const text of [
  '',
  '10.0.0.1',
  '10.0.0.1/33',
  '10.0.0.1/',
  'fd00::/129',
  '10.0.0.0/8/8',
  '10.0.0.0/-1',
  '10.0.0.0/08x'
]) {
  t.test(`'${text}' is no CIDR`, async (t) => t.equal(canonicalCidr(text), undefined))
}

t.test('an address is within its own CIDRs, and never within those of the other family', async (t) => {
  const four = createNetwork(['10.63.0.0/16', '10.64.0.0/16'])
  t.equal(four.contains('10.64.255.255'), true)
  t.equal(four.contains('10.65.0.0'), false)
  t.equal(createNetwork(['10.64.0.0/16', 'fd00:64::/64']).contains('fd00:64::1'), true)
  t.equal(createNetwork(['::/0']).contains('10.64.0.1'), false)
  t.equal(createNetwork([]).contains('10.64.0.1'), false)
})

t.test('what is canonical stays as it is, whatever was written', async () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const once = canonicalAddress(text)
      return once === undefined || canonicalAddress(once) === once
    })
  )
})
