/**
 * Remembers what new pods come to: those of a Deployment all declare the same, and judging that takes longer than all the rest
 * of a validation. Bounded, whoever sends what.
 */
import type { Annotations } from '../shared/annotation.ts'
import type { Verdict } from './verdict.ts'

/** So many verdicts are kept, those that came last. */
export const MOST_VERDICTS = 256
/** What is longer, in UTF-16 units, or has more warnings, is judged each time: with the number above a bound on the memory, some 3 MB. */
export const LONGEST_DECLARATION = 1024
const MOST_WARNINGS = 16

/** All that the verdict on a well-stamped new pod, not of its node's network, depends on. */
export interface Declared {
  readonly namespace: string
  readonly serviceAccount: string
  /** The keys of ours among the annotations. */
  readonly keys: readonly string[]
  readonly annotations: Annotations
}

/** @returns the verdict of `judge`, the same object as before when the same was declared lately and allowed */
export type Recall = (declared: Declared, judge: () => Verdict) => Verdict

export function rememberVerdicts(): Recall {
  const known = new Map<string, Verdict>()
  return (declared, judge) => {
    const text = textOf(declared)
    if (text === undefined) return judge()
    const before = known.get(text)
    if (before !== undefined) return before
    const verdict = judge()
    if (verdict.kind !== 'allowed' || verdict.warnings.length > MOST_WARNINGS) return verdict
    known.set(text, verdict)
    const [oldest] = known.size > MOST_VERDICTS ? known.keys() : []
    if (oldest !== undefined) known.delete(oldest)
    return verdict
  }
}

/** Each part with its length, so that no two declarations have one text; undefined when it is too long. */
function textOf({ annotations, keys, namespace, serviceAccount }: Declared): string | undefined {
  let text = `${namespace.length},${serviceAccount.length}:${namespace}${serviceAccount}`
  for (const key of keys) {
    const value = annotations[key] ?? ''
    if (text.length + key.length + value.length > LONGEST_DECLARATION) return undefined
    text += `${key.length},${value.length}:${key}${value}`
  }
  return text.length > LONGEST_DECLARATION ? undefined : text
}
