/** Reads the bodies of requests: whole, bounded, and without believing what is said of their length. */
import type { IncomingMessage } from 'node:http'

/** Why there is no body. */
export interface Refusal {
  readonly code: 413 | 429
  /** As Kubernetes names the code. */
  readonly reason: 'RequestEntityTooLarge' | 'TooManyRequests'
  readonly message: string
}

export interface BodyLimits {
  /** Bytes of one body. */
  readonly most: number
  /** A body of no more bytes is read whatever else is being read. */
  readonly small: number
  /** Bytes of all larger bodies that are being read at a time. */
  readonly together: number
}

export interface BodyReader {
  /**
   * Calls `onBody` with the text, or `onRefusal` as soon as it is clear that there will be none, or neither when the client
   * goes away first: then `onGone`. What follows on a refusal is read and thrown away, so that a client that is still
   * sending sees the answer and not a cut connection; one that sends without end is cut.
   */
  read(
    incoming: IncomingMessage,
    onBody: (text: string) => void,
    onRefusal: (refusal: Refusal) => void,
    onGone: () => void
  ): void
}

/** An API server sends no more than objects of 3 MiB (its limit for requests) and 1.5 MiB (etcd's), each byte as six. */
const MOST_THROWN_AWAY = 28 * 2 ** 20

export function createBodyReader(limits: BodyLimits): BodyReader {
  const { most, small, together } = limits
  const tooLarge: Refusal = {
    code: 413,
    reason: 'RequestEntityTooLarge',
    message: `the review is larger than ${most / 2 ** 20} MiB: make the object smaller; each '<', '>' and '&' in it takes six bytes`
  }
  const tooMany: Refusal = {
    code: 429,
    reason: 'TooManyRequests',
    message: 'too many large reviews at once: try again'
  }
  /** Bytes of the larger bodies that are being read now. */
  let held = 0

  return {
    read(incoming, onBody, onRefusal, onGone) {
      let body: Buffer | undefined
      let [length, counted, over] = [0, 0, false]
      const end = (): void => {
        over = true
        held -= counted
        body = undefined
      }
      const judge = (): Refusal | undefined => {
        if (length > most) return tooLarge
        if (length <= small) return undefined
        held += length - counted
        counted = length
        return held > together ? tooMany : undefined
      }
      incoming.on('data', (piece: Buffer) => {
        const before = length
        length += piece.length
        if (over) {
          if (length > most + MOST_THROWN_AWAY) incoming.destroy()
          return
        }
        const refusal = judge()
        if (refusal === undefined) {
          body = body === undefined ? piece : append(body, before, piece)
          return
        }
        end()
        onRefusal(refusal)
      })
      incoming.on('end', () => {
        if (over) return
        const text = body === undefined ? '' : body.toString('utf8', 0, length)
        end()
        onBody(text)
      })
      // Node tells of a client that goes away only to whoever listens for it.
      incoming.on('error', () => {
        if (over) return
        end()
        onGone()
      })
    }
  }
}

/**
 * A list of the pieces would be simpler, but a hostile body comes in pieces of one byte, each of which costs the memory of a
 * hundred. What is allocated doubles, so that every byte is copied twice at most.
 */
function append(body: Buffer, length: number, piece: Buffer): Buffer {
  const total = length + piece.length
  let room = body
  if (room.length < total) {
    room = Buffer.allocUnsafeSlow(Math.max(total, 2 * length))
    body.copy(room, 0, 0, length)
  }
  piece.copy(room, length)
  return room
}
