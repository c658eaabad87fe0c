/** Reads of a target whose reads lag behind its writes. */
import { setTimeout as delay } from 'node:timers/promises'

const PAUSE_MS = 1000

/**
 * With `satisfies`: reads until it holds, for at most four lags. Without: reads once, a lag later, since what must not
 * have changed cannot be waited for.
 * @param lag ms; 0 reads once and at once
 */
export async function readSettled<T>(
  lag: number,
  read: () => Promise<T>,
  satisfies?: (answer: T) => boolean
): Promise<T> {
  if (lag === 0) return read()
  if (satisfies === undefined) {
    await delay(lag)
    return read()
  }
  const until = performance.now() + 4 * lag
  for (;;) {
    const answer = await read()
    if (satisfies(answer) || performance.now() >= until) return answer
    await delay(Math.min(PAUSE_MS, lag))
  }
}
