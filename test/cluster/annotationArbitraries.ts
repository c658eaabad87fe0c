/**
 * Annotations as an adversary would write them, for fast-check: some legal, most one slip away from it, and some noise; every
 * limit of the grammar is met from both sides. Long, as every part serves the next.
 */
import fc from 'fast-check'
import { MAX_GROUPS, MAX_ITEMS, MAX_KEYS, MAX_VALUE_BYTES } from '../../shared/annotation.ts'
import { LEGACY_BARE_KEY, LEGACY_INGRESS_KEY, PREFIX, READINESS_GATE_KEY } from '../../shared/names.ts'

export type Entries = Readonly<Record<string, string>>

/** Most of them may be used: see {@link PERMITTED}. */
const GROUPS = Array.from({ length: 20 }, (_, index) =>
  index % 3 === 0 ? `sg-${String(index).padStart(17, 'a')}` : `sg-${String(index).padStart(8, '0')}`
)
export const PERMITTED = GROUPS.filter((_, index) => index % 6 !== 2)

const group = fc.constantFrom(...GROUPS.slice(0, 6), ...GROUPS)

/** Blanks that trim and such that do not, letters that fold to ASCII, digits that are none, and what splits and joins. */
const NASTY = [
  ...Array.from(':-,*/+._ \t0159sgtTpP'),
  ...Array.from('\n\r\0\v\f\u0085\u00a0\u1680\u2003\u2028\u202f\u200b\u3000\ufeff\u180e'),
  ...Array.from('\u212a\u017f\u0130\u0131\uff11\uff34\u0661\u00b2\u2013'),
  '\u{1d7d9}',
  '\u{1f600}',
  'ﬁ',
  'e\u0301'
]
const noise = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 12 }).map((text) => text.toWellFormed()),
  fc.string({ unit: fc.constantFrom(...NASTY), maxLength: 12 })
)

const NUMBERS = [
  0, 1, 2, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 60_000, 65_534, 65_535, 65_536, 65_540, 65_600, 66_000
]
const number = fc.oneof(
  fc.constantFrom(...NUMBERS, 70_000, 99_999, 100_000, 2 ** 31, 2 ** 32, 2 ** 63, 255, 256, 254, 300).map(String),
  fc.integer({ min: 0, max: 70_000 }).map(String),
  fc.constantFrom('00', '01', '080', '065535', '', '-1', '1e3', '0x50', '1.0', '+1', '18446744073709551617')
)
const port = fc.integer({ min: 1, max: 65_535 })
const ports = fc.oneof(
  port.map(String),
  fc.tuple(port, port).map((ends) => ends.toSorted((a, b) => a - b).join('-')),
  port.map((one) => `${one}-${one}`),
  fc.constant('*')
)
const wrongPorts = fc.oneof(
  fc.tuple(port, port).map((ends) => ends.join('-')),
  number,
  fc.tuple(number, number).map((ends) => ends.join('-')),
  fc.constantFrom('-', '80-', '-80', '1-2-3', '*-80', '**', '0-65535', 'https', '80..90', '80 - 90')
)

/** Both sides of what a port may be. */
const edges = fc.constantFrom(
  ...['0', '1', '65535', '65536', '0-1', '1-65535', '1-65536', '65535-65536', '65536-65537', '2-1', '1-1', '99999'],
  ...['100000', '9999-10000', '10000-9999', '60000-7000', '08', '0-65535']
)

/** Its letters in any case. */
const cased = (word: string): fc.Arbitrary<string> =>
  fc.oneof(
    fc.constant(word),
    fc
      .array(fc.boolean(), { minLength: word.length, maxLength: word.length })
      .map((upper) =>
        Array.from(word, (letter, index) => (upper[index] === true ? letter.toUpperCase() : letter)).join('')
      )
  )
const withPorts = fc.constantFrom('tcp', 'udp', '6', '17').chain(cased)
const withoutPorts = fc.oneof(
  fc.constantFrom('icmp', 'icmpv6', 'all', '1', '58', '0', '47', '255').chain(cased),
  fc.integer({ min: 0, max: 255 }).map(String)
)
const protocol = fc.oneof(
  withPorts,
  withoutPorts,
  fc.constantFrom(
    'tpc',
    'sctp',
    'any',
    'tcpudp',
    'tcp ',
    'http',
    '006',
    '256',
    '300',
    '-1',
    '\u0131cmp',
    '\u017f',
    'T\uff23P'
  )
)
const legalItem = fc.oneof(
  { arbitrary: fc.tuple(withPorts, ports).map(([name, numbers]) => `${name}:${numbers}`), weight: 3 },
  { arbitrary: withoutPorts, weight: 1 }
)
const item = fc.oneof(
  { arbitrary: legalItem, weight: 12 },
  { arbitrary: fc.tuple(protocol, fc.oneof(ports, wrongPorts)).map((parts) => parts.join(':')), weight: 2 },
  { arbitrary: protocol, weight: 1 },
  { arbitrary: legalItem.chain(slip), weight: 2 },
  { arbitrary: noise, weight: 1 }
)

