/**
 * Sends one request again and again over keep-alive TLS connections and counts the answers. A process of its own, as light
 * as can be, so that the server is what is measured: told by its parent what to do, one round after the other.
 */
import { connect } from 'node:tls'
import type { TLSSocket } from 'node:tls'

export interface Round {
  readonly port: number
  readonly ca: string
  readonly path: string
  /** The JSON bodies, sent in turn. */
  readonly bodies: readonly string[]
  readonly connections: number
  /** Whether the client looks for answers without end, and never sleeps: then no server pays for waking it. */
  readonly awake: boolean
  /** The round ends with whichever comes first. */
  readonly seconds: number
  readonly requests: number
}

export interface Counted {
  readonly answers: number
  /** Answers other than 200 and connections lost; 0 in a round that counts. */
  readonly failures: number
  readonly seconds: number
}

/** @throws Error when a connection cannot be had */
async function run(round: Round): Promise<Counted> {
  const { port, ca, bodies, path, connections } = round
  const requests = bodies.map((body) => requestOf(path, body))
  const sockets = await Promise.all(Array.from({ length: connections }, () => open(port, ca)))
  let [answers, failures, sent] = [0, 0, 0]
  let over = !round.awake
  const look = (): void => {
    if (!over) setImmediate(look)
  }
  look()
  const startedAt = performance.now()
  const deadline = startedAt + round.seconds * 1000
  await Promise.all(
    sockets.map(
      (socket) =>
        new Promise<void>((resolve) => {
          const next = (): void => {
            if (sent >= round.requests || performance.now() >= deadline) {
              socket.destroy()
              return resolve()
            }
            socket.write(requests[sent++ % requests.length] ?? '')
          }
          readAnswers(socket, (ok) => {
            answers++
            if (!ok) failures++
            next()
          })
          socket.on('close', resolve)
          socket.on('error', () => failures++)
          next()
        })
    )
  )
  over = true
  return { answers, failures, seconds: (performance.now() - startedAt) / 1000 }
}

function requestOf(path: string, body: string): Buffer {
  const head = `POST ${path}?timeout=10s HTTP/1.1\r\nhost: localhost\r\nuser-agent: kube-apiserver-admission\r\naccept: application/json\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`
  return Buffer.from(head + body)
}

function open(port: number, ca: string): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, ca, servername: 'localhost' }, () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.setNoDelay(true)
    socket.once('error', reject)
  })
}

/** One answer at a time is under way on a connection, and every answer says its length. */
function readAnswers(socket: TLSSocket, onAnswer: (ok: boolean) => void): void {
  let missing = 0
  let held = ''
  let ok = false
  socket.on('data', (chunk: Buffer) => {
    if (missing > 0) missing -= chunk.length
    else {
      held += chunk.toString('latin1')
      const end = held.indexOf('\r\n\r\n')
      if (end < 0) return
      const length = Number(/\r\ncontent-length: (\d+)/i.exec(held)?.[1])
      ok = held.startsWith('HTTP/1.1 200 ')
      missing = end + 4 + length - held.length
      held = ''
    }
    if (missing <= 0) onAnswer(ok)
  })
}

process.on('message', (round: Round) => {
  run(round).then(
    (counted) => process.send?.(counted),
    (error: unknown) => process.send?.({ error: String(error) })
  )
})
