import fc from 'fast-check'
import t from 'tap'
import {
  changedKeys,
  MAX_GROUPS,
  MAX_ITEMS,
  MAX_KEYS,
  ours,
  parseAnnotations,
  printAnnotations,
  WHOLE_POD
} from './annotation.ts'
import { printItem } from './annotationItem.ts'
import { describeViolation } from './violation.ts'
import { canonicalProtocol, hasPorts, isSecurityGroupId } from './rules.ts'
import type { RuleRequest, SecurityGroupId } from './rules.ts'

const A = 'sg-0123abcd'
const B = 'sg-0123456789abcdef0'
const key = (id: string): string => `sg.amazonaws.com/${id}`
const printed = (value: string, name = key(A)): string[] =>
  parseAnnotations({ [name]: value }).requests.map((request) => `${request.groupId} ${printItem(request)}`)
const wrong = (annotations: Record<string, string>): string[] =>
  parseAnnotations(annotations).violations.map(describeViolation)
const messages = (value: string, name = key(A)): string[] =>
  parseAnnotations({ [name]: value }).violations.map(({ message }) => message)

t.test('what is legal', async (t) => {
  const cases: [value: string, items: string[]][] = [
    ['tcp:443', ['tcp:443']],
    ['tcp:5000-5050,tcp:443', ['tcp:443', 'tcp:5000-5050']],
    [' TCP:443 ,\tUdp:53 ', ['tcp:443', 'udp:53']],
    ['tcp:1,tcp:65535', ['tcp:1', 'tcp:65535']],
    ['tcp:*', ['tcp:*']],
    ['tcp:1-65535', ['tcp:1-65535']],
    ['tcp:80-80', ['tcp:80']],
    ['6:443,17:53,1,58', ['icmp', 'icmpv6', 'tcp:443', 'udp:53']],
    ['icmp,icmpv6,all', ['all', 'icmp', 'icmpv6']],
    ['0,47,255', ['0', '255', '47']],
    ['ICMPv6,All', ['all', 'icmpv6']]
  ]
  for (const [value, items] of cases)
    t.same(
      printed(value),
      items.map((item) => `${A} ${item}`),
      value
    )
})

t.test('repeated, overlapping and adjacent ranges of one protocol merge', async (t) => {
  const cases: [value: string, items: string[]][] = [
    ['tcp:443,tcp:443,6:443', ['tcp:443']],
    ['tcp:10-20,tcp:15-30', ['tcp:10-30']],
    ['tcp:21-30,tcp:10-20', ['tcp:10-30']],
    ['tcp:10-20,tcp:22-30', ['tcp:10-20', 'tcp:22-30']],
    ['tcp:10-100,tcp:20-30,tcp:90-101', ['tcp:10-101']],
    ['tcp:10-20,udp:15-30', ['tcp:10-20', 'udp:15-30']],
    ['tcp:*,tcp:443', ['tcp:*']],
    ['all,tcp:443,icmp,icmp', ['all', 'icmp', 'tcp:443']]
  ]
  for (const [value, items] of cases)
    t.same(
      printed(value),
      items.map((item) => `${A} ${item}`),
      value
    )
  t.same(parseAnnotations({ [key(A)]: 'tcp:10-20,tcp:15-30,udp:1' }).warnings, [
    `${A}: 3 items merge into 2: tcp:10-30,udp:1`
  ])
  t.same(parseAnnotations({ [key(A)]: 'tcp:10-20,udp:15-30' }).warnings, [])
})

t.test('the canonical numbers of a request', async (t) => {
  t.same(parseAnnotations({ [key(A)]: 'tcp:*,icmp' }).requests, [
    { groupId: A, protocol: 'icmp', fromPort: -1, toPort: -1 },
    { groupId: A, protocol: 'tcp', fromPort: 0, toPort: 65535 }
  ])
})

const PROTOCOLS = "protocol must be 'tcp', 'udp', 'icmp', 'icmpv6', 'all' or a number from 0 to 255"
const PORTS = "port must be a number from 1 to 65535 without leading zeros, a range such as '5000-5050', or '*' for all"
const ID = "security group id must be 'sg-' and 8 or 17 hexadecimal digits in lower case"

