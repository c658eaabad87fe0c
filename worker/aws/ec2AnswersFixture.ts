/** Answers to DescribeSecurityGroupRules as EC2 might write them, for tests. */
import fc from 'fast-check'

export const PROLOG = '<?xml version="1.0" encoding="UTF-8"?>'
const XMLNS = 'xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"'
const ROOT = 'DescribeSecurityGroupRulesResponse'

/** What may be where. */
interface Parts {
  /** Between two tags. */
  readonly gap: fc.Arbitrary<string>
  readonly text: fc.Arbitrary<string>
  readonly name: fc.Arbitrary<string>
  readonly prolog: fc.Arbitrary<string>
  readonly attributes: fc.Arbitrary<string>
}

const LINES = `securityGroupRuleId groupId groupOwnerId isEgress ipProtocol fromPort toPort cidrIpv4 cidrIpv6 description
  securityGroupRuleArn unheardOf`

const PLAIN: Parts = {
  gap: fc.constantFrom('', '\n', '\n    ', '\n\n  '),
  text: fc.oneof(
    fc.constantFrom(
      ...['tcp', '443', '-1', 'true', 'sg.amazonaws.com/owner', '10.0.0.1/32', '>', ']]>', ' ', '"/>', "='"]
    ),
    fc.constantFrom(
      'a &amp; b',
      '&lt;item&gt;&quot;&apos;',
      '&amp;amp;',
      '\n  ',
      ' a\n b ',
      'Ã©',
      'é',
      '\ufeffx',
      '😀',
      'ÿÿ'
    ),
    fc.string({ unit: fc.constantFrom('a', 'b', 'é', '€', ' ', '&amp;', '/', '>') })
  ),
  name: fc.constantFrom(...LINES.split(/\s+/)),
  prolog: fc.constantFrom('', PROLOG, `${PROLOG}\n`),
  attributes: fc.constantFrom('', ` ${XMLNS}`)
}

const sometimes = (parts: fc.Arbitrary<string>, weight: number, odd: readonly string[]): fc.Arbitrary<string> =>
  fc.oneof({ weight, arbitrary: parts }, { weight: 1, arbitrary: fc.constantFrom(...odd) })

const ODD_TEXTS = [
  '&#10;',
  '&#x41;&#66;',
  '&#xD800;',
  '&',
  '&nothing;',
  '&amp',
  '&AMP;',
  '&constructor;',
  '\r\n',
  'a\rb'
]
const MARKUP = ['<![CDATA[<item>&amp;]]>', '<![CDATA[]]>', 'a<!-- b -->c', '<?pi?>', '<b>bold</b>', '<b/>']
const ODD_NAMES = ['constructor', '__proto__', 'toString', 'a:b', 'a-b', 'é', 'description a="b"', "item nil='1' "]

const ODD: Parts = {
  gap: sometimes(PLAIN.gap, 30, [' ', '\t', '\r\n', '\n<!-- <item> -->', '<?pi <item>?>\n', 'text', '\n&amp;']),
  text: sometimes(PLAIN.text, 9, [...ODD_TEXTS, ...MARKUP]),
  name: sometimes(PLAIN.name, 30, ODD_NAMES),
  prolog: fc.constantFrom(PROLOG, '\ufeff', '<!DOCTYPE a>', `\n${PROLOG}<!-- -->`),
  attributes: fc.constantFrom(` ${XMLNS}`, ` ${XMLNS} a='b'`, '\n', ` ${XMLNS.replaceAll('"', "'")}`)
}

const element = (name: string, inside: string): string => `<${name}>${inside}</${name.replace(/ .*/, '')}>`

type Texts = fc.Arbitrary<string>

/** Elements one after the other, and lists of items, with that between them. */
function sequences(gap: Texts) {
  const join = (all: fc.Arbitrary<string[]>, most: number): Texts =>
    fc
      .tuple(all, gap, fc.array(gap, { minLength: most, maxLength: most }))
      .map(([each, first, gaps]) => first + each.map((one, n) => one + (gaps[n] ?? '')).join(''))
  const several = (each: Texts, maxLength: number): Texts => join(fc.array(each, { maxLength, size: 'max' }), maxLength)
  const nameOf = (one: string): string => /[^ />]+/.exec(one)?.[0] ?? ''
  const distinct = (each: Texts, maxLength: number): Texts =>
    join(fc.uniqueArray(each, { maxLength, selector: nameOf, size: 'max' }), maxLength)
  const list = (name: string, each: Texts, most: number): Texts => {
    const item = each.map((inside) => element('item', inside))
    const full = several(item, most).map((all) => element(name, all))
    return fc.oneof({ weight: 9, arbitrary: full }, fc.constant(`<${name}/>`))
  }
  return { distinct, list, several }
}

/** Up to the end tag of the root, and what comes after it. */
function pageOf({ attributes, gap, name, prolog, text }: Parts): fc.Arbitrary<readonly [page: string, rest: string]> {
  const { distinct, list, several } = sequences(gap)
  const leaf = fc.tuple(name, text, fc.nat(5)).map(([of, inside, n]) => (n === 0 ? `<${of}/>` : element(of, inside)))
  const tag = fc
    .tuple(gap, text, gap, text, gap)
    .map(([a, key, b, value, c]) => a + element('key', key) + b + element('value', value) + c)
  const fields = fc.oneof({ weight: 6, arbitrary: leaf }, { weight: 1, arbitrary: list('tagSet', tag, 3) })
  // A field that comes twice is an array, of which the SDK cannot make a boolean.
  const row = fc.oneof({ weight: 9, arbitrary: distinct(fields, 8) }, several(fields, 8))
  const beside = fc.tuple(fc.constantFrom('nextToken', 'requestId'), text).map(([of, inside]) => element(of, inside))
  const rows = list('securityGroupRuleSet', row, 5)
  const inside = fc
    .tuple(several(beside, 2), fc.oneof({ weight: 9, arbitrary: rows }, several(rows, 2)), several(beside, 2))
    .map((all) => all.join(''))
  return fc
    .tuple(prolog, attributes, inside, fc.constantFrom('', '\n', 'rest', '<more/>'))
    .map(([before, of, all, rest]) => [`${before}<${ROOT}${of}>${all}</${ROOT}>`, rest])
}

export const plainPage = pageOf(PLAIN)
export const oddPage = pageOf(ODD)
