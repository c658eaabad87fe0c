/** Whether a permission holds that is asked for again and again, when a 'no' may be a passing one. Pure. */

/** A permission counts as withdrawn after two denials at least this many milliseconds apart. */
export const WITHDRAWN_AFTER = 30_000

export type Standing =
  | { readonly state: 'granted'; readonly at: number }
  | { readonly state: 'denied'; readonly since: number; readonly at: number }

/**
 * - granted: grant and keep
 * - keep: denied but once: grant nothing new, take nothing away
 * - unknown: nobody could tell yet: the same
 * - refused: grant nothing, and take away what there is
 *
 * After a restart nobody remembers what held before, so the first denial takes nothing away there either.
 */
export type Leave = 'granted' | 'keep' | 'unknown' | 'refused'

/** The standing after one more answer. The first of a row of denials is remembered, so that a second can confirm it. */
export function afterAnswer(standing: Standing | undefined, allowed: boolean, now: number): Standing {
  if (allowed) return { state: 'granted', at: now }
  if (standing?.state === 'denied') return { ...standing, at: now }
  return { state: 'denied', since: now, at: now }
}

export function leaveOf(standing: Standing | undefined): Leave {
  if (standing === undefined) return 'unknown'
  if (standing.state === 'granted') return 'granted'
  return standing.at - standing.since >= WITHDRAWN_AFTER ? 'refused' : 'keep'
}
