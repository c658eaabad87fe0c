/**
 * Remembers what annotations declare: the pods of a Deployment all say the same, and reading it takes longer than all the
 * rest of a validation. Bounded, whoever sends what.
 */
import { ourKeys, parseAnnotations } from '../shared/annotation.ts'
import type { Annotations, Declaration } from '../shared/annotation.ts'

/** So many declarations are kept, those read last. */
export const MOST_DECLARATIONS = 256
/** Longer ones, in UTF-16 units, are read each time: with the number above a bound on the memory, half a megabyte. */
export const LONGEST_DECLARATION = 1024

/** @returns what {@link parseAnnotations} returns, sooner when it was asked for the same lately and found no fault */
export function rememberDeclarations(): (annotations: Annotations) => Declaration {
  const known = new Map<string, Declaration>()
  return (annotations) => {
    const text = textOf(annotations)
    if (text === undefined) return parseAnnotations(annotations)
    const before = known.get(text)
    if (before !== undefined) return before
    const declaration = parseAnnotations(annotations)
    if (declaration.violations.length > 0) return declaration
    known.set(text, declaration)
    const [oldest] = known.size > MOST_DECLARATIONS ? known.keys() : []
    if (oldest !== undefined) known.delete(oldest)
    return declaration
  }
}

/** Our keys and values, each with its length, so that no two declarations have one text; undefined when it is too long. */
function textOf(annotations: Annotations): string | undefined {
  let text = ''
  for (const key of ourKeys(annotations)) {
    const value = annotations[key] ?? ''
    if (text.length + key.length + value.length > LONGEST_DECLARATION) return undefined
    text += `${key.length},${value.length}:${key}${value}`
  }
  return text
}
