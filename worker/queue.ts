/**
 * A queue of keys: one run a key at a time, and however often a key is added while it waits or runs, it is run once more.
 *
 * The first event of a quiet key runs at once; the next run of the same key starts no sooner than `coalesce` after the last one
 * started, so that a burst becomes one call; and while events of the key still pour in then, not before they cease for a moment,
 * for at most a second. A run that fails comes back after a delay that grows with each failure; an event
 * cuts that delay short, for it may bring what was lacking, but to no less than a second: a storm of events must not become a
 * storm of calls.
 */

/** Timers, so that tests own the clock. Times are milliseconds. */
export interface Timers {
  now(): number
  /** @returns a function that calls it off */
  after(delay: number, run: () => void): () => void
  /** From 0 (included) to 1 (excluded). */
  chance(): number
}

/** What a run says at its end: nothing more to do, or when to come back though nothing happens. */
export interface Outcome {
  readonly againAfter?: number
  /** It called nobody, so that there was nothing to coalesce: the next event need not wait for long. */
  readonly idle?: boolean
}

/** Told what happens in the queue, for metrics; it must not throw. Times are milliseconds. */
export interface QueueObserver {
  /** A key that had nothing to do got something, or its time came. */
  added(): void
  /** @param waited since the key was added */
  started(waited: number): void
  ended(worked: number): void
  retried(): void
}

export interface QueueOptions<K> {
  readonly run: (key: K) => Promise<Outcome>
  readonly timers: Timers
  /** Runs at once, over all keys. */
  readonly concurrency: number
  /** Least time between two starts of one key. */
  readonly coalesce: number
  /** Delay after the `failures`-th failure in a row. */
  readonly retryAfter: (error: unknown, failures: number) => number
  readonly onError: (key: K, error: unknown, failures: number, retryAfter: number) => void
  readonly observer?: QueueObserver
}

export interface Queue<K> {
  /** An event: run as soon as coalescing allows. */
  add(key: K): void
  /** Keys that wait for their time or a free place; running ones are not counted. */
  readonly waiting: number
  /** Those of them that an event added, or whose time has come. */
  readonly depth: number
  readonly running: number
  /** When the running ones were started. */
  startedAt(): number[]
  /** Starts nothing new; resolves when the last run has ended. */
  stop(): Promise<void>
}

/** Least time between two starts of a key whose last run failed, in milliseconds. */
const FAILING = 1000
/** Least time between two starts of a key whose last run was idle, in milliseconds: enough to keep a burst from costing a run an event. */
const IDLE = 10

/** A pause between two events of a key that is longer, in milliseconds, ends a burst. */
const LULL = 10
/** However long a burst is, what it brought first waits no longer, in milliseconds; and no longer than ten times `coalesce`. */
const PATIENCE = 1000

interface Slot {
  running: boolean
  /** When it should run, undefined when nothing is to do. */
  due: number | undefined
  /** Since when, coalescing and a lack of places aside; later than now while only a timer wants it. */
  wantedAt: number
  timed: boolean
  addedAt: number
  startedAt: number
  /** What was added until then, if the last run called somebody, came too soon after it to be run at once. */
  busyUntil: number
  failures: number
  /** The last run was idle; and so may be the one under way, as long as it has not ended. */
  idle: boolean
  cancel: (() => void) | undefined
}

