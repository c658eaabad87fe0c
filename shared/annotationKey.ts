/** Which annotation keys are ours, and what each of them is. Pure. */
import {
  CONDITION,
  FINALIZER,
  LEGACY_BARE_KEY,
  LEGACY_INGRESS_KEY,
  MANAGED_LABEL,
  OWNER_TAG,
  PREFIX,
  READINESS_GATE_KEY
} from './names.ts'
import { isSecurityGroupId } from './rules.ts'
import type { SecurityGroupId } from './rules.ts'
import { nearest } from './annotationSuggestion.ts'

export type Annotations = Readonly<Record<string, string>>

export type Key =
  | { readonly kind: 'group'; readonly groupId: SecurityGroupId }
  | { readonly kind: 'legacy' }
  | { readonly kind: 'setting' }
  | { readonly kind: 'unknown'; readonly problem: string; readonly reason: 'BadGroupId' | 'UnknownKey' }

export const GROUP_ID_GRAMMAR = "'sg-' and 8 or 17 hexadecimal digits in lower case"

/** Keys that take {@link SETTING_VALUES}. */
export const SETTINGS = [READINESS_GATE_KEY]
export const SETTING_VALUES = ['true', 'false']

/** Keys whose items name their groups themselves. */
export const LEGACY_KEYS = [LEGACY_BARE_KEY, LEGACY_INGRESS_KEY]

/** Names of ours that belong elsewhere than into annotations. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  [FINALIZER]: 'a finalizer',
  [MANAGED_LABEL]: 'a label',
  [CONDITION]: 'a pod condition',
  [OWNER_TAG]: 'a tag in EC2'
}

/** Whether kube-sg reads the key, or refuses it as unknown. */
export function isOurs(key: string): boolean {
  return key.startsWith(PREFIX) || key === LEGACY_BARE_KEY
}

/** Only the annotations whose keys are ours. */
export function ours(annotations: Annotations | undefined): Annotations {
  return Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => isOurs(key)))
}

/** The keys of {@link ours}, sorted. */
export function ourKeys(annotations: Annotations | undefined): string[] {
  const keys: string[] = []
  if (annotations === undefined) return keys
  for (const key of Object.keys(annotations)) if (isOurs(key)) keys.push(key)
  return keys.length < 2 ? keys : keys.sort()
}

/** Our keys that were added, changed or removed between the two, sorted. */
export function changedKeys(before: Annotations | undefined, after: Annotations = {}): readonly string[] {
  if (before === undefined) return ourKeys(after)
  const kept = ourKeys(after).filter((key) => before[key] !== after[key])
  const removed = ourKeys(before).filter((key) => after[key] === undefined)
  return removed.length === 0 ? kept : [...kept, ...removed].sort()
}

/** @param key one of ours */
export function readKey(key: string): Key {
  if (LEGACY_KEYS.includes(key)) return { kind: 'legacy' }
  if (SETTINGS.includes(key)) return { kind: 'setting' }
  const name = key.slice(PREFIX.length)
  if (isSecurityGroupId(name)) return { kind: 'group', groupId: name }
  return /^sg[^a-z]/i.test(name)
    ? { kind: 'unknown', problem: badGroupId(name), reason: 'BadGroupId' }
    : { kind: 'unknown', problem: unknownKey(key), reason: 'UnknownKey' }
}

/** The sentence for a text that was meant to be a security group id. */
export function badGroupId(text: string): string {
  const candidate = text.toLowerCase().replace(/^sg[-_.]?/, 'sg-')
  const problem = `security group id must be ${GROUP_ID_GRAMMAR}`
  return isSecurityGroupId(candidate) ? `${problem}; did you mean '${candidate}'?` : problem
}

function unknownKey(key: string): string {
  const elsewhere = Object.hasOwn(ELSEWHERE, key) ? ELSEWHERE[key] : undefined
  if (elsewhere !== undefined) return `'${key}' is ${elsewhere} that kube-sg sets itself, not an annotation; remove it`
  const known = `key must be '${PREFIX}' and a security group id, or ${SETTINGS.map((name) => `'${name}'`).join(', ')}`
  const near = nearest(key.toLowerCase(), SETTINGS)
  return near === undefined ? known : `${known}; did you mean '${near}'?`
}
