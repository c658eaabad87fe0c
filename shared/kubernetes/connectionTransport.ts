/** One HTTP exchange with the API server: shared connections, credentials, rate limit, timeout, one retry. */
import { setTimeout as sleep } from 'node:timers/promises'
import { TokenBucket } from 'limiter'
import { Agent, request as send } from 'undici'
import type { Dispatcher } from 'undici'
import type { CredentialCache, TlsOptions } from './connectionCredentials.ts'
import { ApiError, NoAnswer } from './status.ts'
import { untilAborted } from './untilAborted.ts'

/** What a caller counts: client-go's `rest_client_requests_total` and `rest_client_request_duration_seconds`. */
export interface RequestReport {
  readonly method: string
  readonly host: string
  /** The HTTP status, or `<error>` as client-go has it when there was no answer. */
  readonly code: string
  /** Milliseconds until the headers of the answer. */
  readonly duration: number
}

export interface Exchange {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  readonly signal?: AbortSignal
  /** Milliseconds for the whole exchange once the rate limit let it pass; of a stream, until its headers. */
  readonly timeout: number
  /** Milliseconds for the whole exchange, the wait for the rate limit included. */
  readonly within?: number
}

export type Answer = Dispatcher.ResponseData

export interface TransportOptions {
  readonly credentials: CredentialCache
  /** Calls a second and calls at once; without it there is no limit. */
  readonly limit?: { readonly qps: number; readonly burst: number }
  /** TCP connections at most; a stream holds one for as long as it lasts. */
  readonly connections: number
  readonly onRequest?: (report: RequestReport) => void
}

export interface Transport {
  /**
   * Sends once, and once more when the answer is 429 or 503 with a Retry-After that the timeout leaves room for.
   * `read` runs inside the timeout. @throws ApiError of `read`, NoAnswer, or the signal's reason when the caller aborted
   */
  exchange<T>(exchange: Exchange, read: (answer: Answer) => T | Promise<T>): Promise<T>
  close(): Promise<void>
}

export function createTransport(options: TransportOptions): Transport {
  const takeToken = createLimit(options.limit)
  const agents = keepAgent(options.connections)
  const closing = new AbortController()

  async function sendOnce(exchange: Exchange, signal: AbortSignal): Promise<Answer> {
    const credentials = await options.credentials.current()
    const { method, url, body } = exchange
    const startedAt = performance.now()
    let code = '<error>'
    try {
      const answer = await send(url, {
        dispatcher: agents.agentFor(credentials.tls),
        method: method,
        headers: { ...exchange.headers, ...credentials.headers },
        body: body ?? null,
        signal
      })
      code = String(answer.statusCode)
      if (answer.statusCode === 401) options.credentials.expire()
      return answer
    } finally {
      options.onRequest?.({ method, host: new URL(url).host, code, duration: performance.now() - startedAt })
    }
  }

  async function sendTwice(exchange: Exchange, signal: AbortSignal, deadline: number): Promise<Answer> {
    const answer = await sendOnce(exchange, signal)
    const wait = retryAfter(answer)
    if (wait === undefined || performance.now() + wait >= deadline) return answer
    await answer.body.dump()
    await sleep(wait, undefined, { signal })
    return sendOnce(exchange, signal)
  }

  return {
    async exchange(exchange, read) {
      const timeout = new AbortController()
      const signals = [timeout.signal, closing.signal, ...(exchange.signal === undefined ? [] : [exchange.signal])]
      const signal = AbortSignal.any(signals)
      const expire = (ms: number): NodeJS.Timeout =>
        setTimeout(() => timeout.abort(new Error(`timed out after ${String(ms)} ms`)), ms)
      const timers = exchange.within === undefined ? [] : [expire(exchange.within)]
      try {
        await takeToken(signal)
        timers.push(expire(exchange.timeout))
        return await read(await sendTwice(exchange, signal, performance.now() + exchange.timeout))
      } catch (error) {
        if (error instanceof ApiError) throw error
        if (exchange.signal?.aborted === true) throw exchange.signal.reason
        const { host, pathname } = new URL(exchange.url)
        const cause: unknown = signal.aborted ? signal.reason : error
        throw new NoAnswer({ method: exchange.method, path: pathname, host }, cause)
      } finally {
        timers.forEach(clearTimeout)
      }
    },
    async close() {
      closing.abort(new Error('the connection was closed'))
      await agents.close()
    }
  }
}

/** Milliseconds, when the API server asks to come back: it did not act on the request (client-go rest/with_retry.go). */
function retryAfter(answer: Answer): number | undefined {
  if (answer.statusCode !== 429 && answer.statusCode !== 503) return undefined
  const header = answer.headers['retry-after']
  return typeof header === 'string' && /^\d{1,5}$/.test(header) ? Number(header) * 1000 : undefined
}

function createLimit(limit: TransportOptions['limit']): (signal: AbortSignal) => Promise<void> {
  if (limit === undefined) return () => Promise.resolve()
  const bucket = new TokenBucket({ bucketSize: limit.burst, tokensPerInterval: limit.qps, interval: 'second' })
  bucket.content = limit.burst
  let last: Promise<void> = Promise.resolve()
  async function wait(signal: AbortSignal): Promise<void> {
    while (!bucket.tryRemoveTokens(1)) await sleep(Math.max(1, bucket.getWaitTime(1)), undefined, { signal })
  }
  // Not the bucket's own queue: whoever gave up there still takes a token, and holds the process open for it.
  return async (signal) => {
    const turn = last.then(() => (signal.aborted ? undefined : wait(signal)))
    last = turn.catch(() => undefined)
    await untilAborted(turn, signal)
  }
}

/** One Agent for as long as the TLS material stays; the old one serves what it began, streams included. */
function keepAgent(connections: number): { agentFor(tls: TlsOptions): Agent; close(): Promise<void> } {
  let current: { agent: Agent; tls: TlsOptions; key: string } | undefined
  const retired = new Set<Promise<void>>()
  function retire(agent: Agent, how: 'close' | 'destroy'): void {
    const ending = agent[how]().finally(() => retired.delete(ending))
    retired.add(ending)
  }
  return {
    agentFor(tls) {
      if (current?.tls === tls) return current.agent
      const key = JSON.stringify(tls)
      if (current?.key === key) {
        current.tls = tls
        return current.agent
      }
      if (current !== undefined) retire(current.agent, 'close')
      current = { agent: createAgent(tls, connections), tls, key }
      return current.agent
    },
    async close() {
      if (current !== undefined) retire(current.agent, 'destroy')
      await Promise.all(retired)
    }
  }
}

function createAgent(tls: TlsOptions, connections: number): Agent {
  return new Agent({
    connections,
    // Over HTTP/2 all calls and watches would share, and stall with, one TCP connection.
    allowH2: false,
    keepAliveTimeout: 30_000,
    // Every exchange has a deadline of its own, and watches are quiet for a minute at a time.
    headersTimeout: 0,
    bodyTimeout: 0,
    // Finds a dead peer within some 20 s: libuv probes each second, ten times, after the first silence.
    connect: { ...tls, timeout: 3000, keepAlive: true, keepAliveInitialDelay: 10_000 }
  })
}
