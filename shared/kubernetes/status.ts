/** What an answer of the API server means. A refusal it explains is a value to ask about; silence is a {@link NoAnswer}. */
import { ApiException } from '@kubernetes/client-node'

/** The parts of Kubernetes' `Status` that kube-sg reads (k8s.io/apimachinery pkg/apis/meta/v1/types.go). */
export interface Status {
  readonly reason?: string
  readonly message?: string
  readonly details?: {
    readonly causes?: readonly { readonly reason?: string; readonly field?: string; readonly message?: string }[]
    readonly retryAfterSeconds?: number
  }
}

/** Which call it was: path without query, as continue tokens are long and say nothing to a reader. */
export interface CallName {
  readonly method: string
  readonly path: string
}

/**
 * The API server answered with something else than 2xx. An ApiException still, for code that knows only the client
 * library; its message is one line, and body and headers stay out of logs.
 */
export class ApiError extends ApiException<string> {
  /** The machine-readable reason, such as `NotFound`; empty when the body was no Status (a proxy's answer). */
  readonly reason: string
  readonly status: Status

  constructor(call: CallName, code: number, body: string, headers: Record<string, string>) {
    super(code, '', body, headers)
    this.name = 'ApiError'
    this.status = parseStatus(body)
    this.reason = this.status.reason ?? ''
    const explained = this.status.message ?? body.slice(0, 200).trim()
    this.message = `${call.method} ${call.path}: ${[String(code), this.reason].join(' ').trim()}: ${explained}`
    for (const hidden of ['body', 'headers', 'status'] as const)
      Object.defineProperty(this, hidden, { value: this[hidden], enumerable: false })
  }
}

/**
 * The call failed before an answer was complete: it may have had its effect or not. What broke is in the message; it is
 * no `cause` besides, as pino would write it twice.
 */
export class NoAnswer extends Error {
  constructor(call: CallName & { readonly host: string }, cause: unknown) {
    super(`${call.method} ${call.path}: no answer of ${call.host}: ${describeCause(cause)}`)
    this.name = 'NoAnswer'
  }
}

/** A body that is no Status is an empty one: proxies and balancers answer in HTML. */
export function parseStatus(body: string): Status {
  try {
    const value: unknown = JSON.parse(body)
    if (typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'Status')
      return value as Status
  } catch {
    // Not JSON, so not a Status: the code alone speaks.
  }
  return {}
}

const hasCode =
  (code: number) =>
  (error: unknown): error is ApiError =>
    error instanceof ApiError && error.code === code

/** No such object, or no such namespace: the API server's own word, for a proxy's 404 proves nothing. */
export const isNotFound = (error: unknown): error is ApiError => hasCode(404)(error) && error.reason === 'NotFound'

/** Somebody wrote first: read again. Not an object that exists already, though its code is 409 too. */
export const isConflict = (error: unknown): error is ApiError => hasCode(409)(error) && error.reason !== 'AlreadyExists'

export const isAlreadyExists = (error: unknown): error is ApiError =>
  hasCode(409)(error) && error.reason === 'AlreadyExists'

/** The resourceVersion or continue token is too old: list anew. Reasons `Expired` and, of old servers, `Gone`. */
export const isExpired = hasCode(410)

export const isForbidden = hasCode(403)
export const isUnauthorized = hasCode(401)
export const isTooManyRequests = hasCode(429)
export const isInvalid = hasCode(422)

/**
 * The patch named another uid than the object under that name now has, so the object meant is gone. The API server
 * answers 422 `metadata.uid: field is immutable` to a merge patch, and 409 to a precondition.
 */
export function isUidMismatch(error: unknown): error is ApiError {
  if (isInvalid(error)) return (error.status.details?.causes ?? []).some((cause) => cause.field === 'metadata.uid')
  return isConflict(error) && /UID in (the )?precondition/.test(error.status.message ?? '')
}

/** Nothing may be created in a namespace that is being deleted (plugin/pkg/admission/namespace/lifecycle). */
export function isNamespaceTerminating(error: unknown): error is ApiError {
  return (
    isForbidden(error) && (error.status.details?.causes ?? []).some((cause) => cause.reason === 'NamespaceTerminating')
  )
}

/** The API server, or a balancer before it, asks to come later. */
export const isOverloaded = (error: unknown): error is ApiError =>
  error instanceof ApiError && [429, 502, 503].includes(error.code)

/** The server's trouble or no answer at all: the same call may pass later. */
export function isTransient(error: unknown): boolean {
  if (error instanceof NoAnswer) return true
  return error instanceof ApiError && (error.code === 429 || error.code >= 500)
}

/** A connect to several addresses fails with an AggregateError whose own message is empty. */
function describeCause(cause: unknown): string {
  if (cause instanceof AggregateError && cause.message === '') return cause.errors.map(describeCause).join('; ')
  return cause instanceof Error ? cause.message : String(cause)
}
