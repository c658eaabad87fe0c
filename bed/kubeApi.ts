/** The little of the Kubernetes API that the bed itself calls, as the administrator or with another token. */
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'

export interface KubeObject {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata?: {
    readonly name?: string
    readonly namespace?: string
    readonly uid?: string
    readonly resourceVersion?: string
    readonly deletionTimestamp?: string
    readonly annotations?: Readonly<Record<string, string>>
    readonly labels?: Readonly<Record<string, string>>
    readonly finalizers?: readonly string[]
  }
  readonly [field: string]: unknown
}

/** An answer of the API server that is not a success. */
export class KubeError extends Error {
  readonly status: number
  readonly reason: string
  constructor(method: string, path: string, status: number, body: string) {
    const { message, reason } = statusOf(body)
    super(`${method} ${path} answered ${status}: ${message}`)
    this.name = 'KubeError'
    this.status = status
    this.reason = reason
  }
}

export interface KubeApi {
  /** @throws KubeError on any answer but a success */
  call(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown): Promise<KubeObject>
  /** Merge patch. */
  patch(path: string, body: unknown): Promise<KubeObject>
  /** Whether the path answers 200; false also when nothing listens. */
  answers(path: string): Promise<boolean>
  close(): Promise<void>
}

/** @param ca PEM text of the certificates to trust */
export function connectKubeApi(server: string, ca: string, token: string): KubeApi {
  const dispatcher = new Agent({ connect: { ca, timeout: 3000 }, headersTimeout: 40_000, bodyTimeout: 40_000 })
  async function send(method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH', path: string, type: string, body?: unknown) {
    const answer = await request(server + path, {
      method,
      dispatcher,
      headers: { authorization: `Bearer ${token}`, accept: 'application/json', 'content-type': type },
      ...(body === undefined ? {} : { body: JSON.stringify(body) })
    })
    const text = await answer.body.text()
    if (answer.statusCode >= 300) throw new KubeError(method, path, answer.statusCode, text)
    return text
  }
  return {
    call: async (method, path, body) => JSON.parse(await send(method, path, 'application/json', body)) as KubeObject,
    patch: async (path, body) =>
      JSON.parse(await send('PATCH', path, 'application/merge-patch+json', body)) as KubeObject,
    answers: (path) =>
      send('GET', path, 'application/json').then(
        () => true,
        () => false
      ),
    close: () => dispatcher.destroy()
  }
}

function statusOf(body: string): { message: string; reason: string } {
  try {
    const status = JSON.parse(body) as { message?: string; reason?: string }
    return { message: status.message ?? body.slice(0, 500), reason: status.reason ?? '' }
  } catch {
    return { message: body.slice(0, 500), reason: '' }
  }
}

/** Whether an HTTP server answers the URL with 200 within a second. */
export async function answersOk(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(1000) })
    await answer.arrayBuffer()
    return answer.status === 200
  } catch {
    return false
  }
}

/**
 * Asks until the answer is not undefined.
 * @param what said in the error, as in "waited 30 s for <what>"
 * @throws Error after `within` milliseconds, with the last error of `ask` as its cause
 */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined> | T | undefined,
  { within = 30_000, every = 50, signal }: { within?: number; every?: number; signal?: AbortSignal } = {}
): Promise<T> {
  const deadline = Date.now() + within
  let cause: unknown
  for (;;) {
    signal?.throwIfAborted()
    try {
      const found = await ask()
      if (found !== undefined) return found
      cause = undefined
    } catch (error) {
      cause = error
    }
    if (Date.now() > deadline) {
      const why = cause instanceof Error ? `: ${cause.message}` : ''
      throw new Error(`waited ${within / 1000} s for ${what} in vain${why}`, { cause })
    }
    await sleep(every)
  }
}
