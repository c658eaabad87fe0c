/** Random annotations and random damage to AdmissionReviews: near enough to what is legal to come far into the code. */
import fc from 'fast-check'
import { pod, review, stamped } from './reviewFixture.ts'

const TOKENS = [
  ...[
    'tcp',
    'udp',
    'icmp',
    'icmpv6',
    'all',
    'TCP',
    'tpc',
    'any',
    '-1',
    '6',
    '17',
    '1',
    '58',
    '50',
    '255',
    '256',
    '007'
  ],
  ...[':', ':', ':', '-', '-', ',', ',', ',', '/', '*', ' ', '\t', '\n', '=', '.', '..', '–', '\u00a0', '\u3000', '\0'],
  ...['0', '1', '80', '443', '0443', '5000', '5050', '65535', '65536', '99999', '1e3', '٣', '443-', '-443', '9-8'],
  ...[
    'sg-',
    'sg-0123abcd',
    'sg-0123456789abcdef0',
    'SG-0123ABCD',
    'tcp:443',
    'tcp:5000-5050',
    'all:443',
    '😀',
    '\ud800'
  ]
]

const item = fc.oneof(
  fc.tuple(fc.constantFrom('tcp', 'udp', '6', 'UDP'), fc.nat(66_000)).map(([name, port]) => `${name}:${port}`),
  fc
    .tuple(fc.constantFrom('tcp', 'udp'), fc.nat(66_000), fc.nat(66_000))
    .map(([name, from, to]) => `${name}:${from}-${to}`),
  fc.constantFrom('all', 'icmp', 'icmpv6', 'tcp:*', 'udp:*', '47', ' tcp:443 '),
  fc.array(fc.constantFrom(...TOKENS), { maxLength: 8 }).map((tokens) => tokens.join(''))
)

/** The value of an annotation: of items, of words of the grammar in any order, of anything, and long ones. */
export const values = fc.oneof(
  { weight: 4, arbitrary: fc.array(item, { maxLength: 8 }).map((items) => items.join(',')) },
  { weight: 3, arbitrary: fc.array(fc.constantFrom(...TOKENS), { maxLength: 30 }).map((tokens) => tokens.join('')) },
  { weight: 2, arbitrary: fc.string({ unit: 'binary', maxLength: 100 }) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.oneof(item, fc.constantFrom(...TOKENS)), fc.nat(5000), fc.string({ maxLength: 3 }))
      .map(([text, times, end]) => text.repeat(times).slice(0, 6000) + end)
  }
)

const hex = fc.constantFrom(...Array.from('0123456789abcdef'))
const groupKey = fc.oneof(
  fc.array(hex, { minLength: 8, maxLength: 8 }),
  fc.array(hex, { minLength: 17, maxLength: 17 }),
  fc.array(fc.constantFrom(...Array.from('0123abcdefgABC-')), { maxLength: 20 })
)

export const keys = fc.oneof(
  { weight: 6, arbitrary: groupKey.map((digits) => `sg.amazonaws.com/sg-${digits.join('')}`) },
  {
    weight: 2,
    arbitrary: fc.constantFrom('sg.amazonaws.com', 'sg.amazonaws.com/ingress', 'sg.amazonaws.com/readiness-gate')
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom('sg.amazonaws.com/revoke-rules', 'sg.amazonaws.com/managed', 'sg.amazonaws.com/')
  },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 30 }).map((name) => `sg.amazonaws.com/${name}`) },
  { weight: 1, arbitrary: fc.constantFrom('__proto__', 'constructor', 'toString', 'example.com/other') }
)

const port = fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom(1, 80, 443, 65_534, 65_535))
const legalItem = fc.oneof(
  fc
    .tuple(fc.constantFrom('tcp', 'udp', '6', 'UDP'), port, port)
    .map(([name, one, other]) => `${name}:${Math.min(one, other)}-${Math.max(one, other)}`),
  fc.tuple(fc.constantFrom('tcp', 'udp'), port).map(([name, port]) => ` ${name}:${port}`),
  fc.constantFrom('tcp:*', 'all', 'icmp', 'icmpv6', '50')
)
const legal = fc
  .tuple(fc.array(hex, { minLength: 8, maxLength: 8 }), fc.array(legalItem, { minLength: 1, maxLength: 60 }))
  .map(([digits, items]): [string, string] => [`sg.amazonaws.com/sg-${digits.join('')}`, items.join(',')])

