/** Which occurrences are one Event: the bounded memory of the recorder. Pure: time is an argument, milliseconds since 1970. */
import type { PodRef } from '../../shared/podRef.ts'

/** What happened to a pod, in the words of events.k8s.io: `reason` and `action` in CamelCase, few and fixed. */
export interface Occurrence {
  readonly pod: PodRef
  readonly type: 'Normal' | 'Warning'
  readonly reason: string
  readonly action: string
  /** For people; the API server takes 1024 bytes. */
  readonly note: string
}

/** One Event object: what occurred first, and how often since. */
export interface Series {
  readonly key: string
  /** Of the Event object. */
  readonly name: string
  readonly occurrence: Occurrence
  readonly firstAt: number
  lastAt: number
  count: number
  /** How many of `count` the API server knows of; 0 when the Event was not created yet. */
  told: number
  /** When to tell the next time, at the earliest. */
  dueAt: number
  failures: number
}

export interface SeriesBook {
  /** Counts it in; returns what had to be forgotten untold to make room. */
  add(occurrence: Occurrence, now: number): Series | undefined
  /** What the API server does not know yet, in the order of its last occurrence. */
  untold(): Iterable<Series>
  told(series: Series, count: number, dueAt: number): void
  drop(series: Series): void
}

export interface BookOptions {
  readonly capacity: number
  readonly window: number
  /** A new name for an Event of the pod. */
  readonly name: (pod: PodRef) => string
}

/**
 * Equal occurrences of one pod are a series until none came for `window` milliseconds (client-go's tools/events: six
 * minutes). The note belongs to what must be equal, as the API server never lets it change.
 */
export function createSeriesBook(options: BookOptions): SeriesBook {
  /** In the order of the last occurrence. */
  const book = new Map<string, Series>()
  function forgetOld(now: number): void {
    for (const series of book.values()) {
      if (series.lastAt > now - options.window) return
      if (series.told === series.count) book.delete(series.key)
    }
  }
  return {
    add(occurrence, now) {
      forgetOld(now)
      const { pod, type, reason, action, note } = occurrence
      const key = [pod.uid, type, reason, action, note].join('\0')
      const known = book.get(key)
      book.delete(key)
      if (known === undefined || known.lastAt <= now - options.window)
        book.set(key, {
          key,
          name: options.name(pod),
          // Of the pod no more than its name: it is kept for minutes after the pod is gone.
          occurrence: { ...occurrence, pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid } },
          firstAt: now,
          lastAt: now,
          count: 1,
          told: 0,
          dueAt: now,
          failures: 0
        })
      else book.set(key, Object.assign(known, { lastAt: now, count: known.count + 1 }))
      if (book.size <= options.capacity) return undefined
      const [oldest] = book.values()
      if (oldest !== undefined) book.delete(oldest.key)
      return oldest !== undefined && oldest.told < oldest.count ? oldest : undefined
    },
    *untold() {
      for (const series of book.values()) if (series.told < series.count) yield series
    },
    told(series, count, dueAt) {
      Object.assign(series, { told: count, dueAt, failures: 0 })
    },
    drop(series) {
      if (book.get(series.key) === series) book.delete(series.key)
    }
  }
}

const NOTE_BYTES = 1024
const CUT = ' ... (cut)'

/** The API server counts bytes (pkg/apis/core/validation/events.go), and no character may be cut in two. */
export function cutNote(note: string): string {
  const bytes = new TextEncoder().encode(note)
  if (bytes.length <= NOTE_BYTES) return note
  return new TextDecoder().decode(bytes.subarray(0, NOTE_BYTES - CUT.length), { stream: true }) + CUT
}
