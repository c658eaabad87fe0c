/** The whole grammar of kube-sg's annotations: what a pod asks, or everything that is wrong with how it asks. Pure. */
import { PREFIX } from './names.ts'
import type { RuleRequest, SecurityGroupId } from './rules.ts'
import { cut } from './violation.ts'
import type { Violation } from './violation.ts'
import { mergeItems, printItem } from './annotationItem.ts'
import { ourKeys, readKey } from './annotationKey.ts'
import type { Annotations } from './annotationKey.ts'
import { MAX_ITEMS, readAnnotation, violation } from './annotationReading.ts'
import type { Reading } from './annotationReading.ts'

export { changedKeys, isOurs, ourKeys, ours } from './annotationKey.ts'
export type { Annotations } from './annotationKey.ts'
export { MAX_ITEMS, MAX_VALUE_BYTES } from './annotationReading.ts'

/** With {@link MAX_ITEMS} and {@link MAX_VALUE_BYTES} the limits, the same in webhook, worker and policies. */
export const MAX_GROUPS = 16

/**
 * Far more than a legal pod can have. Of more than these none is read: mutation sees pods before the API server limits
 * their annotations to 256 KiB, and whoever sends megabytes of them must not keep others waiting.
 */
export const MAX_KEYS = 100

/** {@link Violation.key} of what no single annotation is to blame for. */
export const WHOLE_POD = 'metadata.annotations'

export interface Declaration {
  /** Merged and sorted; of faultless keys only, and none at all when the pod as a whole passes a limit. */
  readonly requests: readonly RuleRequest[]
  /** The groups that the judged keys name, faulty ones included; none when the pod as a whole passes a limit. Sorted. */
  readonly groups: readonly SecurityGroupId[]
  readonly settings: { readonly readinessGate: boolean }
  readonly violations: readonly Violation[]
  /** What is legal but old, wasteful or probably not meant; for people. */
  readonly warnings: readonly string[]
}

/**
 * Reads every annotation of ours and ignores all others. Never throws, takes time linear in its input, finds a bounded
 * number of violations however much is written, and does not depend on the order of the keys.
 * @param only judge and grant only these keys, while the others still count towards the limits; all when absent
 */
export function parseAnnotations(annotations: Annotations = {}, only?: ReadonlySet<string>): Declaration {
  const keys = ourKeys(annotations)
  if (keys.length > MAX_KEYS) return nothingBut(tooManyKeys(keys.length))
  const few = keys.length <= MAX_GROUPS || keys.filter((key) => readKey(key).kind === 'group').length <= MAX_GROUPS
  const readings = keys.map((key) => readAnnotation(key, annotations[key] ?? '', few))
  limitItems(readings)
  const judged = only === undefined ? readings : readings.filter(({ key }) => only.has(key))
  const faultless = judged.filter(({ violations }) => violations.length === 0)
  const tooMany = limitGroups(readings)
  const { requests, warnings } = mergeRequests(collect(faultless, (reading) => reading.requests))
  return {
    requests: tooMany === undefined ? requests : [],
    groups: tooMany === undefined ? namedIn(judged) : [],
    settings: { readinessGate: faultless.some(({ readinessGate }) => readinessGate) },
    violations: [...collect(judged, ({ violations }) => violations), ...(tooMany === undefined ? [] : [tooMany])],
    warnings: [...collect(judged, (reading) => reading.warnings), ...warnings]
  }
}

/** What flatMap does, which takes microseconds for a single reading. */
function collect<T>(readings: readonly Reading[], of: (reading: Reading) => readonly T[]): T[] {
  const all: T[] = []
  for (const reading of readings) for (const each of of(reading)) all.push(each)
  return all
}

/** The annotations that ask for exactly these requests, in their canonical spelling. */
export function printAnnotations(requests: readonly RuleRequest[]): Record<string, string> {
  const groups = Map.groupBy(requests, ({ groupId }) => groupId)
  return Object.fromEntries(
    [...groups].map(([groupId, items]) => [`${PREFIX}${groupId}`, mergeItems(items).map(printItem).join(',')])
  )
}

/** Adds a violation to every annotation that has a part in a group with too many items. */
function limitItems(readings: readonly Reading[]): void {
  let all = 0
  for (const { counts } of readings) for (const count of counts.values()) all += count
  if (all <= MAX_ITEMS) return
  const totals = new Map<SecurityGroupId, number>()
  for (const { counts } of readings)
    for (const [groupId, count] of counts) totals.set(groupId, (totals.get(groupId) ?? 0) + count)
  for (const { key, counts, violations } of readings)
    for (const groupId of counts.keys()) {
      const total = totals.get(groupId) ?? 0
      if (total <= MAX_ITEMS) continue
      const message = `a group must have at most ${MAX_ITEMS} items on one pod, and '${groupId}' has ${total}`
      violations.push(violation('TooManyItems', key, groupId, message))
    }
}

function namedIn(readings: readonly Reading[]): SecurityGroupId[] {
  const groups: SecurityGroupId[] = []
  for (const { counts } of readings) for (const groupId of counts.keys()) groups.push(groupId)
  return groups.length < 2 ? groups : [...new Set(groups)].sort()
}

function limitGroups(readings: readonly Reading[]): Violation | undefined {
  const count = namedIn(readings).length
  if (count <= MAX_GROUPS) return undefined
  const message = `a pod must name at most ${MAX_GROUPS} security groups, and this one names ${count}`
  const value = `${count} security groups`
  return { reason: 'TooManyGroups', key: WHOLE_POD, field: WHOLE_POD, value, message }
}

function mergeRequests(wanted: readonly RuleRequest[]): Pick<Declaration, 'requests' | 'warnings'> {
  const requests: RuleRequest[] = []
  const warnings: string[] = []
  for (const items of inGroups(wanted)) {
    const merged = mergeItems(items)
    for (const request of merged) requests.push(request)
    if (merged.length < items.length)
      warnings.push(
        `${merged[0]?.groupId ?? ''}: ${items.length} items merge into ${merged.length}: ${cut(merged.map(printItem).join(','), 60)}`
      )
  }
  return { requests, warnings }
}

/** By group, sorted. Most pods ask for one group. */
function inGroups(wanted: readonly RuleRequest[]): readonly (readonly RuleRequest[])[] {
  const [first] = wanted
  if (first === undefined) return []
  if (wanted.every(({ groupId }) => groupId === first.groupId)) return [wanted]
  const groups = Map.groupBy(wanted, ({ groupId }) => groupId)
  return [...groups.keys()].sort().map((groupId) => groups.get(groupId) ?? [])
}

const nothingBut = (violation: Violation): Declaration => ({
  requests: [],
  groups: [],
  settings: { readinessGate: false },
  violations: [violation],
  warnings: []
})

function tooManyKeys(count: number): Violation {
  const message = `a pod must have at most ${MAX_KEYS} annotations of '${PREFIX}', and this one has ${count}, of which none was read`
  return { reason: 'TooManyKeys', key: WHOLE_POD, field: WHOLE_POD, value: `${count} annotations`, message }
}
