/** When to try again after a failure, and when to list anew. Pure but for the random source given. */

/** What went wrong: no answer or one that says to come later, a refusal (also nonsense), or a resourceVersion too old. */
export type FailureKind = 'silence' | 'refusal' | 'expired'

export interface Pace {
  /** The API server said something new: all is forgiven. */
  progress(): void
  /** There is a new list: what was refused before it is no reason for another. */
  listed(): void
  /** A connection that held for long starts the back-off again, even if it brought nothing. */
  held(duration: number): void
  /** Milliseconds to wait, and whether the resourceVersion is of no more use. */
  failed(kind: FailureKind): { readonly wait: number; readonly relist: boolean }
}

export interface PaceOptions {
  /** Milliseconds: the longest first wait, doubled at each failure, and the longest of all. */
  readonly backoffFirst: number
  readonly backoffMost: number
  readonly random: () => number
}

/** Waits are spread over the upper half, so that replicas do not come together. The first 410 waits for nothing. */
export function createPace(options: PaceOptions): Pace {
  let failures = 0
  let refusals = 0
  return {
    progress() {
      failures = 0
      refusals = 0
    },
    listed() {
      refusals = 0
    },
    held(duration) {
      if (duration >= options.backoffMost) failures = 0
    },
    failed(kind) {
      failures++
      if (kind === 'refusal') refusals++
      const longest = Math.min(options.backoffMost, options.backoffFirst * 2 ** (failures - 1))
      const wait = kind === 'expired' && failures === 1 ? 0 : longest * (0.5 + options.random() / 2)
      return { wait, relist: kind === 'expired' || refusals > 1 }
    }
  }
}