/** Mostly one or two, sometimes more than a pod may have. `__proto__` becomes a key like any other, as with JSON.parse. */
export const annotations: fc.Arbitrary<Readonly<Record<string, string>>> = fc
  .oneof(
    { weight: 6, arbitrary: fc.array(fc.tuple(keys, values), { minLength: 1, maxLength: 2 }) },
    { weight: 3, arbitrary: fc.array(legal, { minLength: 1, maxLength: 3 }) },
    { weight: 1, arbitrary: fc.array(fc.tuple(keys, values), { minLength: 10, maxLength: 25 }) }
  )
  .map((entries) => Object.fromEntries(entries))

const OURS = { 'sg.amazonaws.com/sg-0123abcd': 'tcp:443' }
const BASES: readonly Record<string, unknown>[] = [
  review({ object: pod({ annotations: OURS }) }),
  review({ object: stamped({ annotations: OURS }), oldObject: stamped() }),
  review({ object: { spec: { template: pod({ annotations: OURS }) } }, kind: 'Deployment', resource: 'deployments' }),
  review({
    object: { spec: { jobTemplate: { spec: { template: pod({ annotations: OURS }) } } } },
    kind: 'CronJob',
    resource: 'cronjobs'
  }),
  review({ object: { metadata: { annotations: OURS } }, kind: 'Binding', subResource: 'binding' }),
  review({ object: stamped({ annotations: OURS }), oldObject: stamped(), subResource: 'status' })
]

const PLACES = BASES.map((base) => placesOf(base))

function placesOf(value: unknown, at: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, child]) => [[...at, key], ...placesOf(child, [...at, key])])
}

/** A legal review of which one place holds something else, or nothing. */
const misshapen = fc.nat(BASES.length - 1).chain((index) =>
  fc
    .tuple(fc.constantFrom(...(PLACES[index] ?? [])), fc.oneof(fc.json({ maxDepth: 3 }), ODD_JSON), fc.boolean())
    .map(([place, text, remove]) => {
      const mark = '\u0001mark'
      const copy = structuredClone(BASES[index] ?? {})
      const parent = place.slice(0, -1).reduce((at, key) => at[key] as Record<string, unknown>, copy)
      if (remove) Reflect.deleteProperty(parent, place.at(-1) ?? '')
      else parent[place.at(-1) ?? ''] = mark
      return JSON.stringify(copy).replace(JSON.stringify(mark), () => text)
    })
)

/** JSON that no encoder writes. */
const ODD_JSON = fc.constantFrom(
  '{"__proto__":{"hostNetwork":true},"constructor":{"prototype":1}}',
  '{"a":1,"a":"2","a":[]}',
  '1e999',
  '-0',
  '123456789012345678901234567890',
  '"\\ud800"',
  '"\\u0000"',
  '['.repeat(5000) + ']'.repeat(5000),
  '{"a":'.repeat(2000) + '{}' + '}'.repeat(2000),
  `"${'x'.repeat(300_000)}"`,
  'undefined',
  "'single'",
  '// comment'
)

/** A review of random annotations, which is legal JSON throughout. */
const annotated = fc.tuple(annotations, fc.boolean()).map(([annotations, update]) => {
  const object = stamped({ annotations })
  return JSON.stringify(update ? review({ object, oldObject: stamped({ annotations: OURS }) }) : review({ object }))
})

/** Bytes of a legal review cut, repeated, replaced and inserted. */
const damaged = fc
  .tuple(
    fc.constantFrom(...BASES.map((base) => Buffer.from(JSON.stringify(base)))),
    fc.array(fc.tuple(fc.nat(2000), fc.nat(255), fc.nat(3)), { minLength: 1, maxLength: 5 })
  )
  .map(([whole, damages]) =>
    damages.reduce((bytes, [where, byte, how]) => {
      const at = where % Math.max(1, bytes.length)
      if (how === 0) return bytes.subarray(0, at)
      if (how === 1) return Buffer.concat([bytes.subarray(0, at), Buffer.of(byte), bytes.subarray(at)])
      if (how === 2) return Buffer.concat([bytes, bytes.subarray(at)])
      return Buffer.concat([bytes.subarray(0, at), Buffer.of(byte), bytes.subarray(at + 1)])
    }, whole)
  )

/** The body of a request to the webhook. */
export const bodies: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 3, arbitrary: misshapen.map((text) => Buffer.from(text)) },
  { weight: 3, arbitrary: annotated.map((text) => Buffer.from(text)) },
  { weight: 2, arbitrary: damaged },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) }
)
