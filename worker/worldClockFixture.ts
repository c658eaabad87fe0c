/** For tests: the clock of a small world. */
import { setImmediate as macrotask } from 'node:timers/promises'
import type { Timers } from './queue.ts'

const START = 1_000_000_000

/** A clock that moves only when told, with the timers that fall due on the way. */
export class WorldClock implements Timers {
  #now = START
  #timers: { at: number; order: number; run: () => void }[] = []
  #order = 0
  now(): number {
    return this.#now
  }
  chance(): number {
    return 0.5
  }
  after(delay: number, run: () => void): () => void {
    const timer = { at: this.#now + delay, order: this.#order++, run }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }
  sleep(delay: number): Promise<void> {
    return new Promise((resolve) => this.after(delay, resolve))
  }
  async advance(by: number): Promise<void> {
    const until = this.#now + by
    for (;;) {
      await macrotask()
      const next = this.#timers.toSorted((one, other) => one.at - other.at || one.order - other.order)[0]
      if (next === undefined || next.at > until) break
      this.#timers = this.#timers.filter((timer) => timer !== next)
      this.#now = next.at
      next.run()
    }
    this.#now = until
    await macrotask()
  }
}
