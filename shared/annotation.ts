/** The whole grammar of kube-sg's annotations: what a pod asks, or everything that is wrong with how it asks. Pure. */
import { PREFIX } from './names.ts'
import { isSecurityGroupId } from './rules.ts'
import type { RuleRequest, SecurityGroupId } from './rules.ts'
import { annotationField } from './violation.ts'
import type { Violation } from './violation.ts'
import { mergeItems, parseItem, printItem } from './annotationItem.ts'
import type { Item } from './annotationItem.ts'
import { badGroupId, ours, readKey } from './annotationKey.ts'
import type { Annotations } from './annotationKey.ts'

export { changedKeys, isOurs, ours } from './annotationKey.ts'
export type { Annotations } from './annotationKey.ts'

/** The limits, the same in webhook, worker and policies. */
export const MAX_GROUPS = 16
export const MAX_ITEMS = 60
export const MAX_VALUE_BYTES = 4096

/** {@link Violation.key} of what no single annotation is to blame for. */
export const WHOLE_POD = 'metadata.annotations'

export interface Declaration {
  /** Merged and sorted; of faultless keys only, and none at all when the pod as a whole passes a limit. */
  readonly requests: readonly RuleRequest[]
  readonly settings: { readonly readinessGate: boolean }
  readonly violations: readonly Violation[]
  /** What is legal but old, wasteful or probably not meant; for people. */
  readonly warnings: readonly string[]
}

/** One annotation, read. */
interface Reading {
  readonly key: string
  readonly items: readonly { readonly groupId: SecurityGroupId; readonly item: Item }[]
  /** How many items were written for each group, faulty ones included. */
  readonly counts: ReadonlyMap<string, number>
  readonly readinessGate: boolean
  readonly violations: Violation[]
  readonly warnings: readonly string[]
}

/**
 * Reads every annotation of ours and ignores all others. Never throws, takes time linear in its input, and does not
 * depend on the order of the keys.
 */
export function parseAnnotations(annotations: Annotations | undefined): Declaration {
  const readings = Object.entries(ours(annotations))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => readAnnotation(key, value))
  limitItems(readings)
  const faultless = readings.filter(({ violations }) => violations.length === 0)
  const tooMany = limitGroups(readings)
  const { requests, warnings } = mergeRequests(faultless)
  return {
    requests: tooMany === undefined ? requests : [],
    settings: { readinessGate: faultless.some(({ readinessGate }) => readinessGate) },
    violations: [...readings.flatMap(({ violations }) => violations), ...(tooMany === undefined ? [] : [tooMany])],
    warnings: [...readings.flatMap((reading) => reading.warnings), ...warnings]
  }
}

/** The annotations that ask for exactly these requests, in their canonical spelling. */
export function printAnnotations(requests: readonly RuleRequest[]): Record<string, string> {
  const groups = Map.groupBy(requests, ({ groupId }) => groupId)
  return Object.fromEntries(
    [...groups].map(([groupId, items]) => [`${PREFIX}${groupId}`, mergeItems(items).map(printItem).join(',')])
  )
}

function readAnnotation(key: string, value: string): Reading {
  const what = readKey(key)
  if (what.kind === 'unknown') return faulty(key, key, what.problem)
  if (what.kind === 'setting') return readSetting(key, value)
  const example = what.kind === 'group' ? 'tcp:443' : 'sg-0123abcd:tcp:443'
  if (/^\s*$/.test(value))
    return faulty(key, value, `value must not be empty: write a rule such as '${example}', or remove the annotation`)
  if (utf8Bytes(value) > MAX_VALUE_BYTES)
    return faulty(key, value, `value must be at most ${MAX_VALUE_BYTES} bytes long, and has ${utf8Bytes(value)}`)
  return what.kind === 'group' ? readItems(key, value, what.groupId) : readItems(key, value)
}

function readSetting(key: string, value: string): Reading {
  if (value === 'true' || value === 'false') return { ...blank(key), readinessGate: value === 'true' }
  const meant = ['true', 'false'].find((word) => word === value.trim().toLowerCase())
  const problem = "value must be 'true' or 'false'"
  return faulty(key, value, meant === undefined ? problem : `${problem}; did you mean '${meant}'?`)
}