/** One character too many, too few, or another. */
function slip(text: string): fc.Arbitrary<string> {
  return fc
    .tuple(fc.nat({ max: text.length }), fc.constantFrom(0, 1), fc.oneof(fc.constant(''), fc.constantFrom(...NASTY)))
    .map(([at, drop, put]) => text.slice(0, at) + put + text.slice(at + drop))
}

const blanks = fc.oneof(
  { arbitrary: fc.constant(''), weight: 3 },
  { arbitrary: fc.string({ unit: fc.constantFrom(' ', '\t'), maxLength: 3 }), weight: 1 }
)
const wrongBlanks = fc.oneof(blanks, blanks, fc.constantFrom('\n', '\u00a0', '\ufeff'))
const padded = (of: fc.Arbitrary<string>, by = blanks): fc.Arbitrary<string> =>
  fc.tuple(by, of, by).map(([before, text, after]) => before + text + after)

/** Mostly some; at times about as many as a group may have. */
const counted = (of: fc.Arbitrary<string>): fc.Arbitrary<string[]> =>
  fc.oneof(
    { arbitrary: fc.array(of, { minLength: 1, maxLength: 4 }), weight: 12 },
    { arbitrary: fc.array(of, { minLength: MAX_ITEMS / 2 - 1, maxLength: MAX_ITEMS / 2 + 1 }), weight: 1 },
    { arbitrary: fc.array(of, { minLength: MAX_ITEMS - 1, maxLength: MAX_ITEMS + 2 }), weight: 1 }
  )

/** To about as many bytes as a value may have, of one, two or four bytes a character. */
function filled(value: string): fc.Arbitrary<string> {
  return fc
    .tuple(fc.integer({ min: -2, max: 2 }), fc.constantFrom(' ', '\t', ' ', '\u00e9', '\u{1f600}'), fc.boolean())
    .map(([off, filling, before]) => {
      const missing = Math.max(0, MAX_VALUE_BYTES + off - Buffer.byteLength(value))
      const fill = filling.repeat(Math.floor(missing / Buffer.byteLength(filling)))
      return before ? fill + value : value + fill
    })
}