t.test('what is wrong with an item, in a sentence', async (t) => {
  const mean = (sentence: string, suggestion: string): string => `${sentence}; did you mean '${suggestion}'?`
  const cases: [value: string, sentence: string][] = [
    ['tpc:443', mean(PROTOCOLS, 'tcp:443')],
    ['upd:53', mean(PROTOCOLS, 'udp:53')],
    ['tcp/443', mean(PROTOCOLS, 'tcp:443')],
    ['443/tcp', mean(PROTOCOLS, 'tcp:443')],
    ['443:tcp', mean(PROTOCOLS, 'tcp:443')],
    ['tcp443', mean(PROTOCOLS, 'tcp:443')],
    ['443', mean(PROTOCOLS, 'tcp:443')],
    ['8000-8080', mean(PROTOCOLS, 'tcp:8000-8080')],
    ['-1', mean(PROTOCOLS, 'all')],
    ['any', mean(PROTOCOLS, 'all')],
    ['any:443', PROTOCOLS],
    ['icmp6', mean(PROTOCOLS, 'icmpv6')],
    ['icp:443', PROTOCOLS],
    ['ucp:53', PROTOCOLS],
    ['256', mean(PROTOCOLS, 'tcp:256')],
    ['006:443', mean(PROTOCOLS, 'tcp:443')],
    ['sctp:9', PROTOCOLS],
    ['http', PROTOCOLS],
    [':443', PROTOCOLS],
    [`${A}:tcp:443`, mean(PROTOCOLS, 'tcp:443')],
    ['tcp :443', mean(PROTOCOLS, 'tcp:443')],
    ['tcp', "'tcp' needs ports, such as 'tcp:443', 'tcp:5000-5050' or 'tcp:*' for all"],
    ['17', "'17' needs ports, such as '17:443', '17:5000-5050' or '17:*' for all; did you mean 'tcp:17'?"],
    ['tcp:', PORTS],
    ['tcp:80-', mean(PORTS, 'tcp:80')],
    ['tcp: 80', mean(PORTS, 'tcp:80')],
    ['tcp:443\n', mean(PORTS, 'tcp:443')],
    ['tcp:080', mean(PORTS, 'tcp:80')],
    ['tcp:80..90', mean(PORTS, 'tcp:80-90')],
    ['tcp:80:90', PORTS],
    ['tcp:0:65535', PORTS],
    ['tcp:0', PORTS],
    ['tcp:0-65535', mean(PORTS, 'tcp:*')],
    ['tcp:-65535', mean(PORTS, 'tcp:65535')],
    ['tcp:65536', PORTS],
    ['tcp:1-65536', PORTS],
    ['tcp:https', PORTS],
    ['tcp:1e3', PORTS],
    ['tcp:٤٤٣', PORTS],
    ['tcp:*-80', PORTS],
    ['tcp:1-2-3', PORTS],
    ['tcp:5050-5000', mean('first port must be less than or equal to last port', 'tcp:5000-5050')],
    ['icmp:8', "'icmp' takes no ports: write 'icmp' alone, which means every type"],
    ['icmp:*', mean("'icmp' takes no ports: write 'icmp' alone, which means every type", 'icmp')],
    ['tcp:443 udp:53', mean(PORTS, 'tcp:443,udp:53')],
    ['tcp:443;udp:53; all', mean(PORTS, 'tcp:443,udp:53,all')],
    ['tcp:443 80', PORTS],
    ['tcp 443', mean(PROTOCOLS, 'tcp:443')],
    [`${A}:tpc:443`, PROTOCOLS],
    ['SG-0123ABCD:443', PROTOCOLS],
    ['sg-bbbbbbbb:tcp:80', "this item names another group: write it under its own key 'sg.amazonaws.com/sg-bbbbbbbb'"],
    ['sg-bbbb:tcp:80', 'this item names another group: write it under its own key'],
    ['47:443', "'47' takes no ports: write '47' alone, which opens all of them"],
    ['all:443', "for port 443 write 'tcp:443' or 'udp:443': 'all' takes no ports, and alone opens all of them"],
    ['ALL:1-9', "for ports 1-9 write 'tcp:1-9' or 'udp:1-9': 'all' takes no ports, and alone opens all of them"],
    ['all:*', mean("'all' takes no ports: write 'all' alone, which opens all of them", 'all')],
    ['all:0', "'all' takes no ports: write 'all' alone, which opens all of them"]
  ]
  for (const [value, sentence] of cases) {
    t.same(messages(value), [sentence], value)
    t.same(parseAnnotations({ [key(A)]: value }).requests, [], value)
  }
})

