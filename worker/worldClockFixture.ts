/** For tests: the clock of a small world. */
import { nextTick } from 'node:process'
import type { Timers } from './queue.ts'

const START = 1_000_000_000

/** More timers at one moment than any work there could need. */
const SPINS = 10_000

interface Timer {
  readonly at: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

/** Every promise that can go on without a timer has gone on. */
const settled = (): Promise<void> => new Promise((resolve) => nextTick(resolve))

/** A clock that moves only when told, with the timers that fall due on the way, each with all that follows from it. */
export class WorldClock implements Timers {
  #now = START
  #order = 0
  // A heap: the earliest timer is the first, and each is no later than the two at twice its index.
  readonly #heap: Timer[] = []
  /** What is left to chance, from 0 (included) to 1 (excluded). */
  random: () => number = () => 0.5

  now(): number {
    return this.#now
  }
  chance(): number {
    return this.random()
  }
  after(delay: number, run: () => void): () => void {
    const timer: Timer = { at: this.#now + Math.max(0, delay), order: this.#order++, run, cancelled: false }
    this.#push(timer)
    return () => {
      timer.cancelled = true
    }
  }
  sleep(delay: number): Promise<void> {
    return new Promise((resolve) => this.after(delay, resolve))
  }
  /** Goes on until all that falls due within the time has been done. */
  async advance(by: number): Promise<void> {
    const until = this.#now + by
    await settled()
    let turns = 0
    for (let next = this.#heap[0]; next !== undefined && next.at <= until; next = this.#heap[0]) {
      this.#pop()
      if (next.cancelled) continue
      turns = next.at > this.#now ? 0 : turns + 1
      if (turns > SPINS) throw new Error(`something spins at ${String(this.#now)}`)
      this.#now = next.at
      next.run()
      await settled()
    }
    this.#now = until
  }

  #push(timer: Timer): void {
    const heap = this.#heap
    let index = heap.push(timer) - 1
    while (index > 0) {
      const parent = (index - 1) >> 1
      const above = heap[parent]
      if (above === undefined || isBefore(above, timer)) break
      heap[index] = above
      index = parent
    }
    heap[index] = timer
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let index = 0
    for (;;) {
      const left = heap[2 * index + 1]
      const right = heap[2 * index + 2]
      if (left === undefined) break
      const [child, at] = right !== undefined && isBefore(right, left) ? [right, 2 * index + 2] : [left, 2 * index + 1]
      if (isBefore(last, child)) break
      heap[index] = child
      index = at
    }
    heap[index] = last
  }
}

const isBefore = (one: Timer, other: Timer): boolean =>
  one.at < other.at || (one.at === other.at && one.order < other.order)
