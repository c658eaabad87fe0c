/** One annotation: what it asks, or everything that is wrong with it. Pure. */
import { PREFIX } from './names.ts'
import { isSecurityGroupId } from './rules.ts'
import type { RuleRequest, SecurityGroupId } from './rules.ts'
import { annotationField } from './violation.ts'
import type { Violation, ViolationReason } from './violation.ts'
import { parseItem, printItem } from './annotationItem.ts'
import { badGroupId, readKey, SETTING_VALUES } from './annotationKey.ts'

export const MAX_ITEMS = 60
export const MAX_VALUE_BYTES = 4096

export interface Reading {
  readonly key: string
  /** Neither sorted nor merged. */
  readonly requests: readonly RuleRequest[]
  /** How many items were written for each group, faulty ones included. */
  readonly counts: ReadonlyMap<SecurityGroupId, number>
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
  if (value.trim() === '')
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
  const requests: RuleRequest[] = []
  const violations: Violation[] = []
  const warnings: string[] = []
  let told: Set<string> | undefined
  const fail = (reason: ViolationReason, text: string, message: string): void => {
    told = (told ?? new Set()).add(text)
    violations.push(violation(reason, key, text, message))
  }
  const texts = value.split(',')
  const written: string[] = []
  for (const text of texts) {
    const trimmed = trimBlanks(text)
    if (trimmed !== '') written.push(trimmed)
  }
  if (written.length < texts.length)
    for (const problem of emptyItems(texts.map(trimBlanks)))
      violations.push(violation('EmptyItem', key, value, problem))
  const counts = countItems(written, groupId)
  for (const text of written) {
    // The same mistake again needs no second sentence.
    if (told?.has(text) === true) continue
    const id = groupId ?? groupOf(text)
    if (id === undefined) {
      fail(...describeNoGroup(text))
      continue
    }
    // The limit is then the one violation: nobody reads thousands, and finding them would keep others waiting.
    if ((counts.get(id) ?? 0) > MAX_ITEMS) continue
    const result = groupId === undefined ? parseItem(afterColon(text), id, true) : parseItem(text, id)
    if (result.item === undefined) {
      fail(result.reason, text, result.problem)
      continue
    }
    const { protocol, fromPort, toPort } = result.item
    requests.push({ groupId: id, protocol, fromPort, toPort })
    if (result.warning !== undefined) warnings.push(`${annotationField(key)}: ${result.warning}`)
  }
  if (groupId === undefined) warnings.unshift(oldSpelling(key, requests))
  return { key, requests, counts, readinessGate: false, violations, warnings }
}

/** Not a regular expression: for each blank inside, one that is anchored at the end reads all blanks that follow. */
function trimBlanks(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return end - start === text.length ? text : text.slice(start, end)
}

/** Space and tab. */
const isBlank = (code: number): boolean => code === 0x20 || code === 0x09

function emptyItems(texts: readonly string[]): string[] {
  const rule = 'write one item between commas, and none after the last'
  const empty = [...texts.keys()].filter((index) => texts[index] === '')
  if (empty.length > MAX_ITEMS) return [`${empty.length} items are empty: ${rule}`]
  return empty.map((index) => `item ${index + 1} is empty: ${rule}`)
}

/** What stands before an item's first colon in the spelling of 2018, if it is a group. */
function groupOf(text: string): SecurityGroupId | undefined {
  const id = beforeColon(text)
  return isSecurityGroupId(id) ? id : undefined
}

const beforeColon = (text: string): string => text.split(':', 1)[0] ?? ''

/** Empty without a colon. */
const afterColon = (text: string): string => text.slice(beforeColon(text).length + 1)

function describeNoGroup(text: string): [ViolationReason, string, string] {
  const id = beforeColon(text)
  return /^sg/i.test(id)
    ? ['BadGroupId', text, badGroupId(id)]
    : ['NoGroup', text, "item must begin with its group, such as 'sg-0123abcd:tcp:443'"]
}

function countItems(written: readonly string[], groupId?: SecurityGroupId): Map<SecurityGroupId, number> {
  const counts = new Map<SecurityGroupId, number>()
  if (groupId !== undefined) return written.length === 0 ? counts : counts.set(groupId, written.length)
  for (const text of written) {
    const id = groupOf(text)
    if (id !== undefined) counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  return counts
}

function oldSpelling(key: string, [first]: readonly RuleRequest[]): string {
  const example = first === undefined ? 'sg-0123abcd: tcp:443' : `${first.groupId}: ${printItem(first)}`
  return `${annotationField(key)}: old spelling; write a key for each group, such as '${PREFIX}${example}'`
}

const blank = (key: string): Reading => ({
  key,
  requests: [],
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
