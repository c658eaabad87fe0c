/** A token bucket. Pure: time is an argument, and waiting is the caller's. */

export interface Limit {
  /** So many at once, after a pause that was long enough. */
  readonly burst: number
  readonly perSecond: number
}

export interface Bucket {
  /**
   * Takes the next token. First come, first served: each caller's turn is after that of all who came before.
   * @param now milliseconds, never less than at the call before
   * @returns how long to wait for the turn, in milliseconds
   */
  take(now: number): number
}

/** A bucket that is full at first: in any span of t seconds at most `burst + perSecond * t` turns come, as far as whole milliseconds can tell. */
export function createBucket({ burst, perSecond }: Limit): Bucket {
  const interval = 1000 / perSecond
  // Less than nothing when callers wait: their tokens are promised before they are there.
  let tokens = burst
  let at = -Infinity
  return {
    take(now) {
      tokens = Math.min(burst, tokens + Math.max(0, now - at) / interval)
      at = Math.max(at, now)
      tokens -= 1
      return tokens >= 0 ? 0 : Math.ceil(-tokens * interval)
    }
  }
}