t.test('what is wrong with a value', async (t) => {
  t.same(messages(''), ["value must not be empty: write a rule such as 'tcp:443', or remove the annotation"])
  t.same(messages(' \t'), ["value must not be empty: write a rule such as 'tcp:443', or remove the annotation"])
  t.same(messages('tcp:1,,tcp:2,'), [
    'item 2 is empty: write one item between commas, and none after the last',
    'item 4 is empty: write one item between commas, and none after the last'
  ])
  t.same(messages(`tcp:443${' '.repeat(4090)}`), ['value must be at most 4096 bytes long, and has 4097'])
  t.same(printed(`tcp:443${' '.repeat(4089)}`), [`${A} tcp:443`])
  t.same(messages('é'.repeat(2049)), ['value must be at most 4096 bytes long, and has 4098'])
})

t.test('what is wrong with a key', async (t) => {
  const cases: [name: string, sentence: string][] = [
    ['sg-1A2B3C4D', `${ID}; did you mean 'sg-1a2b3c4d'?`],
    ['sg_0123abcd', `${ID}; did you mean 'sg-0123abcd'?`],
    ['sg-0a1b', ID],
    ['sg-0123abcd9', ID],
    ['sg-0123456789abcdefg', ID],
    [
      'readyness-gate',
      "key must be 'sg.amazonaws.com/' and a security group id, or 'sg.amazonaws.com/readiness-gate'; did you mean 'sg.amazonaws.com/readiness-gate'?"
    ],
    ['egress', "key must be 'sg.amazonaws.com/' and a security group id, or 'sg.amazonaws.com/readiness-gate'"],
    ['managed', "'sg.amazonaws.com/managed' is a label that kube-sg sets itself, not an annotation; remove it"]
  ]
  for (const [name, sentence] of cases) t.same(messages('tcp:443', key(name)), [sentence], name)
})

t.test('all violations at once, each with its path and value', async (t) => {
  t.same(
    wrong({
      'sg.amazonaws.com/sg-0c2d3e4f': 'tpc:443, tcp:1, tcp:9-8',
      [key(B)]: 'udp:53',
      'sg.amazonaws.com/readiness-gate': 'True',
      'sg.amazonaws.com/sg-XYZ': 'tcp:1',
      'other.example.com/sg-XYZ': ''
    }),
    [
      `metadata.annotations[sg.amazonaws.com/readiness-gate]: Invalid value: "True": value must be 'true' or 'false'; did you mean 'true'?`,
      `metadata.annotations[sg.amazonaws.com/sg-0c2d3e4f]: Invalid value: "tpc:443": ${PROTOCOLS}; did you mean 'tcp:443'?`,
      `metadata.annotations[sg.amazonaws.com/sg-0c2d3e4f]: Invalid value: "tcp:9-8": first port must be less than or equal to last port; did you mean 'tcp:8-9'?`,
      `metadata.annotations[sg.amazonaws.com/sg-XYZ]: Invalid value: "sg.amazonaws.com/sg-XYZ": ${ID}`
    ]
  )
})

t.test('a key with a violation grants nothing, the others do', async (t) => {
  const { requests, settings } = parseAnnotations({
    [key(A)]: 'tcp:1,tpc:2',
    [key(B)]: 'udp:53',
    'sg.amazonaws.com/readiness-gate': 'true'
  })
  t.same(requests, [{ groupId: B, protocol: 'udp', fromPort: 53, toPort: 53 }])
  t.equal(settings.readinessGate, true)
  t.equal(parseAnnotations({ 'sg.amazonaws.com/readiness-gate': 'yes' }).settings.readinessGate, false)
  t.equal(parseAnnotations({ 'sg.amazonaws.com/readiness-gate': 'false' }).settings.readinessGate, false)
})

