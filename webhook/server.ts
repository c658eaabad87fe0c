/** The HTTPS side of the webhook: POST /mutate and /validate. */
import { constants } from 'node:crypto'
import type { RequestListener, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { Server } from 'node:https'
import Fastify from 'fastify'
import type { FastifyInstance } from 'fastify'
import type { Logger } from '../shared/logger.ts'
import { createBodyReader } from './body.ts'
import { answerReviews, PATIENCE_MS } from './exchange.ts'
import type { Answering, ReviewOptions } from './exchange.ts'
import { mutate } from './mutation.ts'
import { boundPipelines } from './pipeline.ts'
import { rememberVerdicts } from './remembered.ts'
import { validate } from './validation.ts'
import { boundWaiting } from './waiting.ts'

export interface ServerOptions extends ReviewOptions {
  /** EC2's quota, for warnings. */
  readonly rulesPerGroup: number
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
 * One body: what controller-runtime takes (pkg/webhook/admission/http.go), an object and its old self, and then some. Not
 * enough for a legal pod of which more than about a megabyte are `<`, `>` and `&`, each of which Go writes as six bytes: it is
 * refused, and told why. Taking the 27 MiB that an API server could send would let a few such bodies at once hold up and
 * starve everybody's reviews.
 */
const BODIES = { most: 7 * 2 ** 20, small: 64 * 2 ** 10, together: 64 * 2 ** 20 }

/**
 * Three API servers with nothing in flight but creations of pods (400 and 200 each) have 1,800 reviews here. Each takes 8 KiB
 * of the heap while it waits, and 55 when its pod names 16 groups that nobody else asked about.
 */
const WAITING = { most: 2000, together: 32 * 2 ** 20 }

/** Longer than the 90 s after which the API server closes idle connections: the one who calls must be the one to close. */
const KEEP_ALIVE_MS = 120_000

/** No API server asks for renegotiation, which costs the server more than the client. */
export const TLS_OPTIONS = { minVersion: 'TLSv1.2', secureOptions: constants.SSL_OP_NO_RENEGOTIATION } as const

const HTTPS_OPTIONS = {
  ...TLS_OPTIONS,
  handshakeTimeout: PATIENCE_MS,
  keepAliveTimeout: KEEP_ALIVE_MS,
  requestTimeout: PATIENCE_MS,
  // Node takes the shorter of the two for headers and the longer for the whole request: so both, and looked at often.
  headersTimeout: PATIENCE_MS,
  connectionsCheckingInterval: 2000,
  // Node would answer requests without it by itself, however many come before their turn.
  requireHostHeader: false
}

/** As many as reviews may wait, as an API server calls over as many as it has reviews. So many that are idle take 110 MB. */
const MOST_CONNECTIONS = 2000

const NO_QUERY = {}

/** Builds the server without listening. */
export function buildServer(options: ServerOptions): WebhookServer {
  const app = Fastify({
    serverFactory: (answer) => createConnections(answer, options.logger),
    // Otherwise requests that arrive while we close are refused, and pods with them.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    exposeHeadRoutes: false,
    // Nobody reads either, and each review would pay for them.
    genReqId: () => '',
    routerOptions: { querystringParser: () => NO_QUERY }
  })
  let draining = false
  const [bodies, waiting] = [createBodyReader(BODIES), boundWaiting(WAITING)]
  const context = { ...options, bodies, waiting, closing: () => draining || !app.server.listening }
  app.setNotFoundHandler((_request, reply) =>
    reply.code(404).type('text/plain').send('try POST /mutate or /validate\n')
  )
  route(app, '/mutate', answerReviews(context, '/mutate', mutate))
  const validation = { rulesPerGroup: options.rulesPerGroup, recall: rememberVerdicts() }
  route(
    app,
    '/validate',
    answerReviews(context, '/validate', (admission) => validate(admission, validation))
  )
  return { app, tls: app.server, drain: () => (draining = true) }
}

/** The TLS server beneath Fastify, which bounds what connections may hold. */
function createConnections(answer: RequestListener, logger: Logger): Server {
  const bound = boundPipelines()
  const refuse = (outgoing: ServerResponse, code: number) => outgoing.writeHead(code, { connection: 'close' }).end()
  const server = createServer(
    HTTPS_OPTIONS,
    bound((incoming, outgoing) => {
      if (incoming.headers.host !== undefined || incoming.httpVersion === '1.0') answer(incoming, outgoing)
      else refuse(outgoing, 400)
    })
  )
  server.on(
    'checkExpectation',
    bound((_incoming, outgoing) => refuse(outgoing, 417))
  )
  server.maxConnections = MOST_CONNECTIONS
  // Before that an error means that there is no server. After it, without a listener, it would end the process.
  server.once('listening', () => server.on('error', (err) => logger.error({ err }, 'connection could not be accepted')))
  return server
}

/**
 * Fastify finds the route; body and answer go past it. Its own reading and answering cost as much as all that a review may
 * cost beside a bare server's work (docs/benchmarks.md), and its JSON parser answers 400 to any body with a key `__proto__`.
 */
function route(app: App, path: string, answerReview: Answering): void {
  app.route({
    method: 'POST',
    url: path,
    onRequest(request, reply) {
      reply.hijack()
      answerReview(request.raw, reply.raw)
    },
    handler: (_request, reply) => reply
  })
}