const shaped = (items: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.oneof(
    { arbitrary: counted(padded(items, wrongBlanks)).map((all) => all.join(',')), weight: 20 },
    { arbitrary: counted(items).chain((all) => filled(all.join(','))), weight: 1 },
    { arbitrary: counted(items).chain((all) => slip(all.join(','))), weight: 2 },
    { arbitrary: fc.constantFrom('', ' ', '\t', '\n', '\u00a0', ',', ' , ', '\ufeff', '\u3000 '), weight: 1 },
    { arbitrary: fc.tuple(noise, fc.nat({ max: 700 })).map(([text, times]) => `${text},`.repeat(times)), weight: 1 }
  )

const legal = counted(padded(legalItem)).map((all) => all.join(','))
const value = fc.oneof(
  { arbitrary: legal, weight: 6 },
  { arbitrary: shaped(item), weight: 2 },
  // One item at an edge, and nothing else that could be wrong.
  { arbitrary: fc.tuple(withPorts, edges).map((parts) => parts.join(':')), weight: 1 },
  { arbitrary: withoutPorts, weight: 1 },
  { arbitrary: number, weight: 1 },
  // A comma too many.
  { arbitrary: fc.tuple(legal, fc.constantFrom(',', ' ,', ', ')).map((parts) => parts.join('')), weight: 1 },
  { arbitrary: fc.tuple(fc.constantFrom(',', ' ,', ', '), legal).map((parts) => parts.join('')), weight: 1 }
)

const writtenGroup = fc.oneof(
  { arbitrary: group, weight: 20 },
  { arbitrary: group.chain(slip), weight: 2 },
  { arbitrary: group.map((id) => id.toUpperCase()), weight: 1 },
  { arbitrary: noise, weight: 1 }
)
const legacyItem = (id: fc.Arbitrary<string>, of: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(id, of).map(([before, text]) => `${before}:${text}`)
const legacyValue = fc.oneof(
  { arbitrary: counted(padded(legacyItem(group, legalItem))).map((all) => all.join(',')), weight: 8 },
  {
    // One group alone, so that its number of items meets its limit.
    arbitrary: group.chain((id) => counted(legacyItem(fc.constant(id), legalItem)).map((all) => all.join(','))),
    weight: 1
  },
  { arbitrary: shaped(fc.oneof(legacyItem(writtenGroup, item), item, writtenGroup)), weight: 2 }
)

const name = fc.string({ unit: fc.constantFrom(...Array.from('sgSG-_.0aAfFxyz')), minLength: 1, maxLength: 22 })
/** What the API server lets through as an annotation's key. */
const isKey = (key: string): boolean => /^(?:[^/]+\/)?[A-Za-z0-9](?:[\w.-]{0,61}[A-Za-z0-9])?$/.test(key)
const otherKey = fc
  .oneof(
    group.chain(slip).map((id) => PREFIX + id),
    group.map((id) => PREFIX + id.toUpperCase()),
    name.map((text) => PREFIX + text),
    fc.constantFrom('managed', 'readiness-gates', 'Ingress', 'sg-', 'egress', '__proto__x').map((text) => PREFIX + text)
  )
  .filter(isKey)
const foreignKey = fc.constantFrom(
  'app',
  'sg.amazonaws.comx',
  'sg.amazonaws.co',
  'x.sg.amazonaws.com/sg-00000001',
  'SG.amazonaws.com/x'
)

type Entry = [key: string, value: string]
const groupEntry: fc.Arbitrary<Entry> = fc.tuple(
  group.map((id) => PREFIX + id),
  value
)
const legacyEntry: fc.Arbitrary<Entry> = fc.tuple(fc.constantFrom(LEGACY_BARE_KEY, LEGACY_INGRESS_KEY), legacyValue)
const settingEntry: fc.Arbitrary<Entry> = fc.tuple(
  fc.constant(READINESS_GATE_KEY),
  fc.oneof(
    { arbitrary: fc.constantFrom('true', 'false'), weight: 5 },
    { arbitrary: fc.constantFrom('True', 'yes', '', ' true', 'true\n'), weight: 1 }
  )
)
const otherEntry: fc.Arbitrary<Entry> = fc.tuple(otherKey, fc.oneof(value, noise))
const foreignEntry: fc.Arbitrary<Entry> = fc.tuple(foreignKey, noise)
const entry = fc.oneof(
  { arbitrary: groupEntry, weight: 10 },
  { arbitrary: legacyEntry, weight: 4 },
  { arbitrary: settingEntry, weight: 2 },
  { arbitrary: otherEntry, weight: 1 },
  { arbitrary: foreignEntry, weight: 2 }
)

/** About as many groups, or keys, as a pod may have. */
const crowd = fc.oneof(
  fc
    .tuple(fc.integer({ min: MAX_GROUPS - 1, max: MAX_GROUPS + 1 }), fc.constantFrom('tcp:1', 'tcp:1', 'all', '', ','))
    .map(([count, text]): Entry[] => GROUPS.slice(0, count).map((id) => [PREFIX + id, text])),
  fc
    .integer({ min: MAX_KEYS - 2, max: MAX_KEYS + 1 })
    .map((count) => Array.from({ length: count }, (_, index): Entry => [`${PREFIX}x${index}`, 'tcp:1']))
)

/** One group under several keys, with about as many items in all as it may have. */
const shared = fc
  .tuple(
    group,
    fc.integer({ min: MAX_ITEMS - 1, max: MAX_ITEMS + 2 }),
    fc.nat({ max: 3 }),
    fc.nat({ max: MAX_ITEMS - 1 })
  )
  .map(([id, total, ways, cut]): Entry[] => {
    const items = (count: number, before = ''): string => Array<string>(count).fill(`${before}tcp:1`).join(',')
    const old = items(cut, `${id}:`)
    const rest = total - cut
    if (ways === 0) return [[LEGACY_BARE_KEY, items(total, `${id}:`)]]
    if (cut === 0) return [[PREFIX + id, items(total)]]
    return [
      [ways === 1 ? LEGACY_BARE_KEY : LEGACY_INGRESS_KEY, old],
      ways === 3 ? [LEGACY_BARE_KEY, items(rest, `${id}:`)] : [PREFIX + id, items(rest)]
    ]
  })

/** Annotations of one pod. */
export const annotations: fc.Arbitrary<Entries> = fc
  .oneof(
    { arbitrary: fc.array(entry, { minLength: 1, maxLength: 3 }), weight: 14 },
    {
      arbitrary: fc.tuple(fc.oneof(crowd, shared), fc.array(entry, { maxLength: 3 })).map((parts) => parts.flat()),
      weight: 1
    },
    { arbitrary: fc.oneof(crowd, shared, shared), weight: 1 }
  )
  .map((entries) => Object.fromEntries(entries))

/** What an edit makes of a pod's annotations: some stay, some go, some change, some come. */
export const edit: fc.Arbitrary<(before: Entries) => Entries> = fc
  .tuple(
    fc.array(fc.constantFrom('keep', 'keep', 'keep', 'remove', 'change'), { maxLength: 200 }),
    annotations,
    fc.boolean()
  )
  .map(([fates, others, adds]) => (before) => {
    const values = Object.values(others)
    const kept = Object.entries(before).flatMap(([key, old], index): Entry[] => {
      const fate = fates[index] ?? 'keep'
      if (fate === 'remove') return []
      return [[key, fate === 'change' ? (values[index % values.length] ?? '') : old]]
    })
    return { ...Object.fromEntries(kept), ...(adds ? others : {}) }
  })
