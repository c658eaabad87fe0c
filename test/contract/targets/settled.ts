/** Reads of a target whose reads lag behind its writes. */
import { setTimeout as delay } from 'node:timers/promises'

const PAUSE_MS = 1000

/** In milliseconds. */
export interface Clock {
  readonly now: () => number
  readonly wait: (duration: number) => Promise<unknown>
}

const REAL_CLOCK: Clock = { now: () => performance.now(), wait: (duration) => delay(duration) }

/**
 * With `satisfies`: reads until it holds, for at most four lags. Without: reads once, a lag later, since what must not
 * have changed cannot be waited for.
 * @param lag ms; 0 reads once and at once
 */
export async function readSettled<T>(
  lag: number,
  read: () => Promise<T>,
  satisfies?: (answer: T) => boolean,
  { now, wait }: Clock = REAL_CLOCK
): Promise<T> {
  if (lag === 0) return read()
  if (satisfies === undefined) {
    await wait(lag)
    return read()
  }
  const until = now() + 4 * lag
  for (;;) {
    const answer = await read()
    if (satisfies(answer) || now() >= until) return answer
    await wait(Math.min(PAUSE_MS, lag))
  }
}
