/** One review from its request to its answer: read, decode, decide, ask for permission, encode. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Logger } from '../shared/logger.ts'
import type { Permissions } from '../shared/permission.ts'
import { decode, print, withoutObjects } from './admissionReview.ts'
import type { AdmissionRequest } from './admissionReview.ts'
import type { BodyReader, Refusal } from './body.ts'
import { describeDenial } from './denial.ts'
import { MalformedReview, readJson } from './json.ts'
import type { WebhookMetrics } from './metrics.ts'
import { stands, withPermission } from './permission.ts'
import type { PermissionMode } from './permission.ts'
import type { Verdict } from './verdict.ts'
import type { Waiting } from './waiting.ts'

export interface ReviewOptions {
  readonly permissions: Permissions
  readonly mode: PermissionMode
  readonly metrics: WebhookMetrics
  readonly logger: Logger
}

export interface ReviewContext extends ReviewOptions {
  readonly bodies: BodyReader
  readonly waiting: Waiting
  /** Whether connections should end with the answer under way. */
  readonly closing: () => boolean
}

/** Answers one request, whatever is in it. */
export type Answering = (incoming: IncomingMessage, outgoing: ServerResponse) => void

/** The API server's own default; our configurations ask for 5 s, which it then says in the query. */
export const PATIENCE_MS = 10_000

/** No configuration may ask for more (apiextensions validation of timeoutSeconds). */
const MOST_PATIENCE_MS = 30_000

/** As nginx logs a client that did not wait. */
const CLIENT_GONE = 499

/** Mutation needs no permission, so its verdicts ask for none. */
export function answerReviews(
  context: ReviewContext,
  path: string,
  decide: (admission: AdmissionRequest) => Verdict
): Answering {
  const { bodies, logger, mode, permissions, waiting } = context
  const meter = context.metrics.meter(path)

  return (incoming, outgoing) => {
    const startedAt = meter.start()
    const succeed = (admission: AdmissionRequest, verdict: Verdict): void => {
      const text = conclude(context, admission, verdict)
      meter.end(startedAt, send(outgoing, context, 200, JSON_TYPE, text))
    }
    const fail = (error: unknown): void => {
      const { code, message } = describeError(error)
      if (code >= 500) logger.error({ err: error, path, code }, 'request could not be judged')
      else logger.warn({ err: message, path, code }, 'request was not an AdmissionReview')
      meter.end(startedAt, send(outgoing, context, code, TEXT_TYPE, `kube-sg: ${message}\n`))
    }
    const refuse = (refusal: Refusal): void => {
      logger.warn({ err: refusal.message, path, code: refusal.code }, 'request was refused')
      sendRefusal(incoming, outgoing, refusal)
      meter.end(startedAt, refusal.code)
    }
    const onBody = (text: string): void => {
      try {
        expectJson(incoming)
        const admission = decode(readJson(text))
        const verdict = decide(admission)
        if (stands(verdict, permissions, mode)) return succeed(admission, verdict)
        const [kept, { length }] = [withoutObjects(admission), text]
        if (!waiting.enter(length)) return refuse(TOO_MANY_WAIT)
        withPermission(verdict, permissions, mode, AbortSignal.timeout(readTimeout(incoming.url ?? '')))
          .finally(() => waiting.leave(length))
          .then((final) => succeed(kept, final))
          .catch(fail)
      } catch (error) {
        fail(error)
      }
    }
    bodies.read(incoming, onBody, refuse, () => meter.end(startedAt, CLIENT_GONE))
  }
}

const TOO_MANY_WAIT: Refusal = {
  code: 429,
  reason: 'TooManyRequests',
  message: 'too many reviews wait for an answer about permission: try again'
}

/** Somebody sent what no API server sends. */
class WrongContentType extends Error {}

/** @throws WrongContentType */
function expectJson(incoming: IncomingMessage): void {
  const type = incoming.headers['content-type'] ?? ''
  if (type !== 'application/json' && !/^application\/json\s*(?:;|$)/i.test(type))
    throw new WrongContentType("content type must be 'application/json'")
}

/** Counts and logs a verdict, and puts it into words. */
function conclude({ logger, metrics }: ReviewOptions, admission: AdmissionRequest, verdict: Verdict): string {
  metrics.decided(admission.resource, verdict)
  const answer = print(admission, verdict)
  if (verdict.kind !== 'allowed') logger.info(describeDenial(admission, verdict), 'request denied')
  return answer
}

/** Never an AdmissionReview: what we could not judge is the failurePolicy's to decide. */
function describeError(error: unknown): { code: number; message: string } {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof MalformedReview) return { code: 400, message }
  return { code: error instanceof WrongContentType ? 415 : 500, message }
}

const JSON_TYPE = 'application/json; charset=utf-8'
const TEXT_TYPE = 'text/plain; charset=utf-8'

/** Returns the code, or another when nobody is there to read it. */
function send(outgoing: ServerResponse, context: ReviewContext, code: number, type: string, text: string): number {
  if (outgoing.destroyed) return CLIENT_GONE
  const length = Buffer.byteLength(text)
  // After an answer that fills the socket's buffer Node pauses its parser, and cuts who then sends the next review.
  const last = context.closing() || !outgoing.shouldKeepAlive || length >= outgoing.writableHighWaterMark
  const connection = last ? 'close' : 'keep-alive'
  outgoing.writeHead(code, ['content-type', type, 'content-length', String(length), 'connection', connection])
  // The same bytes when every character is one byte; writing them so is cheaper.
  outgoing.end(text, length === text.length ? 'latin1' : 'utf8')
  return code
}

/**
 * A Status of the API, whose message an API server shows to its user; of text it shows nothing unless the code is 500 or more
 * (client-go rest/request.go). The answer ends only with the request: a client that still sends would be cut.
 */
function sendRefusal(incoming: IncomingMessage, outgoing: ServerResponse, { code, message, reason }: Refusal): void {
  const status = {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `kube-sg: ${message}`,
    reason,
    code
  }
  const text = JSON.stringify(status)
  const again = code === 429 ? { 'retry-after': '1' } : {}
  outgoing.writeHead(code, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    connection: 'close',
    ...again
  })
  if (incoming.readableEnded) return void outgoing.end(text)
  outgoing.write(text)
  incoming.on('close', () => outgoing.end())
}

/**
 * The API server says its own patience in the query, as Go prints durations; half a second of it is for the way back. Who
 * says more than an API server can is not believed.
 * @returns milliseconds
 */
export function readTimeout(url: string): number {
  const match = /[?&]timeout=(?:(\d{1,3})m)?(\d{1,3})(?:\.\d+)?s(?:&|$)/.exec(url)
  if (match === null) return PATIENCE_MS - 500
  const milliseconds = (Number(match[1] ?? 0) * 60 + Number(match[2])) * 1000
  return Math.max(Math.min(milliseconds, MOST_PATIENCE_MS) - 500, 500)
}