t.test('the spellings of 2018 are read, with a warning', async (t) => {
  const bare = parseAnnotations({ 'sg.amazonaws.com': `${A}:tcp:80,${B}:udp:1-2 , ${A}:tcp:443` })
  t.same(bare.violations, [])
  t.same(
    bare.requests.map((request) => `${request.groupId} ${printItem(request)}`),
    [`${B} udp:1-2`, `${A} tcp:80`, `${A} tcp:443`].sort((a, b) => (a.split(' ')[0]! < b.split(' ')[0]! ? -1 : 0))
  )
  t.same(bare.warnings, [
    `metadata.annotations[sg.amazonaws.com]: old spelling; write a key for each group, such as 'sg.amazonaws.com/${A}: tcp:80'`
  ])
  t.same(printed(`${A}:tcp:80`, 'sg.amazonaws.com/ingress'), [`${A} tcp:80`])
  t.same(messages('tcp:80', 'sg.amazonaws.com'), [
    "item must begin with its group, such as 'sg-0123abcd:tcp:80'".replace('80', '443')
  ])
  t.same(messages('sg-1A2B3C4D:tcp:80', 'sg.amazonaws.com'), [`${ID}; did you mean 'sg-1a2b3c4d'?`])
  const form = `item must be a group, a protocol and its ports, such as '${A}:tcp:443'`
  t.same(messages(`${A},${A}:`, 'sg.amazonaws.com'), [form, form])
  t.same(messages(`${A}:tpc:80`, 'sg.amazonaws.com'), [`${PROTOCOLS}; did you mean '${A}:tcp:80'?`])
  t.same(messages(`${A}:tcp:80 udp:80`, 'sg.amazonaws.com'), [`${PORTS}; did you mean '${A}:tcp:80,${A}:udp:80'?`])
  t.same(messages(`${A}:${B}:tcp:80`, 'sg.amazonaws.com'), [
    `this item names another group: write it under its own key 'sg.amazonaws.com/${B}'`
  ])
  t.same(messages('', 'sg.amazonaws.com'), [
    "value must not be empty: write a rule such as 'sg-0123abcd:tcp:443', or remove the annotation"
  ])
  const both = parseAnnotations({ 'sg.amazonaws.com': `${A}:tcp:80-90`, [key(A)]: 'tcp:85-100' })
  t.same(both.requests, [{ groupId: A, protocol: 'tcp', fromPort: 80, toPort: 100 }])
})

t.test('a bare number that is better known as a port is legal, with a warning', async (t) => {
  const { violations, warnings, requests } = parseAnnotations({ [key(A)]: 'tcp:80,22,47' })
  t.same(violations, [])
  t.equal(requests.length, 3)
  t.same(warnings, [
    `metadata.annotations[sg.amazonaws.com/${A}]: '22' is protocol number 22 and opens no port; for the port write 'tcp:22'`
  ])
})

const ports = (count: number): string => Array.from({ length: count }, (_, index) => `tcp:${index * 2 + 1}`).join(',')

t.test('60 items a group, over all keys that name it', async (t) => {
  t.equal(parseAnnotations({ [key(A)]: ports(MAX_ITEMS) }).requests.length, MAX_ITEMS)
  const sentence = `a group must have at most 60 items on one pod, and '${A}' has 61`
  t.same(messages(ports(MAX_ITEMS + 1)), [sentence])
  t.same(messages(Array(61).fill('tcp:1').join(',')), [sentence], 'counted as written')
  const both = parseAnnotations({ [key(A)]: ports(MAX_ITEMS), 'sg.amazonaws.com': `${A}:udp:1,${B}:udp:1` })
  t.same(
    both.violations.map(({ key, message }) => [key, message]),
    [
      ['sg.amazonaws.com', sentence],
      [key(A), sentence]
    ]
  )
  t.same(both.requests, [])
})

t.test('16 groups a pod, over all keys; more grant nothing at all', async (t) => {
  const groups = (count: number): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [key(`sg-${String(index).padStart(8, '0')}`), 'tcp:1'])
    )
  t.equal(parseAnnotations(groups(MAX_GROUPS)).requests.length, MAX_GROUPS)
  const tooMany = parseAnnotations({ ...groups(MAX_GROUPS), 'sg.amazonaws.com': `${A}:tcp:1` })
  t.same(tooMany.requests, [])
  t.same(tooMany.violations.map(describeViolation), [
    'metadata.annotations: Invalid value: "17 security groups": a pod must name at most 16 security groups, and this one names 17'
  ])
  t.equal(tooMany.violations[0]?.key, WHOLE_POD)
  t.same(tooMany.groups, [], 'nobody is asked about groups without number')
  t.same(parseAnnotations({ [key(B)]: 'tpc:1', 'sg.amazonaws.com': `${A}:tcp:1,${A}:tcp:2` }).groups, [B, A].sort())
})

