/** For tests: a scripted server for what a real API server does only by accident, and a kubeconfig that leads to it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { connect } from './connection.ts'
import type { Connection, ConnectionOptions } from './connection.ts'

export interface Scripted {
  readonly url: string
  /** TCP connections accepted so far. */
  connections(): number
  close: () => Promise<void>
}

export async function serve(script: RequestListener, tls?: { key: string; cert: string }): Promise<Scripted> {
  const server = tls === undefined ? createServer(script) : createTlsServer(tls, script)
  let connections = 0
  server.on('connection', () => connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${String(port)}`,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}

export function answerJson(response: ServerResponse, code: number, body: unknown, headers = {}): void {
  response.writeHead(code, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body))
}

export function statusBody(code: number, reason: string, message = 'told by the script', details = {}): object {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message, details }
}

export async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
  return text === '' ? undefined : JSON.parse(text)
}

/** JSON is YAML too. */
export function kubeconfigText(server: string, cluster: object, user: object): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'c', cluster: { server, ...cluster } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }]
  })
}

export interface Folder {
  write(name: string, text: string): string
  remove: () => void
}

export function temporaryFolder(): Folder {
  const folder = mkdtempSync(join(tmpdir(), 'kube-sg-'))
  return {
    write(name, text) {
      const path = join(folder, name)
      writeFileSync(path, text)
      return path
    },
    remove: () => rmSync(folder, { recursive: true, force: true })
  }
}

export const silentLogger = pino({ level: 'silent' })

/** A connection to a plain HTTP server; the caller closes it. */
export async function connectTo(url: string, options: Partial<ConnectionOptions> = {}): Promise<Connection> {
  const folder = temporaryFolder()
  const kubeconfig = folder.write(
    'config',
    kubeconfigText(url, { 'insecure-skip-tls-verify': true }, { token: 'a-token' })
  )
  try {
    return await connect({ source: { kubeconfig }, logger: silentLogger, userAgent: 'kube-sg-test', ...options })
  } finally {
    folder.remove()
  }
}
