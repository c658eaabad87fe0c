/** Exponential delays with jitter. Pure: chance is an argument. */

/**
 * The delay before try number `failures` + 1, in milliseconds: doubled each time up to `slowest`, of which up to half
 * is left to chance, so that many keys that failed together do not come back together.
 * @param chance from 0 (included) to 1 (excluded)
 */
export function backoff(failures: number, first: number, slowest: number, chance: number): number {
  const full = Math.min(slowest, first * 2 ** Math.min(Math.max(failures - 1, 0), 30))
  return Math.round(full * (0.5 + chance / 2))
}
