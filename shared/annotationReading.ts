/** One annotation: what it asks, or everything that is wrong with it. Pure. */
import { PREFIX } from './names.ts'
import { isSecurityGroupId } from './rules.ts'
import type { SecurityGroupId } from './rules.ts'
import { annotationField } from './violation.ts'
import type { Violation, ViolationReason } from './violation.ts'
import { parseItem, printItem } from './annotationItem.ts'
import type { Item } from './annotationItem.ts'
import { badGroupId, readKey, SETTING_VALUES } from './annotationKey.ts'

export const MAX_ITEMS = 60
export const MAX_VALUE_BYTES = 4096

export interface Reading {
  readonly key: string
  readonly items: readonly { readonly groupId: SecurityGroupId; readonly item: Item }[]
  /** How many items were written for each group, faulty ones included. */
  readonly counts: ReadonlyMap<string, number>
  readonly readinessGate: boolean
  readonly violations: Violation[]
  readonly warnings: readonly string[]
}

/** @param readGroups false when the pod names too many groups, so that only their number matters */
export function readAnnotation(key: string, value: string, readGroups: boolean): Reading {
  const what = readKey(key)
  if (what.kind === 'unknown') return faulty(what.reason, key, key, what.problem)
  if (what.kind === 'setting') return readSetting(key, value)
  if (what.kind === 'group' && !readGroups) return { ...blank(key), counts: new Map([[what.groupId, 0]]) }
  const example = what.kind === 'group' ? 'tcp:443' : 'sg-0123abcd:tcp:443'
  if (/^\s*$/.test(value))
    return faulty(
      'EmptyValue',
      key,
      value,
      `value must not be empty: write a rule such as '${example}', or remove the annotation`
    )
  // No character takes more than three bytes for each of its UTF-16 units: few values need to be encoded to be counted.
  const bytes = value.length * 3 > MAX_VALUE_BYTES ? utf8Bytes(value) : 0
  if (bytes > MAX_VALUE_BYTES)
    return faulty('ValueTooLong', key, value, `value must be at most ${MAX_VALUE_BYTES} bytes long, and has ${bytes}`)
  return what.kind === 'group' ? readItems(key, value, what.groupId) : readItems(key, value)
}

function readSetting(key: string, value: string): Reading {
  if (SETTING_VALUES.includes(value)) return { ...blank(key), readinessGate: value === 'true' }
  const meant = SETTING_VALUES.find((word) => word === value.trim().toLowerCase())
  const problem = "value must be 'true' or 'false'"
  return faulty('BadSetting', key, value, meant === undefined ? problem : `${problem}; did you mean '${meant}'?`)
}

/** @param groupId the group of all items; without it each item names its own, as the kube-sg of 2018 had it */
function readItems(key: string, value: string, groupId?: SecurityGroupId): Reading {
  const items: { groupId: SecurityGroupId; item: Item }[] = []
  const violations: Violation[] = []
  const warnings: string[] = []
  const fail = (reason: ViolationReason, wrong: string, message: string) =>
    violations.push(violation(reason, key, wrong, message))
  const texts = value.split(',').map(trimBlanks)
  for (const problem of emptyItems(texts)) fail('EmptyItem', value, problem)
  const written = texts.filter((text) => text !== '').map((text) => ({ text, ...splitItem(text, groupId) }))
  const counts = countById(written)
  const wrong = new Set<string>()
  for (const { text, id, rest } of written) {
    // The same mistake again needs no second sentence.
    if (wrong.has(text)) continue
    if (!isSecurityGroupId(id)) {
      wrong.add(text)
      if (/^sg/i.test(id)) fail('BadGroupId', text, badGroupId(id))
      else fail('NoGroup', text, "item must begin with its group, such as 'sg-0123abcd:tcp:443'")
      continue
    }
    // The limit is then the one violation: nobody reads thousands, and finding them would keep others waiting.
    if ((counts.get(id) ?? 0) > MAX_ITEMS) continue
    const result = parseItem(rest, id, groupId === undefined)
    if (result.item === undefined) {
      wrong.add(text)
      fail(result.reason, text, result.problem)
    } else items.push({ groupId: id, item: result.item })
    if (result.item !== undefined && result.warning !== undefined)
      warnings.push(`${annotationField(key)}: ${result.warning}`)
  }
  if (groupId === undefined) warnings.unshift(oldSpelling(key, items))
  return { key, items, counts, readinessGate: false, violations, warnings }
}

/** Not a regular expression: for each blank inside, one that is anchored at the end reads all blanks that follow. */
function trimBlanks(text: string): string {
  const isBlank = (index: number): boolean => text[index] === ' ' || text[index] === '\t'
  let [start, end] = [0, text.length]
  while (start < end && isBlank(start)) start++
  while (end > start && isBlank(end - 1)) end--
  return text.slice(start, end)
}

function emptyItems(texts: readonly string[]): string[] {
  const rule = 'write one item between commas, and none after the last'
  const empty = [...texts.keys()].filter((index) => texts[index] === '')
  if (empty.length > MAX_ITEMS) return [`${empty.length} items are empty: ${rule}`]
  return empty.map((index) => `item ${index + 1} is empty: ${rule}`)
}

function splitItem(text: string, groupId: SecurityGroupId | undefined): { id: string; rest: string } {
  if (groupId !== undefined) return { id: groupId, rest: text }
  const colon = text.indexOf(':')
  return colon < 0 ? { id: text, rest: '' } : { id: text.slice(0, colon), rest: text.slice(colon + 1) }
}

function countById(written: readonly { readonly id: string }[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { id } of written) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

function oldSpelling(key: string, items: Reading['items']): string {
  const first = items[0]
  const example = first === undefined ? 'sg-0123abcd: tcp:443' : `${first.groupId}: ${printItem(first.item)}`
  return `${annotationField(key)}: old spelling; write a key for each group, such as '${PREFIX}${example}'`
}

const blank = (key: string): Reading => ({
  key,
  items: [],
  counts: new Map(),
  readinessGate: false,
  violations: [],
  warnings: []
})

const faulty = (reason: ViolationReason, key: string, value: string, message: string): Reading => ({
  ...blank(key),
  violations: [violation(reason, key, value, message)]
})

export const violation = (reason: ViolationReason, key: string, value: string, message: string): Violation => ({
  reason,
  key,
  field: annotationField(key),
  value,
  message
})

const utf8Bytes = (text: string): number => new TextEncoder().encode(text).length
