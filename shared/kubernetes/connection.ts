/** The way to the API server that all of a process shares. */
import type { Readable } from 'node:stream'
import type { Logger } from '../logger.ts'
import { cacheCredentials } from './connectionCredentials.ts'
import type { CredentialSource } from './connectionCredentials.ts'
import { createTransport } from './connectionTransport.ts'
import type { Answer, RequestReport, Transport } from './connectionTransport.ts'
import { ApiError } from './status.ts'

export type { CredentialSource } from './connectionCredentials.ts'
export type { RequestReport } from './connectionTransport.ts'

export interface ConnectionOptions {
  readonly source: CredentialSource
  readonly logger: Logger
  /** How the API server's log and audit name us, such as `kube-sg-worker`. */
  readonly userAgent: string
  /** Calls a second, and calls at once after a pause; client-go's own are 5 and 10, controller-runtime's 20 and 30. */
  readonly qps?: number
  readonly burst?: number
  /** Milliseconds for a call; a call waits for the rate limit before its time begins. */
  readonly timeout?: number
  /** Called once for every HTTP request, also for one without an answer. */
  readonly onRequest?: (report: RequestReport) => void
}

export interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Such as `/api/v1/pods`, without query. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>
  readonly body?: unknown
  readonly contentType?: string
  readonly accept?: string
  readonly signal?: AbortSignal
  readonly timeout?: number
  /** Milliseconds from now for everything, the wait for the rate limit included: for what must not happen later. */
  readonly within?: number
}

export interface Connection {
  /** A call with plain JSON. @throws ApiError, NoAnswer, or the signal's reason */
  request(call: Call): Promise<unknown>
  /** As {@link request}, past the rate limit and over TCP connections of its own: a lease waits for nobody. */
  requestAhead(call: Call): Promise<unknown>
  /**
   * The body as it comes, over connections of its own: a watch waits for no other call. The timeout ends with the headers. The reader
   * must consume or destroy the body.
   */
  stream(call: Call): Promise<Readable>
  /** Ends every call and stream. */
  close(): Promise<void>
}

const TIMEOUT_MS = 10_000

/**
 * Plain JSON over shared connections: the client library opens a TLS connection for each call, and its typed clients are
 * more than half of a bundle.
 * Every error is an ApiError (the API server refused) or a NoAnswer (nobody knows), see status.ts.
 * @throws Error when the credentials cannot be read at all; the API server itself is not asked yet
 */
export async function connect(options: ConnectionOptions): Promise<Connection> {
  const { logger, onRequest } = options
  const credentials = cacheCredentials(options.source, logger)
  const { server } = await credentials.current()
  const common = { credentials, ...(onRequest === undefined ? {} : { onRequest }) }
  const limit = { qps: options.qps ?? 50, burst: options.burst ?? 100 }
  const shared = createTransport({ ...common, limit, connections: 16 })
  const ahead = createTransport({ ...common, connections: 2 })
  const streams = createTransport({ ...common, connections: 4 })
  const fill = { server, userAgent: options.userAgent, timeout: options.timeout ?? TIMEOUT_MS }
  return {
    request: (call) => requestJson(shared, call, fill),
    requestAhead: (call) => requestJson(ahead, call, fill),
    stream: (call) =>
      exchange(streams, call, fill, async (answer) => {
        await refuse(answer, call)
        return answer.body
      }),
    async close() {
      await Promise.all([shared.close(), ahead.close(), streams.close()])
    }
  }
}

interface Fill {
  readonly server: string
  readonly userAgent: string
  readonly timeout: number
}

async function requestJson(transport: Transport, call: Call, fill: Fill): Promise<unknown> {
  return exchange(transport, call, fill, async (answer) => {
    await refuse(answer, call)
    return answer.body.json()
  })
}

async function exchange<T>(
  transport: Transport,
  call: Call,
  fill: Fill,
  read: (answer: Answer) => Promise<T>
): Promise<T> {
  const url = new URL(`${fill.server}${call.path}`)
  for (const [name, value] of Object.entries(call.query ?? {}))
    if (value !== undefined) url.searchParams.set(name, String(value))
  const request = {
    method: call.method ?? 'GET',
    url: url.href,
    headers: {
      accept: call.accept ?? 'application/json',
      'user-agent': fill.userAgent,
      ...(call.body === undefined ? {} : { 'content-type': call.contentType ?? 'application/json' })
    },
    timeout: call.timeout ?? fill.timeout,
    ...(call.within === undefined ? {} : { within: call.within }),
    ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
    ...(call.signal === undefined ? {} : { signal: call.signal })
  }
  return transport.exchange(request, read)
}

async function refuse(answer: Answer, call: Call): Promise<void> {
  if (answer.statusCode >= 200 && answer.statusCode <= 299) return
  const named = { method: call.method ?? 'GET', path: call.path }
  throw new ApiError(named, answer.statusCode, await answer.body.text(), flatten(answer.headers))
}

const flatten = (headers: Answer['headers']): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : (value ?? '')])
  )
