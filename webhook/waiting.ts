/** Bounds the reviews that wait for an answer about permission: whoever can reach the port can make us ask. Pure. */

export interface WaitingLimits {
  /** How many reviews may wait. */
  readonly most: number
  /** Characters that all of them may have had together: what is kept of a review is never more. */
  readonly together: number
}

export interface Waiting {
  /** Whether there is room for one more review; then {@link leave} must follow. */
  enter(length: number): boolean
  leave(length: number): void
}

/** Counts the reviews that wait. */
export function boundWaiting({ most, together }: WaitingLimits): Waiting {
  let [count, held] = [0, 0]
  return {
    enter(length) {
      if (count >= most || held + length > together) return false
      count++
      held += length
      return true
    },
    leave(length) {
      count--
      held -= length
    }
  }
}
