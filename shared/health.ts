/** The plain HTTP side of every process: /livez, /readyz and /metrics. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Registry } from 'prom-client'
import type { Logger } from './logger.ts'

/** Undefined when all is well, else the reason why not, in a sentence. */
export type Check = () => string | undefined

export interface HealthServer {
  /** The port listened on, also when 0 was asked for. */
  readonly port: number
  close(): Promise<void>
}

export interface HealthOptions {
  readonly port: number
  readonly live: Readonly<Record<string, Check>>
  readonly ready: Readonly<Record<string, Check>>
  readonly registry: Registry
  readonly logger: Logger
}

const LIMITS = { headersTimeout: 10_000, requestTimeout: 10_000, connectionsCheckingInterval: 2000 }
/** A connection on which nothing moves, as of a client that does not read its answer. */
const IDLE_MS = 10_000
/** Each may hold an answer with all metrics, some 60 KiB. */
const MOST_CONNECTIONS = 256

/** Answers 200 when every check passes, else 503 with a line for each failing one, as Kubernetes' own components do. */
export async function serveHealth(options: HealthOptions): Promise<HealthServer> {
  const server = createServer(LIMITS, (request, response) => {
    // Whoever asks again before the answer could have thousands of them written at once.
    if (response.socket === null) return void request.socket.destroy()
    // A kubelet brings a new connection for each probe anyway, and a Prometheus comes every few seconds.
    response.shouldKeepAlive = false
    const url = (request.url ?? '').split('?')[0]
    if (url === '/livez' || url === '/readyz') {
      const checks = Object.entries(url === '/livez' ? options.live : options.ready)
      const failing = checks
        .map(([name, check]) => [name, check()] as const)
        .filter(([, reason]) => reason !== undefined)
      const body =
        failing.length === 0 ? 'ok\n' : failing.map(([name, reason]) => `[-]${name} failed: ${reason ?? ''}\n`).join('')
      response.writeHead(failing.length === 0 ? 200 : 503, { 'content-type': 'text/plain; charset=utf-8' }).end(body)
    } else if (url === '/metrics') {
      options.registry.metrics().then(
        (text) => response.writeHead(200, { 'content-type': options.registry.contentType }).end(text),
        (err: unknown) => {
          options.logger.error({ err }, 'metrics could not be written')
          response.writeHead(500, { 'content-type': 'text/plain' }).end('metrics could not be written\n')
        }
      )
    } else {
      response.writeHead(404, { 'content-type': 'text/plain' }).end('try /livez, /readyz or /metrics\n')
    }
  })
  server.maxConnections = MOST_CONNECTIONS
  server.setTimeout(IDLE_MS)
  server.listen(options.port)
  await once(server, 'listening')
  // Without a listener the next error would end the process.
  server.on('error', (err) => options.logger.error({ err }, 'connection could not be accepted'))
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)))
        server.closeAllConnections()
      })
  }
}
