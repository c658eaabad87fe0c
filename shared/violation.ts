/** What is wrong with an object, in the words that the API server itself uses for its own fields. Pure. */

export interface Violation {
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
  const cut = value.length > SHOWN ? `${value.slice(0, SHOWN)}...` : value
  return JSON.stringify(cut).replace(/(?! )[\p{Cc}\p{Cf}\p{Z}]/gu, escape)
}

/** As JSON escapes it: a character beyond the basic plane by its two halves. */
function escape(character: string): string {
  const units = Array.from({ length: character.length }, (_, index) => character.charCodeAt(index))
  return units.map((unit) => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}

/** The body of a violation without its path: what `details.causes[].message` holds. */
export function describeValue(violation: Violation): string {
  return `Invalid value: ${quote(violation.value)}: ${violation.message}`
}

/** One line that tells all: path, value and message. */
export function describeViolation(violation: Violation): string {
  return `${violation.field}: ${describeValue(violation)}`
}

/** The path of an annotation below the metadata at `base`, such as `spec.template.metadata`. */
export function annotationField(key: string, base = 'metadata'): string {
  return `${base}.annotations[${key}]`
}
