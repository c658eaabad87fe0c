/** The plain HTTP side of every process: /livez, /readyz and /metrics. */
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

/** Answers 200 when every check passes, else 503 with a line for each failing one, as Kubernetes' own components do. */
export async function serveHealth(options: HealthOptions): Promise<HealthServer> {
  const server = createServer((request, response) => {
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
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)))
        server.closeAllConnections()
      })
  }
}
