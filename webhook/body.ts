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

/**
 * So many are put together to one: a hostile body comes in pieces of one byte, each of which costs the memory of a hundred
 * while it is kept. A review comes in one piece, or in some of 16 KiB.
 */
const MOST_PIECES = 1024

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
      const pieces: Buffer[] = []
      /** Of the pieces, those that are put together already. */
      let joined = 0
      let [length, counted, over] = [0, 0, false]
      const end = (): void => {
        over = true
        held -= counted
        pieces.length = 0
      }
      const judge = (): Refusal | undefined => {
        if (length > most) return tooLarge
        if (length <= small) return undefined
        held += length - counted
        counted = length
        return held > together ? tooMany : undefined
      }
      incoming.on('data', (piece: Buffer) => {
        length += piece.length
        if (over) {
          if (length > most + MOST_THROWN_AWAY) incoming.destroy()
          return
        }
        const refusal = judge()
        if (refusal !== undefined) {
          end()
          return onRefusal(refusal)
        }
        pieces.push(piece)
        if (pieces.length - joined < MOST_PIECES) return
        pieces.splice(joined, MOST_PIECES, Buffer.concat(pieces.slice(joined)))
        joined++
      })
      incoming.on('end', () => {
        if (over) return
        const [first] = pieces
        const body = pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces, length)
        end()
        onBody(body.toString())
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
