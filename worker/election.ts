/**
 * Who may lead, after client-go's tools/leaderelection. Pure: time is an argument, monotonic milliseconds of this process.
 * Clocks of two machines are never compared: a lease runs out when its record has not changed for its duration, as seen
 * here. Whoever sees it does so after it was written, and the holder counts from before it was sent: so the holder stops
 * first, as long as both clocks run at about the same rate.
 */

/** Milliseconds. */
export interface ElectionTiming {
  /** How long others wait after the last renewal they saw. */
  readonly leaseDuration: number
  /** The holder gives up when it could not renew for so long. */
  readonly renewDeadline: number
  /** Between two renewals, and between two looks of a candidate. */
  readonly retryPeriod: number
}

/** The parts of a Lease's spec that elections use, as written there; times are for people to read. */
export interface LeaseRecord {
  readonly holderIdentity: string
  readonly leaseDurationSeconds: number
  readonly acquireTime?: string
  readonly renewTime?: string
  readonly leaseTransitions: number
}

/** A record, and when this process first saw it just so. */
export interface Sighting {
  readonly record: LeaseRecord
  readonly firstSeen: number
}

/** Clocks are trusted to differ in rate by one in a hundred; NTP never steers by more than one in two thousand. */
const CLOCK_TRUST = 0.99

/** Why the timing cannot work, in a sentence; undefined when it can. */
export function faultOfTiming(timing: ElectionTiming): string | undefined {
  if (timing.renewDeadline >= timing.leaseDuration * CLOCK_TRUST)
    return 'the renew deadline must be shorter than the lease duration, or two could lead at once'
  if (timing.retryPeriod * 1.2 >= timing.renewDeadline)
    return 'the retry period must be shorter than the renew deadline, with a fifth to spare, or one late renewal ends it'
  return timing.retryPeriod > 0 ? undefined : 'the retry period must be more than nothing'
}

/**
 * What is known after reading the lease. One that is absent changes nothing: deleting the object must not hand the
 * lease on while its holder works. Only a process that never saw it cannot know.
 * @param now when the answer was here, not when the question was sent
 */
export function sight(
  previous: Sighting | undefined,
  record: LeaseRecord | undefined,
  now: number
): Sighting | undefined {
  if (record === undefined) return previous
  return previous !== undefined && sameRecord(previous.record, record) ? previous : { record, firstSeen: now }
}

/** From when on the candidate may write itself into the lease; in the past means now. */
export function freeFrom(sighting: Sighting | undefined, identity: string): number {
  if (sighting === undefined) return -Infinity
  const { holderIdentity, leaseDurationSeconds } = sighting.record
  if (holderIdentity === '' || holderIdentity === identity) return -Infinity
  return sighting.firstSeen + leaseDurationSeconds * 1000
}

/** Until when the lease is safely the holder's. @param sentAt when the last successful write was sent */
export function validUntil(sentAt: number, timing: ElectionTiming): number {
  return sentAt + timing.leaseDuration * CLOCK_TRUST
}

/** What to write to take the lease, or to keep it. @param wallTime RFC 3339 with microseconds */
export function claim(
  previous: LeaseRecord | undefined,
  identity: string,
  timing: ElectionTiming,
  wallTime: string
): LeaseRecord {
  const keeps = previous?.holderIdentity === identity
  return {
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(timing.leaseDuration / 1000),
    acquireTime: keeps ? (previous.acquireTime ?? wallTime) : wallTime,
    renewTime: wallTime,
    leaseTransitions: previous === undefined ? 0 : previous.leaseTransitions + (keeps ? 0 : 1)
  }
}

/** What to write to give the lease back: whoever reads it may take it at once. */
export function giveBack(record: LeaseRecord, wallTime: string): LeaseRecord {
  return { ...record, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: wallTime, renewTime: wallTime }
}

function sameRecord(a: LeaseRecord, b: LeaseRecord): boolean {
  return (
    a.holderIdentity === b.holderIdentity &&
    a.leaseDurationSeconds === b.leaseDurationSeconds &&
    a.acquireTime === b.acquireTime &&
    a.renewTime === b.renewTime &&
    a.leaseTransitions === b.leaseTransitions
  )
}
