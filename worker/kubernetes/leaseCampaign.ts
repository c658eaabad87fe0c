/** Runs for a lease, holds it, loses it or gives it back: the loop around worker/election.ts. */
import type { Logger } from '../../shared/logger.ts'
import { claim, freeFrom, giveBack, sight, validUntil } from '../election.ts'
import type { ElectionTiming, LeaseRecord, Sighting } from '../election.ts'
import type { LeaseStore, StoredLease } from './leaseStore.ts'

export interface CampaignClock {
  /** Monotonic milliseconds. */
  now(): number
  /** RFC 3339 with microseconds. */
  wallTime(): string
  sleep(ms: number, signal: AbortSignal): Promise<void>
  /** From 0 to 1. */
  random(): number
}

export interface CampaignOptions {
  readonly store: LeaseStore
  readonly identity: string
  readonly timing: ElectionTiming
  readonly clock: CampaignClock
  readonly logger: Logger
  /** Calls `onRelease` when the lease seems to have been given back, until the signal is aborted; without it, looks alone find out. */
  readonly watchReleases?: (onRelease: () => void, signal: AbortSignal) => void
  /** Called once at most. */
  readonly onLead: () => void
  /** Called once at most, and only after onLead, which may have thrown; there is no second run. Not called by stop. */
  readonly onLost: (reason: string) => void
}

export interface Campaign {
  /** Whether a write may begin at this moment of the monotonic clock. */
  isLeading(now: number): boolean
  /** Every write must have ended by then: nobody else leads before. -Infinity while not leading. */
  validUntil(): number
  /** To be called when all work has ended. Gives the lease back if we hold it; resolves in any case. */
  stop(): Promise<void>
}

interface Held {
  readonly stored: StoredLease
  readonly sentAt: number
}

export function campaign(options: CampaignOptions): Campaign {
  const state: State = { ...options, stopping: new AbortController(), held: undefined, troubled: false }
  const running = run(state)
  return {
    isLeading: (now) => state.held !== undefined && now < renewBy(state, state.held),
    validUntil: () => (state.held === undefined ? -Infinity : validUntil(state.held.sentAt, options.timing)),
    async stop() {
      const { held } = state
      state.held = undefined
      state.stopping.abort(new Error('the campaign was stopped'))
      await running
      if (held !== undefined) await release(state, held.stored)
    }
  }
}

interface State extends CampaignOptions {
  readonly stopping: AbortController
  held: Held | undefined
  troubled: boolean
}

const renewBy = (state: State, held: Held): number => held.sentAt + state.timing.renewDeadline
const isStopped = (state: State): boolean => state.stopping.signal.aborted

async function run(state: State): Promise<void> {
  try {
    const held = await acquire(state)
    if (held === undefined) return
    if (isStopped(state)) return await release(state, held.stored)
    state.held = held
    state.logger.info({ identity: state.identity }, 'leading')
    const reason = leads(state) ? await hold(state) : 'the work of the leader could not be begun'
    if (isStopped(state)) return
    state.held = undefined
    state.logger.error({ identity: state.identity, reason }, 'lost the lease')
    state.onLost(reason)
  } catch (err) {
    if (!isStopped(state)) state.logger.error({ err }, 'a callback of the election threw')
  }
}

/** Whoever holds the lease and does not work keeps all others from it. */
function leads(state: State): boolean {
  try {
    state.onLead()
    return true
  } catch (err) {
    state.logger.error({ err }, 'a callback of the election threw')
    return false
  }
}

/** Undefined when stopped. A lease that took too long to come is not held: it is asked for again. */
async function acquire(state: State): Promise<Held | undefined> {
  const ended = new AbortController()
  let released = new AbortController()
  state.watchReleases?.(() => released.abort(), AbortSignal.any([ended.signal, state.stopping.signal]))
  try {
    return await lookUntilFree(state, async (ms) => {
      await pause(state, ms, released.signal)
      released = new AbortController()
    })
  } finally {
    ended.abort()
  }
}