t.test('only our keys are ours', async (t) => {
  const annotations = {
    'sg.amazonaws.com': '1',
    'sg.amazonaws.com/x': '2',
    'sg.amazonaws.commerce/x': '3',
    'vpc.amazonaws.com/pod-eni': '4',
    'SG.amazonaws.com/x': '5'
  }
  t.same(Object.keys(ours(annotations)), ['sg.amazonaws.com', 'sg.amazonaws.com/x'])
  t.same(ours(undefined), {})
  const hostile = JSON.parse('{"__proto__":"tcp:1","constructor":"x","sg.amazonaws.com/__proto__":"tcp:1"}') as Record<
    string,
    string
  >
  t.same(Object.keys(ours(hostile)), ['sg.amazonaws.com/__proto__'])
  t.equal(parseAnnotations(hostile).violations.length, 1)
})

t.test('changed keys: added, changed, removed, and ours alone', async (t) => {
  const [a, b, c] = [key('a'), key('b'), key('c')]
  t.same(changedKeys({ [a]: '1', [b]: '2', other: '1' }, { [b]: '3', [c]: '4', other: '2' }), [a, b, c])
  t.same(changedKeys({ [a]: '1', [b]: '2' }, { [b]: '2', [a]: '1' }), [])
  t.same(changedKeys(undefined, { [a]: '' }), [a])
  t.same(changedKeys({ [a]: '' }, undefined), [a])
  t.same(changedKeys({ other: '1' }, {}), [])
})

const protocol = fc.oneof(
  fc.constantFrom('tcp', 'udp', 'icmp', 'icmpv6', 'all'),
  fc.integer({ min: 0, max: 255 }).map(String)
)
const request = fc
  .record({
    groupId: fc.constantFrom(A, B, 'sg-00000000').map((id) => id as SecurityGroupId),
    protocol: protocol.map(canonicalProtocol),
    ends: fc.tuple(fc.integer({ min: 1, max: 65535 }), fc.integer({ min: 1, max: 65535 })),
    every: fc.boolean()
  })
  .map(({ groupId, protocol, ends, every }): RuleRequest => {
    const [fromPort, toPort] = !hasPorts(protocol)
      ? [-1, -1]
      : every
        ? [0, 65535]
        : [Math.min(...ends), Math.max(...ends)]
    return { groupId, protocol, fromPort, toPort }
  })
const nasty = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc
    .array(fc.constantFrom('tcp', 'udp', ':', '-', '443', '0', '65536', ',', ' ', '\t', '\n', '*', 'all', A, '/', '١'))
    .map((parts) => parts.join(''))
)
const name = fc.oneof(
  nasty,
  nasty.map((text) => `sg.amazonaws.com/${text}`),
  fc.constantFrom(key(A), key(B), 'sg.amazonaws.com', 'sg.amazonaws.com/ingress', 'sg.amazonaws.com/readiness-gate')
)

t.test('property: print then parse is the same, and parse then print then parse too', async (t) => {
  fc.assert(
    fc.property(fc.array(request, { maxLength: 40 }), (requests) => {
      const canonical = parseAnnotations(printAnnotations(requests))
      t.same(canonical.violations, [])
      const again = parseAnnotations(printAnnotations(canonical.requests))
      t.same(again.requests, canonical.requests)
      t.same(
        again.warnings.filter((warning) => warning.includes('merge')),
        []
      )
      const opens = (all: readonly RuleRequest[], wanted: RuleRequest): boolean =>
        all.some(
          (one) =>
            one.groupId === wanted.groupId &&
            one.protocol === wanted.protocol &&
            one.fromPort <= wanted.fromPort &&
            one.toPort >= wanted.toPort
        )
      t.ok(requests.every((wanted) => opens(canonical.requests, wanted)))
    }),
    { numRuns: 500 }
  )
  t.end()
})

t.test('property: never throws; a violation names its key; order does not matter', async (t) => {
  fc.assert(
    fc.property(fc.array(fc.tuple(name, nasty), { maxLength: 12 }), (entries) => {
      const unique = [...new Map(entries)]
      const annotations = Object.fromEntries(unique)
      const declaration = parseAnnotations(annotations)
      const keys = Object.keys(annotations)
      if (!declaration.violations.every(({ key }) => key === WHOLE_POD || keys.includes(key))) return false
      const reversed = parseAnnotations(Object.fromEntries(unique.toReversed()))
      return JSON.stringify(reversed) === JSON.stringify(declaration)
    }),
    { numRuns: 2000 }
  )
  t.pass('held')
})

