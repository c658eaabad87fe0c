/** Puts Events onto pods, in the background: what a user sees in `kubectl describe pod`. They are never a record of truth. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { isNamespaceTerminating, isNotFound, isTransient, NoAnswer } from '../../shared/kubernetes/status.ts'
import type { Logger } from '../../shared/logger.ts'
import { podKeys } from '../../shared/podRef.ts'
import { BUDGET, createBudget } from './eventsBudget.ts'
import type { BudgetLimits } from './eventsBudget.ts'
import { writeSeries } from './eventsObject.ts'
import { createSeriesBook } from './eventsSeries.ts'
import type { Occurrence, Series, SeriesBook } from './eventsSeries.ts'

export type { Occurrence } from './eventsSeries.ts'

export interface RecorderOptions {
  readonly connection: Connection
  /** Such as `sg.amazonaws.com/worker`. */
  readonly reportingController: string
  /** Such as the pod's name; cut after 128 characters. */
  readonly reportingInstance: string
  readonly logger: Logger
  /** Occurrences that no Event will tell of. */
  readonly onLost?: (count: number) => void
  /** Milliseconds since 1970. */
  readonly now?: () => number
  readonly limits?: Partial<RecorderLimits>
}

/** Times in milliseconds. */
export interface RecorderLimits {
  /** Series remembered; beyond it the longest quiet is forgotten, told or not. */
  readonly capacity: number
  /** So long after its last occurrence a series is over. */
  readonly window: number
  /** A growing series is told of at most so often. */
  readonly seriesInterval: number
  readonly retryFirst: number
  readonly retryMost: number
  readonly tries: number
  /** Of one pod. */
  readonly budget: BudgetLimits
  /** Events that found no room are logged at most so often. */
  readonly logInterval: number
}

const LIMITS: RecorderLimits = {
  capacity: 4000,
  window: 6 * 60_000,
  seriesInterval: 10_000,
  retryFirst: 1000,
  retryMost: 30_000,
  tries: 12,
  budget: BUDGET,
  logInterval: 60_000
}

const CALL_TIMEOUT_MS = 5000

export interface Recorder {
  /** Returns at once and never throws. */
  record(occurrence: Occurrence): void
  /** Tells what is untold, within `timeout` milliseconds and without retries, and ends: later records are dropped. */
  flush(timeout?: number): Promise<void>
}

/** One Event is sent at a time, so that Events never crowd out other calls. */
export function recordEvents(options: RecorderOptions): Recorder {
  const limits = { ...LIMITS, ...options.limits }
  const stopping = new AbortController()
  const cut = new AbortController()
  const state: State = {
    ...options,
    limits,
    signal: cut.signal,
    now: options.now ?? Date.now,
    book: createSeriesBook({ ...limits, name: (pod) => eventName(pod.name) })
  }
  const mayTell = createBudget(limits.budget)
  const overflow = createOverflow(state)
  let wake: () => void = () => undefined
  const running = sendForever(state, stopping.signal, () => new Promise((resolve) => (wake = resolve)))
  return {
    record(occurrence) {
      const keys = { ...podKeys(occurrence.pod), reason: occurrence.reason }
      if (stopping.signal.aborted) return options.logger.debug(keys, 'event dropped: the recorder has ended')
      if (!mayTell(occurrence.pod.uid, state.now())) {
        state.onLost?.(1)
        return options.logger.debug(keys, 'event dropped: the pod has had too many')
      }
      const forgotten = state.book.add(occurrence, state.now())
      if (forgotten !== undefined) overflow(forgotten)
      wake()
    },
    async flush(timeout = 5000) {
      stopping.abort(new Error('the recorder was stopped'))
      wake()
      const deadline = performance.now() + timeout
      const timer = setTimeout(() => cut.abort(new Error('the process stops')), timeout)
      await running
      let reachable = true
      for (const series of [...state.book.untold()]) {
        const left = deadline - performance.now()
        if (left <= 0 || !reachable) lose(state, series, 'the process stops')
        else reachable = await tell(state, series, { tries: 1, timeout: left })
      }
      clearTimeout(timer)
    }
  }
}

interface State extends RecorderOptions {
  readonly signal: AbortSignal
  readonly limits: RecorderLimits
  readonly now: () => number
  readonly book: SeriesBook
}

async function sendForever(state: State, signal: AbortSignal, nextRecord: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    const recorded = nextRecord()
    let next = Infinity
    let due: Series | undefined
    for (const series of state.book.untold()) {
      next = Math.min(next, series.dueAt)
      if (series.dueAt <= state.now()) {
        due = series
        break
      }
    }
    if (due !== undefined) {
      const reachable = await tell(state, due, { tries: state.limits.tries, timeout: CALL_TIMEOUT_MS })
      // Nobody answers: the others need not try.
      if (!reachable) await sleepUntil(state, due.dueAt, signal)
      continue
    }
    const nap = new AbortController()
    const napping = AbortSignal.any([signal, nap.signal])
    await Promise.race([recorded, ...(next === Infinity ? [] : [sleepUntil(state, next, napping)])])
    nap.abort()
  }
}

async function sleepUntil(state: State, time: number, signal: AbortSignal): Promise<void> {
  await sleep(Math.max(1, time - state.now()), undefined, { signal }).catch(() => undefined)
}

/**
 * Ends told, or dropped with a log line, or still untold with a later due time.
 * @returns whether the API server answered
 */
async function tell(state: State, series: Series, how: { tries: number; timeout: number }): Promise<boolean> {
  const { limits, book, logger } = state
  const { count } = series
  const keys = podKeys(series.occurrence.pod)
  try {
    await writeSeries(state, series, how.timeout)
    book.told(series, count, state.now() + limits.seriesInterval)
    return true
  } catch (err) {
    if (isNamespaceTerminating(err) || isNotFound(err)) {
      book.drop(series)
      logger.debug({ err, ...keys }, 'event dropped: its namespace is going')
    } else if (!isTransient(err) || series.failures + 1 >= how.tries) {
      book.drop(series)
      lose(state, series, 'the API server did not take it', err)
    } else {
      series.dueAt = state.now() + Math.min(limits.retryMost, limits.retryFirst * 2 ** series.failures++)
      logger.debug({ err, ...keys }, 'event not written; trying again')
    }
    return !(err instanceof NoAnswer)
  }
}

function lose(state: State, { occurrence, count, told }: Series, why: string, err?: unknown): void {
  const { pod, reason, note } = occurrence
  const keys = { ...podKeys(pod), reason, note, occurrences: count - told }
  state.onLost?.(count - told)
  state.logger.warn(err === undefined ? keys : { err, ...keys }, `event lost: ${why}`)
}

/** Thousands may find no room within a second: one line for all of an interval. */
function createOverflow({ limits, logger, now, onLost }: State): (series: Series) => void {
  let quietUntil = -Infinity
  let occurrences = 0
  return ({ count, occurrence: { note, pod, reason }, told }) => {
    onLost?.(count - told)
    occurrences += count - told
    if (now() < quietUntil) return
    logger.warn({ ...podKeys(pod), reason, note, occurrences }, 'events lost: too many wait for the API server')
    quietUntil = now() + limits.logInterval
    occurrences = 0
  }
}

/** The pod's name first, as kubectl's lists show it; a subdomain of at most 253 characters. */
function eventName(podName: string): string {
  return `${podName.slice(0, 236).replace(/[-.]+$/, '')}.${randomUUID().replaceAll('-', '').slice(0, 16)}`
}
