/** Bounds the requests that a connection sends before their turn, of which Node itself takes hundreds. Pure. */
import type { RequestListener } from 'node:http'

/** API servers send none: Go's HTTP client waits for each answer. */
export const MOST_AHEAD = 4

/**
 * Wraps what answers requests: a connection that sends more of them ahead of their turn is cut. Each takes 10 KiB and more
 * until the one before it is answered, which may wait for permission.
 */
export function boundPipelines(): (answer: RequestListener) => RequestListener {
  const ahead = new WeakMap<object, number>()

  return (answer) => (incoming, outgoing) => {
    // Node hands an answer its socket when its turn has come.
    if (outgoing.socket !== null) return answer(incoming, outgoing)
    const { socket } = incoming
    const before = ahead.get(socket) ?? 0
    if (before >= MOST_AHEAD) return void socket.destroy()
    ahead.set(socket, before + 1)
    outgoing.once('close', () => ahead.set(socket, (ahead.get(socket) ?? 0) - 1))
    answer(incoming, outgoing)
  }
}
