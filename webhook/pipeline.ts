/** Bounds the requests that a connection sends before their turn, of which Node itself takes hundreds. Pure. */
import type { IncomingMessage, RequestListener } from 'node:http'

/** API servers send none: HTTP/1.1 clients do not since proxies were seen to mix up the answers. */
export const MOST_AHEAD = 4

/**
 * Wraps what answers requests: a connection that sends more of them ahead of their turn is cut. Each takes 10 KiB and more
 * until the one before it is answered, which may wait for permission.
 */
export function boundPipelines(): (answer: RequestListener) => RequestListener {
  const ahead = new WeakMap<object, number>()
  const mayWait = ({ socket }: IncomingMessage): boolean => (ahead.get(socket) ?? 0) < MOST_AHEAD
  const count = (socket: object, change: number): unknown => ahead.set(socket, (ahead.get(socket) ?? 0) + change)

  return (answer) => (incoming, outgoing) => {
    // Node hands an answer its socket when its turn has come.
    if (outgoing.socket !== null) return answer(incoming, outgoing)
    if (!mayWait(incoming)) return void incoming.socket.destroy()
    count(incoming.socket, 1)
    outgoing.once('close', () => count(incoming.socket, -1))
    answer(incoming, outgoing)
  }
}