/** @param rest pauses for so many milliseconds, or until there is a reason to look again */
async function lookUntilFree(state: State, rest: (ms: number) => Promise<void>): Promise<Held | undefined> {
  const { clock, timing, identity, logger } = state
  let sighting: Sighting | undefined
  let seenHolder: string | undefined
  while (!isStopped(state)) {
    let wait = timing.retryPeriod * (1 + clock.random() / 5)
    try {
      const stored = await state.store.read(timing.retryPeriod, state.stopping.signal)
      state.troubled = false
      sighting = sight(sighting, stored?.record, clock.now())
      const free = freeFrom(sighting, identity)
      if (free <= clock.now()) {
        const held = await write(state, stored, claim(stored?.record, identity, timing, clock.wallTime()))
        if (held !== 'conflict' && clock.now() < renewBy(state, held)) return held
      } else wait = Math.min(wait, free - clock.now() + 1)
      if (sighting !== undefined && sighting.record.holderIdentity !== seenHolder) {
        seenHolder = sighting.record.holderIdentity
        logger.info({ holder: seenHolder }, 'standing by')
      }
    } catch (err) {
      tellTrouble(state, err, 'the lease could not be read or written; trying again')
    }
    await rest(wait)
  }
  return undefined
}

/** Renews until it fails for too long, another holder shows, or stop. Returns why it ended. */
async function hold(state: State): Promise<string> {
  await pause(state, state.timing.retryPeriod)
  while (!isStopped(state) && state.held !== undefined) {
    const { held, clock, timing } = state
    if (clock.now() >= renewBy(state, held)) return `not renewed for ${String(timing.renewDeadline)} ms`
    const outcome = await renew(state, held)
    if (outcome === 'failed') {
      await pause(state, Math.min(timing.retryPeriod / 4, renewBy(state, held) - clock.now()))
      continue
    }
    if (typeof outcome === 'string') return outcome
    // Stop took the lease out of our hands while the renewal was under way.
    if (!isStopped(state)) state.held = outcome
    await pause(state, timing.retryPeriod)
  }
  return 'stopped'
}

/** The lease anew; or `failed`, to be tried again; or, in other words, why it is lost. */
async function renew(state: State, held: Held): Promise<Held | string> {
  const { clock, timing, identity, store } = state
  const timeout = (): number => Math.max(1, Math.min(timing.retryPeriod, renewBy(state, held) - clock.now()))
  const record = claim(held.stored.record, identity, timing, clock.wallTime())
  try {
    const written = await write(state, held.stored, record, timeout())
    if (written !== 'conflict') return written
    const stored = await store.read(timeout(), state.stopping.signal)
    if (stored !== undefined && stored.record.holderIdentity !== identity)
      return `taken by '${stored.record.holderIdentity}'`
    const again = await write(state, stored, record, timeout())
    return again === 'conflict' ? 'failed' : again
  } catch (err) {
    tellTrouble(state, err, 'the lease could not be renewed; trying again')
    return 'failed'
  }
}

/** The first of several failures in a row is news; the others come fast while the API server is away. */
function tellTrouble(state: State, err: unknown, message: string): void {
  if (isStopped(state)) return
  state.logger[state.troubled ? 'debug' : 'warn']({ err }, message)
  state.troubled = true
}

/** Counts from before the write was sent: others can have seen it no earlier. */
async function write(
  state: State,
  previous: StoredLease | undefined,
  record: LeaseRecord,
  timeout = state.timing.retryPeriod
): Promise<Held | 'conflict'> {
  const sentAt = state.clock.now()
  const stored = await state.store.write(previous, record, timeout, state.stopping.signal)
  state.troubled = false
  return stored === 'conflict' ? stored : { stored, sentAt }
}

/** A conflict may be our own last renewal, cut off by stop. Failure only costs the successor the lease's duration. */
async function release(state: State, held: StoredLease): Promise<void> {
  const { store, clock, timing, identity, logger } = state
  const { signal } = new AbortController()
  let stored: StoredLease | undefined = held
  try {
    for (let tries = 0; tries < 3 && stored?.record.holderIdentity === identity; tries++) {
      const written = await store.write(stored, giveBack(stored.record, clock.wallTime()), timing.retryPeriod, signal)
      if (written !== 'conflict') return logger.info({ identity }, 'gave the lease back')
      stored = await store.read(timing.retryPeriod, signal)
    }
  } catch (err) {
    logger.warn({ err }, 'the lease could not be given back; it runs out by itself')
  }
}

async function pause(state: State, ms: number, until?: AbortSignal): Promise<void> {
  const signal = until === undefined ? state.stopping.signal : AbortSignal.any([state.stopping.signal, until])
  if (ms > 0) await state.clock.sleep(ms, signal).catch(() => undefined)
}
