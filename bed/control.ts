/** How a bed is spoken to: HTTP with JSON over a unix socket in its directory. */
import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Answers a request; what it throws is told to the caller by its message. */
export type Handler = (path: string, body: unknown) => Promise<unknown>

/** The socket's path: in the directory, or, where that is longer than systems allow (104 bytes), in the temporary one. */
export function socketPath(directory: string): string {
  const path = join(directory, 'control.sock')
  if (Buffer.byteLength(path) < 100) return path
  return join(tmpdir(), `kube-sg-${createHash('sha256').update(directory).digest('hex').slice(0, 16)}.sock`)
}

/** Serves the control socket; whoever calls this must hold the bed's lock, since an old socket is removed. */
export async function serveControl(directory: string, handle: Handler): Promise<() => Promise<void>> {
  const path = socketPath(directory)
  await rm(path, { force: true })
  const server = createServer((incoming, response) => {
    answer(incoming, response, handle).catch(() => response.destroy())
  })
  server.requestTimeout = 0
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, resolve)
  })
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeIdleConnections()
    })
}

async function answer(incoming: IncomingMessage, response: ServerResponse, handle: Handler): Promise<void> {
  const send = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json', connection: 'close' })
    response.end(JSON.stringify(body ?? {}))
  }
  try {
    const text = Buffer.concat(await incoming.toArray()).toString('utf8')
    send(200, await handle(incoming.url ?? '', text === '' ? undefined : JSON.parse(text)))
  } catch (error) {
    send(400, { error: error instanceof Error ? error.message : String(error) })
  }
}

/** Nobody answers on the control socket: there is no bed, or its supervisor has ended. */
export class NoBed extends Error {
  constructor(directory: string) {
    super(`no bed is running in ${directory}: start one with 'make up'`)
    this.name = 'NoBed'
  }
}

/**
 * Asks the bed in `directory`; it may take long.
 * @throws NoBed, or an Error with the bed's own message
 */
export function askBed(directory: string, path: string, body?: unknown): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath: socketPath(directory), path, method: 'POST', agent: false }, (response) => {
      response.toArray().then((chunks: Buffer[]) => {
        const answered = JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown
        if (response.statusCode === 200) resolve(answered)
        else reject(new Error((answered as { error: string }).error))
      }, reject)
    })
    call.once('error', (error: NodeJS.ErrnoException) =>
      reject(['ENOENT', 'ECONNREFUSED'].includes(error.code ?? '') ? new NoBed(directory) : error)
    )
    call.end(body === undefined ? '' : JSON.stringify(body))
  })
}
