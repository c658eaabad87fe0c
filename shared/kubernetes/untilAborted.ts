/**
 * Waits for the promise, or for the signal's end.
 *
 * A listener that stayed behind would keep its signal for as long as a signal lives that it depends on: of many short calls that all end
 * with one long-lived connection, each would leave a kilobyte.
 * @throws the signal's reason
 */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
