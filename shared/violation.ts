/** What is wrong with an object, in the words that the API server itself uses for its own fields. Pure. */

/** Every kind of mistake, for metrics and audit logs; the texts of messages may change, these names do not. */
export const VIOLATION_REASONS = [
  'UnknownKey',
  'BadGroupId',
  'EmptyValue',
  'ValueTooLong',
  'BadSetting',
  'EmptyItem',
  'NoGroup',
  'OtherGroup',
  'BadProtocol',
  'BadPorts',
  'NoPorts',
  'PortsNotTaken',
  'TooManyItems',
  'TooManyGroups',
  'TooManyKeys',
  'HostNetwork',
  'GateWithoutRules',
  'NotStamped',
  'NotPermitted'
] as const

export type ViolationReason = (typeof VIOLATION_REASONS)[number]

export interface Violation {
  readonly reason: ViolationReason
  /** The annotation key that is at fault, or a field path when it is not one annotation. */
  readonly key: string
  /** The path as kubectl prints it, such as `metadata.annotations[sg.amazonaws.com/sg-0123abcd]`. */
  readonly field: string
  /** The part that is wrong, as written. */
  readonly value: string
  /** What is wrong, what is legal, and what was probably meant. */
  readonly message: string
}

/** How much of a wrong value is shown. */
const SHOWN = 64

/**
 * A value in double quotes, cut when long, with nothing in it that could move a terminal's cursor or text direction, or
 * pass for a space.
 */
export function quote(value: string): string {
  return escapeUnseen(JSON.stringify(cut(value, SHOWN)))
}

/** The text, or so much of it and three dots. */
export const cut = (text: string, most: number): string => (text.length > most ? `${text.slice(0, most)}...` : text)

/** Nearly all texts are plain, and a look is a tenth of a replacement that finds nothing. */
const escapeUnseen = (text: string): string =>
  /^[ -~]*$/.test(text) ? text : text.replace(/(?! )[\p{Cc}\p{Cf}\p{Z}]/gu, escape)

/** The longest key that the API server takes: a prefix of 253 characters, a slash, and a name of 63. */
const LONGEST_KEY = 317

/** As JSON escapes it: a character beyond the basic plane by its two halves. */
function escape(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}

/** The API server's name for the kind of mistake (metav1.CauseType); clients may tell them apart by it. */
export function causeOf(violation: Violation): 'FieldValueInvalid' | 'FieldValueForbidden' {
  return violation.reason === 'NotPermitted' ? 'FieldValueForbidden' : 'FieldValueInvalid'
}

/** The body of a violation without its path: what `details.causes[].message` holds. */
export function describeValue(violation: Violation): string {
  if (causeOf(violation) === 'FieldValueForbidden') return `Forbidden: ${violation.message}`
  return `Invalid value: ${quote(violation.value)}: ${violation.message}`
}

/** One line that tells all: path, value and message. */
export function describeViolation(violation: Violation): string {
  return `${violation.field}: ${describeValue(violation)}`
}

/**
 * The path of an annotation below the metadata at `base`, such as `spec.template.metadata`. Not every key has been
 * validated when we see it: one that could not be is cut, and what could move a terminal's cursor is shown as escapes.
 */
export function annotationField(key: string, base = 'metadata'): string {
  return `${base}.annotations[${escapeUnseen(cut(key, LONGEST_KEY))}]`
}
