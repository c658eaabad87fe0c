/** The simulator over HTTP, on loopback: EC2's Query protocol at `/`, the control surface under `/_sim/`. */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { control } from './control.ts'
import type { Outcome, Simulator } from './simulator.ts'
import { createSimulator } from './simulator.ts'
import { BODY_LIMIT } from './wire/query.ts'
import { renderError } from './wire/xml.ts'

export interface SimulatorServer {
  readonly port: number
  /** What an SDK takes as its endpoint. */
  readonly endpoint: string
  /** Cuts what is still open, hung calls too. */
  close(): Promise<void>
}

export interface ServeOptions {
  /** 0 lets the system choose. */
  readonly port: number
  /** Told about defects of the simulator's own. */
  readonly onDefect: (error: unknown) => void
}

/** Longer than clients keep idle connections, so that none meets a connection that is just being closed. */
const KEEP_ALIVE_MS = 120_000

/** @throws Error when the port is taken */
export async function serveSimulator({ port, onDefect }: ServeOptions): Promise<SimulatorServer> {
  const hex = (): string => randomBytes(8).toString('hex')
  const simulator = createSimulator({ now: Date.now, hex, onDefect })
  const server = createServer({ keepAliveTimeout: KEEP_ALIVE_MS }, (request, response) => {
    respond(simulator, request, response).catch((error: unknown) => {
      onDefect(error)
      response.destroy()
    })
  })
  await listen(server, port)
  const bound = (server.address() as AddressInfo).port
  return {
    port: bound,
    endpoint: `http://127.0.0.1:${String(bound)}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)))
        server.closeAllConnections()
      })
  }
}

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, '127.0.0.1', resolve)
  })

async function respond(simulator: Simulator, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = URL.parse(request.url ?? '', 'http://127.0.0.1')
  const body = await readBody(request)
  // The client went away while it was still sending: there is no request.
  if (body === 'aborted') return
  if (body === 'too large' || url === null) {
    const [status, code, message] = url === null ? MALFORMED : TOO_LARGE
    response.writeHead(status, { 'content-type': 'text/xml;charset=UTF-8', connection: 'close' })
    response.end(renderError('00000000-0000-0000-0000-000000000000', code, message))
    return
  }
  if (url.pathname.startsWith('/_sim/')) {
    const path = url.pathname.slice('/_sim/'.length)
    const answer = control(simulator, request.method ?? '', path, url.searchParams, body.toString('utf8'), Date.now())
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(`${JSON.stringify(answer.body)}\n`)
    return
  }
  await answerEC2(simulator, request, response, request.method === 'GET' ? Buffer.from(url.search.slice(1)) : body)
}

const TOO_LARGE = [413, 'RequestEntityTooLarge', `The request is larger than ${String(BODY_LIMIT)} bytes`] as const
const MALFORMED = [400, 'MalformedQueryString', 'The request has no valid URL'] as const

async function answerEC2(
  simulator: Simulator,
  request: IncomingMessage,
  response: ServerResponse,
  body: Buffer
): Promise<void> {
  const startedAt = Date.now()
  const { latencyMs } = simulator.world.settings
  // Before the effect: a client that gives up meanwhile has still made the call, as with the real one.
  // A call that waits does not keep a process from ending.
  if (latencyMs > 0) await delay(latencyMs, undefined, { ref: false })
  const date = request.headers['x-amz-date']
  const credentials = {
    authorization: request.headers.authorization,
    date: Array.isArray(date) ? date[0] : date
  }
  send(simulator.handle({ credentials, body }, startedAt), request, response)
}

function send(outcome: Outcome, request: IncomingMessage, response: ServerResponse): void {
  switch (outcome.kind) {
    case 'answer':
      response.writeHead(outcome.status, {
        'content-type': 'text/xml;charset=UTF-8',
        'x-amzn-requestid': outcome.requestId
      })
      response.end(outcome.body)
      return
    case 'cut':
      request.socket.resetAndDestroy()
      return
    case 'hang':
      return
  }
}

/** Beyond the limit nothing is kept, but the rest is read, so that the client gets to see the answer. */
async function readBody(request: IncomingMessage): Promise<Buffer | 'too large' | 'aborted'> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of request as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size <= BODY_LIMIT) chunks.push(chunk)
      else chunks.length = 0
      if (size > BODY_LIMIT * 16) return 'too large'
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ECONNRESET') return 'aborted'
    throw error
  }
  return size > BODY_LIMIT ? 'too large' : Buffer.concat(chunks)
}
