/** Follows a collection of the API server for as long as the process lives: list, watch, and list again when lost. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { isExpired, isOverloaded, NoAnswer } from '../../shared/kubernetes/status.ts'
import type { Logger } from '../../shared/logger.ts'
import { list } from './reflectorList.ts'
import type { RawObject, Selection } from './reflectorList.ts'
import { createPace } from './reflectorPace.ts'
import type { FailureKind, Pace } from './reflectorPace.ts'
import { watch } from './reflectorWatch.ts'
import type { WatchEvent } from './reflectorWatch.ts'

export type { RawObject } from './reflectorList.ts'

/** Called in the order of the API server, never two at once. It must not be async: nothing waits for it. */
export interface Handler<T> {
  /** The whole truth: what is not among the items is gone, and an item with another uid is another object. */
  replaced(items: readonly T[]): void
  changed(item: T): void
  /** With the last state known; an object that stops matching the selector looks deleted too. */
  deleted(item: T): void
}

export interface ReflectOptions<T> extends Selection {
  readonly connection: Connection
  readonly logger: Logger
  readonly handler: Handler<T>
  /** What to keep of an object. It must not hold on to the object. A throw fails a list, and skips a watch event. */
  readonly trim: (object: RawObject) => T
  readonly pageSize?: number
  /** Every failure, for metrics; they are logged already. */
  readonly onError?: (error: unknown, during: 'list' | 'watch' | 'handler') => void
  readonly timing?: Partial<ReflectorTiming>
  /** Monotonic milliseconds. */
  readonly now?: () => number
  readonly random?: () => number
}

/** Milliseconds. */
export interface ReflectorTiming {
  /**
   * Silence after which a watch counts as dead; the API server sends a bookmark about every 60 s, and 2 s before it ends a watch
   * (apiserver pkg/storage/cacher, nextBookmarkTime).
   */
  readonly watchdog: number
  /** The API server ends a watch after a random time between these. */
  readonly watchLeast: number
  readonly watchMost: number
  readonly backoffFirst: number
  readonly backoffMost: number
}

/**
 * Short watches: of a connection that is dead without being cut nobody learns before the watch should have ended, and an address
 * that is free is given to a stranger after 30 s.
 */
const TIMING: ReflectorTiming = {
  watchdog: 20_000,
  watchLeast: 10_000,
  watchMost: 12_000,
  backoffFirst: 500,
  backoffMost: 10_000
}

export interface Reflection {
  /** True once the first list was handed over; false when stopped before. Never rejects. */
  readonly synced: Promise<boolean>
  /** When bytes last came from the API server, in the clock's milliseconds; -Infinity before the first. */
  lastContact(): number
  /** No handler is called once this was called; resolves when the last call has ended. */
  stop(): Promise<void>
}

/** A watch that ends at once, having said nothing, counts as failed; else a broken balancer would be asked in a loop. */
const SHORT_WATCH_MS = 1000

/**
 * Begins at once. After any failure it goes on: at once after a clean end, else with jittered exponential back-off that
 * data resets. A resourceVersion too old (410), or two refusals in a row, lead to a new list;
 * an API server that is overloaded (429, 502, 503) does not.
 */
export function reflect<T>(options: ReflectOptions<T>): Reflection {
  const timing = { ...TIMING, ...options.timing }
  const random = options.random ?? Math.random
  const stopping = new AbortController()
  let settleSynced: (synced: boolean) => void = () => undefined
  const synced = new Promise<boolean>((resolve) => (settleSynced = resolve))
  const following: Following<T> = {
    options,
    timing,
    random,
    now: options.now ?? (() => performance.now()),
    signal: stopping.signal,
    pace: createPace({ ...timing, random }),
    onSynced: () => settleSynced(true),
    resourceVersion: undefined,
    lastContact: -Infinity
  }
  const running = follow(following)
  return {
    synced,
    lastContact: () => following.lastContact,
    async stop() {
      stopping.abort(new Error('the reflector was stopped'))
      await running
      settleSynced(false)
    }
  }
}

interface Following<T> {
  readonly options: ReflectOptions<T>
  readonly timing: ReflectorTiming
  readonly now: () => number
  readonly random: () => number
  readonly signal: AbortSignal
  readonly pace: Pace
  readonly onSynced: () => void
  /** Where the next watch goes on; undefined asks for a list. */
  resourceVersion: string | undefined
  lastContact: number
}

async function follow<T>(f: Following<T>): Promise<void> {
  while (!isStopped(f)) {
    const during = f.resourceVersion === undefined ? 'list' : 'watch'
    try {
      await (f.resourceVersion === undefined ? listOnce(f) : watchOnce(f, f.resourceVersion))
    } catch (error) {
      if (isStopped(f)) return
      const kind = kindOf(error)
      report(f, error, during, kind === 'expired' ? 'fell behind; listing again' : `${during} failed; trying again`)
      const { wait, relist } = f.pace.failed(kind)
      if (relist) f.resourceVersion = undefined
      await sleep(wait, undefined, { signal: f.signal }).catch(() => undefined)
    }
  }
}

const isStopped = (f: { readonly signal: AbortSignal }): boolean => f.signal.aborted

function kindOf(error: unknown): FailureKind {
  if (isExpired(error)) return 'expired'
  // An API server that is overloaded must not be asked for everything because of it (client-go tools/cache, Reflector).
  return error instanceof NoAnswer || isOverloaded(error) ? 'silence' : 'refusal'
}

async function listOnce<T>(f: Following<T>): Promise<void> {
  const { options, signal } = f
  const listed = await list({ ...options, signal, onPage: () => (f.lastContact = f.now()) })
  signal.throwIfAborted()
  options.handler.replaced(listed.items)
  f.resourceVersion = listed.resourceVersion
  f.pace.listed()
  options.logger.debug({ path: options.path, items: listed.items.length }, 'listed')
  f.onSynced()
}

async function watchOnce<T>(f: Following<T>, from: string): Promise<void> {
  const { timing, signal, pace } = f
  const startedAt = f.now()
  let events = 0
  try {
    await watch({
      ...f.options,
      from,
      signal,
      watchdog: timing.watchdog,
      duration: timing.watchLeast + f.random() * (timing.watchMost - timing.watchLeast),
      onContact: () => (f.lastContact = f.now()),
      onEvent(event) {
        events++
        pace.progress()
        f.resourceVersion = event.object.metadata.resourceVersion
        deliver(f, event)
      }
    })
  } finally {
    pace.held(f.now() - startedAt)
  }
  if (events === 0 && f.now() - startedAt < SHORT_WATCH_MS)
    throw new Error(`a watch of ${f.options.path} ended at once`)
  pace.progress()
}

/** An event counts as delivered though its handler threw: told again it would throw again. */
function deliver<T>(f: Following<T>, event: WatchEvent): void {
  if (f.signal.aborted || event.type === 'BOOKMARK') return
  try {
    const item = f.options.trim(event.object)
    if (event.type === 'DELETED') f.options.handler.deleted(item)
    else f.options.handler.changed(item)
  } catch (error) {
    report(f, error, 'handler', 'a watch event could not be handled; later ones are')
  }
}

function report<T>(f: Following<T>, err: unknown, during: 'list' | 'watch' | 'handler', message: string): void {
  f.options.logger[during === 'handler' ? 'error' : 'warn']({ err, path: f.options.path }, message)
  f.options.onError?.(err, during)
}