export function createQueue<K>(options: QueueOptions<K>): Queue<K> {
  const { timers, coalesce, concurrency, observer } = options
  const slots = new Map<K, Slot>()
  const ready: K[] = []
  let running = 0
  let stopped = false
  let whenIdle: (() => void) | undefined

  const patience = Math.min(PATIENCE, 10 * coalesce)
  const pause = ({ failures, idle }: Slot): number =>
    failures > 0 ? Math.max(FAILING, coalesce) : idle ? Math.min(IDLE, coalesce) : coalesce

  const schedule = (key: K, slot: Slot, due: number): void => {
    if (stopped || (slot.due !== undefined && slot.due <= due)) return
    slot.due = due
    slot.cancel?.()
    slot.cancel = undefined
    if (slot.running) return
    slot.cancel = timers.after(Math.max(0, due - timers.now()), () => {
      slot.cancel = undefined
      if (poursIn(slot, due)) {
        slot.due = undefined
        schedule(key, slot, timers.now() + LULL)
        return
      }
      ready.push(key)
      startReady()
    })
  }

  // The first event of a quiet key waits for no other, nor does one after a run that called nobody.
  const poursIn = ({ addedAt, busyUntil, wantedAt }: Slot, due: number): boolean => {
    const now = timers.now()
    if (wantedAt >= busyUntil || now >= wantedAt + patience) return false
    // A process that could not even keep this appointment has not had the time to hear of more.
    return now < addedAt + LULL || now >= due + LULL
  }

  const startReady = (): void => {
    while (!stopped && running < concurrency) {
      const key = ready.shift()
      const slot = key === undefined ? undefined : slots.get(key)
      if (key === undefined) return
      // One run a key at a time, whatever the clock did.
      if (slot === undefined || slot.running || slot.due === undefined) continue
      void start(key, slot)
    }
  }

  const start = async (key: K, slot: Slot): Promise<void> => {
    slot.running = true
    slot.due = undefined
    slot.startedAt = timers.now()
    slot.idle = true
    running += 1
    if (slot.timed) observer?.added()
    observer?.started(Math.max(0, slot.startedAt - slot.wantedAt))
    let again: number | undefined
    try {
      const outcome = await options.run(key)
      again = outcome.againAfter
      slot.idle = outcome.idle === true
      slot.failures = 0
    } catch (error) {
      slot.failures += 1
      slot.idle = false
      again = options.retryAfter(error, slot.failures)
      options.onError(key, error, slot.failures, again)
      observer?.retried()
    }
    observer?.ended(timers.now() - slot.startedAt)
    running -= 1
    slot.running = false
    finish(key, slot, again)
    startReady()
    if (stopped && running === 0) whenIdle?.()
  }

  const finish = (key: K, slot: Slot, again: number | undefined): void => {
    const added = slot.due
    slot.due = undefined
    slot.busyUntil = slot.idle ? -Infinity : Math.max(timers.now(), slot.startedAt + coalesce)
    if (added !== undefined) schedule(key, slot, Math.max(added, slot.startedAt + pause(slot)))
    else if (again !== undefined) {
      Object.assign(slot, { timed: true, wantedAt: timers.now() + again })
      schedule(key, slot, slot.wantedAt)
    } else forget(key, slot)
  }

  // A quiet key is kept for one coalescing window, then dropped: the queue holds no key for ever.
  const forget = (key: K, slot: Slot): void => {
    if (stopped) return
    slot.cancel = timers.after(Math.max(0, slot.startedAt + coalesce - timers.now()), () => {
      if (slot.due === undefined && !slot.running) slots.delete(key)
    })
  }

  return {
    add(key) {
      if (stopped) return
      const slot = slots.get(key) ?? {
        running: false,
        due: undefined,
        wantedAt: -Infinity,
        timed: false,
        addedAt: -Infinity,
        startedAt: -Infinity,
        busyUntil: -Infinity,
        failures: 0,
        idle: false,
        cancel: undefined
      }
      slots.set(key, slot)
      slot.addedAt = timers.now()
      if (slot.due === undefined || slot.timed) {
        Object.assign(slot, { timed: false, wantedAt: timers.now() })
        observer?.added()
      }
      schedule(key, slot, Math.max(timers.now(), slot.startedAt + pause(slot)))
    },
    get waiting() {
      return [...slots.values()].filter((slot) => slot.due !== undefined).length
    },
    get depth() {
      const now = timers.now()
      return [...slots.values()].filter((slot) => slot.due !== undefined && !slot.running && slot.wantedAt <= now)
        .length
    },
    get running() {
      return running
    },
    startedAt: () => [...slots.values()].filter((slot) => slot.running).map((slot) => slot.startedAt),
    async stop() {
      stopped = true
      for (const slot of slots.values()) slot.cancel?.()
      if (running === 0) return
      await new Promise<void>((resolve) => (whenIdle = resolve))
    }
  }
}