/** @param groupId the group of all items; without it each item names its own, as the kube-sg of 2018 had it */
function readItems(key: string, value: string, groupId?: SecurityGroupId): Reading {
  const items: { groupId: SecurityGroupId; item: Item }[] = []
  const counts = new Map<string, number>()
  const violations: Violation[] = []
  const warnings: string[] = []
  const fail = (wrong: string, message: string) => violations.push(violation(key, wrong, message))
  const texts = value.split(',').map((text) => text.replace(/^[ \t]+|[ \t]+$/g, ''))
  for (const [index, text] of texts.entries()) {
    if (text === '') {
      fail(value, `item ${index + 1} is empty: write one item between commas, and none after the last`)
      continue
    }
    const [id, rest] = groupId === undefined ? splitLegacy(text) : [groupId, text]
    counts.set(id, (counts.get(id) ?? 0) + 1)
    if (!isSecurityGroupId(id)) {
      fail(text, /^sg/i.test(id) ? badGroupId(id) : "item must begin with its group, such as 'sg-0123abcd:tcp:443'")
      continue
    }
    const result = parseItem(rest)
    if (result.item === undefined) fail(text, result.problem)
    else items.push({ groupId: id, item: result.item })
    if (result.item !== undefined && result.warning !== undefined)
      warnings.push(`${annotationField(key)}: ${result.warning}`)
  }
  if (groupId === undefined) warnings.unshift(oldSpelling(key, items))
  return { key, items, counts, readinessGate: false, violations, warnings }
}

function splitLegacy(text: string): [string, string] {
  const colon = text.indexOf(':')
  return colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
}

function oldSpelling(key: string, items: Reading['items']): string {
  const first = items[0]
  const example = first === undefined ? 'sg-0123abcd: tcp:443' : `${first.groupId}: ${printItem(first.item)}`
  return `${annotationField(key)}: old spelling; write a key for each group, such as '${PREFIX}${example}'`
}

/** Adds a violation to every annotation that has a part in a group with too many items. */
function limitItems(readings: readonly Reading[]): void {
  const totals = new Map<string, number>()
  for (const { counts } of readings)
    for (const [groupId, count] of counts) totals.set(groupId, (totals.get(groupId) ?? 0) + count)
  for (const { key, counts, violations } of readings)
    for (const groupId of counts.keys()) {
      const total = totals.get(groupId) ?? 0
      if (total <= MAX_ITEMS || !isSecurityGroupId(groupId)) continue
      violations.push(
        violation(
          key,
          groupId,
          `a group must have at most ${MAX_ITEMS} items on one pod, and '${groupId}' has ${total}`
        )
      )
    }
}

function limitGroups(readings: readonly Reading[]): Violation | undefined {
  const groups = new Set(readings.flatMap(({ counts }) => [...counts.keys()]).filter(isSecurityGroupId))
  if (groups.size <= MAX_GROUPS) return undefined
  const message = `a pod must name at most ${MAX_GROUPS} security groups, and this one names ${groups.size}`
  return { key: WHOLE_POD, field: WHOLE_POD, value: `${groups.size} security groups`, message }
}

function mergeRequests(readings: readonly Reading[]): Pick<Declaration, 'requests' | 'warnings'> {
  const groups = Map.groupBy(
    readings.flatMap(({ items }) => items),
    ({ groupId }) => groupId
  )
  const warnings: string[] = []
  const requests = [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([groupId, wanted]) => {
      const merged = mergeItems(wanted.map(({ item }) => item))
      if (merged.length < wanted.length)
        warnings.push(
          `${groupId}: ${wanted.length} items merge into ${merged.length}: ${cut(merged.map(printItem).join(','))}`
        )
      return merged.map((item) => ({ groupId, ...item }))
    })
  return { requests, warnings }
}

const blank = (key: string): Reading => ({
  key,
  items: [],
  counts: new Map(),
  readinessGate: false,
  violations: [],
  warnings: []
})

const faulty = (key: string, value: string, message: string): Reading => ({
  ...blank(key),
  violations: [violation(key, value, message)]
})

const violation = (key: string, value: string, message: string): Violation => ({
  key,
  field: annotationField(key),
  value,
  message
})

const cut = (text: string): string => (text.length > 60 ? `${text.slice(0, 60)}...` : text)

const utf8Bytes = (text: string): number => new TextEncoder().encode(text).length
