/**
 * The grammar as RE2 patterns, made from the tables that the parser reads by. RE2 knows no look-around and no back
 * references, and neither do these.
 */
import { EVERY_PORT, LAST_NUMBER, LAST_PORT, NAMED, NUMBER, PORTS } from '../../shared/annotationItem.ts'
import { PREFIX } from '../../shared/names.ts'
import { canonicalProtocol, GROUP_ID, hasPorts } from '../../shared/rules.ts'

/** What may stand around an item: the blanks that the parser trims. */
const BLANKS = '[ \\t]*'

/** A JavaScript pattern's source without its anchors and without groups that remember. */
const inner = (pattern: RegExp): string => pattern.source.replace(/^\^|\$$/g, '').replaceAll(/(?<!\\)\((?!\?)/g, '(?:')

function escape(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
}

const spellings = [
  ...NAMED,
  ...Array.from({ length: LAST_NUMBER + 1 }, (_, number) => String(number)).filter((text) => NUMBER.test(text))
]

/** Names in any case, numbers as they are. */
function spelled(words: readonly string[]): string {
  const names = words.filter((word) => NAMED.includes(word))
  const numbers = words.filter((word) => !NAMED.includes(word))
  return `(?:(?i:${names.join('|')})|${oneOf(numbers)})`
}

const takesPorts = (word: string): boolean => hasPorts(canonicalProtocol(word))
const WITH_PORTS = spelled(spellings.filter(takesPorts))
const WITHOUT_PORTS = spelled(spellings.filter((word) => !takesPorts(word)))
const WHOLE_ITEM = `(?:${WITH_PORTS}:(?:${escape(EVERY_PORT)}|${inner(PORTS)})|${WITHOUT_PORTS})`

const LEGACY_WHOLE_ITEM = `${inner(GROUP_ID)}:${WHOLE_ITEM}`
const alone = (item: string): string => `^${BLANKS}${item}${BLANKS}$`
const repeated = (item: string): string => `^(?:${BLANKS}${item}${BLANKS},)+$`

/** One item with the blanks around it; the order of its ports and their limit are seen by the two patterns below. */
export const ITEM = alone(WHOLE_ITEM)
/** One item of the spelling of 2018, which begins with its group. */
export const LEGACY_ITEM = alone(LEGACY_WHOLE_ITEM)
/** A whole value and a comma after it. */
export const ITEMS = repeated(WHOLE_ITEM)
export const LEGACY_ITEMS = repeated(LEGACY_WHOLE_ITEM)

const PORT = inner(PORTS).replace(/\(\?:-.*$/, '')
/** Finds in what is well-formed each range of ports with the colon before it. */
export const RANGE = `:${PORT}-${PORT}`
/** Finds in what is well-formed each first or only port that has digits enough to pass the limit. */
export const LONG_PORT = `:\\d{${String(LAST_PORT).length}}`
/** The group that an item of the spelling of 2018 begins with, whatever follows its colon. */
export const LEGACY_GROUP = `^${BLANKS}${inner(GROUP_ID)}(?::|${BLANKS}$)`
export const GROUP_KEY = `^${escape(PREFIX)}${inner(GROUP_ID)}$`
/** What is written at all, between two commas. */
export const WRITTEN = '[^ \\t]'
/** A value that counts as empty: of what JavaScript's `\s` takes, of which RE2's takes less. */
export const NOTHING = `^[${ranges(blankCharacters())}]*$`

function blankCharacters(): number[] {
  return Array.from({ length: 0x10000 }, (_, code) => code).filter((code) => /\s/.test(String.fromCharCode(code)))
}

function ranges(codes: readonly number[]): string {
  const hex = (code: number): string => `\\x{${code.toString(16)}}`
  const runs: [from: number, to: number][] = []
  for (const code of codes) {
    const last = runs.at(-1)
    if (last?.[1] === code - 1) last[1] = code
    else runs.push([code, code])
  }
  return runs.map(([from, to]) => (from === to ? hex(from) : `${hex(from)}-${hex(to)}`)).join('')
}

/** A short pattern for exactly these words: words that go on alike share what follows, and their beginnings a class. */
export function oneOf(words: readonly string[]): string {
  const tails = new Map<string, string[]>()
  const byFirst = Map.groupBy(
    words.filter((word) => word !== ''),
    (word) => word.slice(0, 1)
  )
  for (const [first, group] of byFirst) {
    const tail = oneOf(group.map((word) => word.slice(1)))
    tails.set(tail, [...(tails.get(tail) ?? []), first])
  }
  const parts = [...tails].map(([tail, firsts]) => (firsts.length === 1 ? firsts.join('') : classOf(firsts)) + tail)
  if (parts.length === 0) return ''
  const optional = words.includes('')
  if (parts.length === 1 && !optional) return parts.join('')
  return `(?:${parts.join('|')})${optional ? '?' : ''}`
}

function classOf(digits: readonly string[]): string {
  return digits.length === 10 ? '[0-9]' : `[${digits.toSorted().join('')}]`
}