t.test('property: what is suggested is legal', async (t) => {
  fc.assert(
    fc.property(nasty, fc.constantFrom(key(A), 'sg.amazonaws.com'), (value, at) => {
      for (const { message } of parseAnnotations({ [at]: value }).violations) {
        const suggestion = /did you mean '(.*)'\?$/.exec(message)?.[1]
        if (suggestion === undefined || isSecurityGroupId(suggestion)) continue
        if (parseAnnotations({ [at]: suggestion }).violations.length > 0) return false
      }
      return true
    }),
    { numRuns: 2000 }
  )
  t.pass('held')
})

const manyGroups = (count: number, value: string): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [key(`sg-${String(index).padStart(8, '0')}`), value]))

t.test('past a limit only the limit is told, and what is past it is not read', async (t) => {
  const items = `a group must have at most 60 items on one pod, and '${A}' has 682`
  t.same(messages('tpc:1,'.repeat(682).slice(0, -1)), [items])
  t.same(messages('tpc:1,'.repeat(682)), [
    'item 683 is empty: write one item between commas, and none after the last',
    items
  ])
  t.same(messages(','.repeat(4000)), ['4001 items are empty: write one item between commas, and none after the last'])
  t.same(wrong(manyGroups(60, 'tpc,'.repeat(1000))), [
    'metadata.annotations: Invalid value: "60 security groups": a pod must name at most 16 security groups, and this one names 60'
  ])
  const keys = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [key(`x${index}`), '']))
  t.equal(wrong(keys(MAX_KEYS)).length, MAX_KEYS)
  t.same(wrong(keys(20_000)), [
    'metadata.annotations: Invalid value: "20000 annotations": a pod must have at most 100 annotations of \'sg.amazonaws.com/\', and this one has 20000, of which none was read'
  ])
  t.same(parseAnnotations({ ...keys(MAX_KEYS), [key(A)]: 'tcp:1' }).requests, [])
  t.equal(wrong({ 'sg.amazonaws.com': ports(61) }).length, 61, 'no group, no limit of a group')
  t.equal(messages('tpc:1,tcp:0, tpc:1,tcp:0').length, 2, 'the same mistake again is told once')
})

t.test('the groups that are named, with faults too, but not where nothing is written', async (t) => {
  const groups = (value: string) => parseAnnotations({ [key(A)]: value }).groups
  t.same([groups('tpc:1'), groups('tcp:1,'), groups(' , '), groups('')], [[A], [A], [], []])
})

t.test('blanks inside an item are kept, however many', async (t) => {
  t.same(messages(`x${' '.repeat(4050)}x`), [PROTOCOLS])
  t.same(printed(`${' \t'.repeat(1000)}tcp:1${'\t '.repeat(1000)}`), [`${A} tcp:1`])
})

t.test('property: the number of violations is bounded, whatever is written', async (t) => {
  const text = fc.constantFrom('tpc,', 'tcp:0,', ',', 'a,', `${A}:x,`, `${A},`, 'sg-1,')
  const value = fc.tuple(text, fc.integer({ min: 0, max: 1000 })).map(([item, count]) => item.repeat(count))
  const pod = fc.tuple(fc.integer({ min: 0, max: 300 }), value, value)
  const most = MAX_GROUPS * (2 * MAX_ITEMS + 1) + 2 * 2048 + MAX_KEYS
  fc.assert(
    fc.property(pod, ([count, value, old]) => {
      const annotations = { ...manyGroups(count, value), 'sg.amazonaws.com': old, 'sg.amazonaws.com/ingress': old }
      return parseAnnotations(annotations).violations.length <= most
    }),
    { numRuns: 200 }
  )
  t.pass('held')
})

t.test('only some keys judged: the others count towards the limits and grant nothing', async (t) => {
  const only = new Set([key(A)])
  const both = { [key(A)]: 'tcp:1', [key(B)]: 'tpc:1', 'sg.amazonaws.com': `${B}:udp:1` }
  const { requests, violations, warnings } = parseAnnotations(both, only)
  t.same([requests.map(({ groupId }) => groupId), violations, warnings], [[A], [], []])
  const split = { [key(A)]: ports(MAX_ITEMS), 'sg.amazonaws.com': `${A}:udp:1` }
  t.same(
    parseAnnotations(split, only).violations.map(({ key }) => key),
    [key(A)]
  )
  t.equal(parseAnnotations({ ...manyGroups(16, 'tcp:1'), [key(A)]: 'tcp:1' }, only).violations[0]?.key, WHOLE_POD)
})
