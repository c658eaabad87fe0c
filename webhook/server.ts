/** The HTTPS side of the webhook: POST /mutate and /validate. */
import type { Server } from 'node:https'
import Fastify from 'fastify'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from '../shared/logger.ts'
import type { Permissions } from '../shared/permission.ts'
import { decode, encode } from './admissionReview.ts'
import type { AdmissionRequest } from './admissionReview.ts'
import { describeDenial } from './denial.ts'
import { MalformedReview } from './json.ts'
import type { WebhookMetrics } from './metrics.ts'
import { mutate } from './mutation.ts'
import { withPermission } from './permission.ts'
import type { PermissionMode } from './permission.ts'
import { validate } from './validation.ts'
import type { Verdict } from './verdict.ts'

export interface ServerOptions {
  readonly permissions: Permissions
  readonly mode: PermissionMode
  /** EC2's quota, for warnings. */
  readonly rulesPerGroup: number
  readonly metrics: WebhookMetrics
  readonly logger: Logger
}

type App = FastifyInstance<Server>

export interface WebhookServer {
  readonly app: App
  /** The TLS server, for its certificate; without one every handshake fails. */
  readonly tls: Server
  /** From now on each answer asks its client to come back over a new connection, which leads to another replica. */
  drain(): void
}

/**
 * What controller-runtime takes (pkg/webhook/admission/http.go): an object and its old self, and then some. Not enough
 * for a legal pod of which more than about a megabyte are `<`, `>` and `&`, each of which Go writes as six bytes: it gets
 * 413. Taking 36 MiB instead would let a few such bodies at once hold up and starve everybody's reviews.
 */
const BODY_LIMIT = 7 * 1024 * 1024

/** For our log: an API server that is still sending mostly sees a cut connection, and says only that. */
const TOO_LARGE =
  "the review is larger than 7 MiB: make the object smaller; each '<', '>' and '&' in it takes six bytes"

/** Longer than the 90 s after which the API server closes idle connections: the one who calls must be the one to close. */
const KEEP_ALIVE_MS = 120_000

/** The API server's own default; our configurations ask for 5 s, which it then says in the query. */
const PATIENCE_MS = 10_000

/** As nginx logs a client that did not wait. */
const CLIENT_GONE = 499

export const TLS_OPTIONS = { minVersion: 'TLSv1.2' } as const

/** Builds the server without listening. */
export function buildServer(options: ServerOptions): WebhookServer {
  const { logger, metrics } = options
  let draining = false
  const app = Fastify({
    https: {
      ...TLS_OPTIONS,
      // Node takes the shorter of the two for headers and the longer for the whole request: so both, and looked at often.
      headersTimeout: PATIENCE_MS,
      connectionsCheckingInterval: 2000
    },
    bodyLimit: BODY_LIMIT,
    keepAliveTimeout: KEEP_ALIVE_MS,
    requestTimeout: PATIENCE_MS,
    // Otherwise requests that arrive while we close are refused, and pods with them.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false
  })
  readJson(app)
  app.addHook('onSend', (_request, reply, payload, done) => {
    if (draining) reply.header('connection', 'close')
    done(null, payload)
  })
  measure(app, metrics)
  app.setErrorHandler((error, request, reply) => answerError(logger, error, request, reply))
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).type('text/plain').send('try POST /mutate or /validate\n')
  )

  route(app, options)
  return { app, tls: app.server, drain: () => (draining = true) }
}

/** A review's life: decode, decide, ask for permission, encode. Mutation asks nobody. */
function route(app: App, options: ServerOptions): void {
  app.post('/mutate', (request) => {
    const admission = decode(request.body)
    return conclude(options, admission, mutate(admission))
  })
  app.post('/validate', async (request) => {
    const admission = decode(request.body)
    const patience = AbortSignal.timeout(readTimeout(request.query))
    const verdict = await withPermission(validate(admission, options), options.permissions, options.mode, patience)
    return conclude(options, admission, verdict)
  })
}

/** Our own parser, as Fastify's answers 400 to any body with a key `__proto__`: JSON.parse makes it a plain own property. */
function readJson(app: App): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
    try {
      done(null, JSON.parse(body as string))
    } catch {
      done(new MalformedReview('body must be JSON'))
    }
  })
}

/** Every request of a route of ours counts once, also when its client goes away. */
function measure(app: App, metrics: WebhookMetrics): void {
  const finishes = new WeakMap<FastifyRequest, (code: number) => void>()
  const finish = (request: FastifyRequest, code: number): void => {
    finishes.get(request)?.(code)
    finishes.delete(request)
  }
  app.addHook('onRequest', (request, _reply, done) => {
    const path = request.routeOptions.url
    if (path !== undefined) finishes.set(request, metrics.start(path))
    done()
  })
  app.addHook('onResponse', (request, reply, done) => {
    finish(request, reply.statusCode)
    done()
  })
  app.addHook('onRequestAbort', (request, done) => {
    finish(request, CLIENT_GONE)
    done()
  })
}

function conclude({ logger, metrics }: ServerOptions, admission: AdmissionRequest, verdict: Verdict) {
  metrics.decided(admission.resource, verdict)
  const answer = encode(admission, verdict)
  if (verdict.kind !== 'allowed') logger.info(describeDenial(admission, verdict), 'request denied')
  return answer
}

/** Never an AdmissionReview: what we could not judge is the failurePolicy's to decide. */
function answerError(logger: Logger, error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { message: thrown, statusCode } = error as Error & { statusCode?: number }
  const message = statusCode === 413 ? TOO_LARGE : thrown
  const code = error instanceof MalformedReview ? 400 : (statusCode ?? 500)
  const log = { err: error, path: request.routeOptions.url, code }
  if (code >= 500) logger.error(log, 'request could not be judged')
  else logger.warn({ ...log, err: message }, 'request was not an AdmissionReview')
  return reply.code(code).type('text/plain; charset=utf-8').send(`kube-sg: ${message}\n`)
}

/** The API server says its own patience in the query, as Go prints durations; half a second of it is for the way back. */
export function readTimeout(query: unknown): number {
  const text = (query as Readonly<Record<string, unknown>> | undefined)?.timeout
  const match = typeof text === 'string' ? /^(?:(\d{1,3})m)?(\d{1,3})(?:\.\d+)?s$/.exec(text) : null
  if (match === null) return PATIENCE_MS - 500
  const milliseconds = (Number(match[1] ?? 0) * 60 + Number(match[2])) * 1000
  return Math.max(milliseconds - 500, 500)
}
