/** The AdmissionReview of admission.k8s.io/v1: decodes requests, encodes answers. Pure. */
import { causeOf, cut, describeValue, describeViolation } from '../shared/violation.ts'
import { auditAnnotations } from './audit.ts'
import { look, MalformedReview } from './json.ts'
import type { Place } from './json.ts'
import type { Allowed, Forbidden, Invalid, PatchOperation, Verdict } from './verdict.ts'

export interface AdmissionRequest {
  readonly uid: string
  /** Such as `Pod`. */
  readonly kind: string
  /** Such as `pods` or `pods/status`. */
  readonly resource: string
  readonly operation: string
  readonly namespace: string
  /** Empty when the API server makes it up from generateName. */
  readonly name: string
  readonly username: string
  readonly dryRun: boolean
  readonly object: Place
  readonly oldObject: Place
}

const API_VERSION = 'admission.k8s.io/v1'

/** Of any name in Kubernetes. The port is open to whoever can reach it, and an answer repeats some names dozens of times. */
const LONGEST_NAME = 253

/** @throws MalformedReview when the body is not an AdmissionReview request */
export function decode(body: unknown): AdmissionRequest {
  const review = look(body, '')
  if (review.text('apiVersion') !== API_VERSION || review.text('kind') !== 'AdmissionReview')
    throw new MalformedReview(`body must be an AdmissionReview of ${API_VERSION}`)
  const request = review.at('request')
  const subresource = request.text('subResource') ?? ''
  const resource = required(request.at('resource'), 'resource')
  expectName(subresource, 'request.subResource')
  return {
    uid: required(request, 'uid'),
    kind: required(request.at('kind'), 'kind'),
    resource: subresource === '' ? resource : `${resource}/${subresource}`,
    operation: required(request, 'operation'),
    namespace: request.text('namespace') ?? '',
    name: request.text('name') ?? '',
    username: request.at('userInfo').text('username') ?? '',
    dryRun: request.at('dryRun').boolean() ?? false,
    object: request.at('object'),
    oldObject: request.at('oldObject')
  }
}

function required(place: Place, key: string): string {
  const text = place.text(key) ?? ''
  if (text === '') throw new MalformedReview(`${place.at(key).path} must be set`)
  if (text.length > LONGEST_NAME) expectName(text, place.at(key).path)
  return text
}

/**
 * For what the API server makes up itself, or has validated before it asks. It asks a mutating webhook before it validates the
 * object: there names of the object may have any length, and the API server says better what is wrong with them.
 * @throws MalformedReview when it is longer than any name
 */
export function expectName(text: string, path: string): void {
  if (text.length > LONGEST_NAME)
    throw new MalformedReview(`${path} must be at most ${LONGEST_NAME} characters long, and has ${text.length}`)
}

/** The answer's parts that matter to the API server: see apiserver pkg/admission/plugin/webhook/request/admissionreview.go. */
export interface AdmissionReview {
  readonly apiVersion: string
  readonly kind: string
  readonly response: {
    readonly uid: string
    readonly allowed: boolean
    readonly patchType?: 'JSONPatch'
    readonly patch?: string
    readonly warnings?: readonly string[]
    readonly status?: Status
    readonly auditAnnotations: Readonly<Record<string, string>>
  }
}

interface Status {
  readonly code: number
  readonly status: 'Failure'
  readonly reason: string
  readonly message: string
  readonly details: {
    readonly kind: string
    readonly name: string
    readonly causes?: readonly { readonly reason: string; readonly field: string; readonly message: string }[]
  }
}

export function encode(request: AdmissionRequest, verdict: Verdict): AdmissionReview {
  const warnings = cutWarnings(verdict.warnings)
  const audit = { auditAnnotations: auditAnnotations(verdict) }
  const shared = { uid: request.uid, ...audit, ...(warnings.length === 0 ? {} : { warnings }) }
  const response = verdict.kind === 'allowed' ? encodeAllowed(verdict.patch) : encodeDenied(request, verdict)
  return { apiVersion: API_VERSION, kind: 'AdmissionReview', response: { ...shared, ...response } }
}

/** The text of {@link encode}. The answer that nearly all reviews get has little in it, and is put together by hand. */
export function print(request: AdmissionRequest, verdict: Verdict): string {
  if (verdict.kind !== 'allowed' || verdict.warnings.length > 0) return JSON.stringify(encode(request, verdict))
  return `{"apiVersion":"${API_VERSION}","kind":"AdmissionReview","response":{"uid":${JSON.stringify(request.uid)}${printAllowed(verdict)}`
}

/** Of verdicts, what follows the uid: most reviews share theirs with others. */
const printed = new WeakMap<Allowed, string>()

function printAllowed(verdict: Allowed): string {
  const known = printed.get(verdict)
  if (known !== undefined) return known
  const audit = JSON.stringify(auditAnnotations(verdict))
  const patch = verdict.patch.length === 0 ? '' : `,"patchType":"JSONPatch","patch":"${printPatch(verdict.patch)}"`
  const text = `,"auditAnnotations":${audit},"allowed":true${patch}}}`
  printed.set(verdict, text)
  return text
}

/** An empty patch must go without its type. */
function encodeAllowed(patch: readonly PatchOperation[]) {
  if (patch.length === 0) return { allowed: true }
  return { allowed: true, patchType: 'JSONPatch' as const, patch: printPatch(patch) }
}

const printPatch = (patch: readonly PatchOperation[]): string => Buffer.from(JSON.stringify(patch)).toString('base64')

function encodeDenied(request: AdmissionRequest, verdict: Invalid | Forbidden): { allowed: boolean; status: Status } {
  const name = objectName(request)
  const details = { kind: request.kind, name }
  if (verdict.kind === 'forbidden') {
    const { message } = verdict
    return { allowed: false, status: { code: 403, status: 'Failure', reason: 'Forbidden', message, details } }
  }
  const shown = verdict.violations.slice(0, MAX_SHOWN)
  const more = verdict.violations.length - shown.length
  const lines = [...shown.map(describeViolation), ...(more > 0 ? [`and ${more} more`] : [])]
  const causes = shown.map((violation) => ({
    reason: causeOf(violation),
    field: violation.field,
    message: describeValue(violation)
  }))
  // The message alone must tell all: a ReplicaSet's Event shows nothing else.
  const message = `${request.kind} "${name}" is invalid:${lines.length === 1 ? ` ${lines[0] ?? ''}` : lines.map((line) => `\n* ${line}`).join('')}`
  const status = { code: 422, status: 'Failure' as const, reason: 'Invalid', message, details: { ...details, causes } }
  return { allowed: false, status }
}

/** More than a person reads, less than a hostile object could ask us to write. */
const MAX_SHOWN = 100

const NOTHING = look(undefined, '')

/** All that an answer needs: many requests may wait for their permissions, and objects are large. */
export function withoutObjects(request: AdmissionRequest): AdmissionRequest {
  return { ...request, name: objectName(request), object: NOTHING, oldObject: NOTHING }
}

/** The object's name, or the beginning of it that the API server will complete; cut when it is longer than any name. */
export function objectName(request: AdmissionRequest): string {
  if (request.name !== '') return cut(request.name, LONGEST_NAME)
  const metadata = request.object.at('metadata')
  return cut(metadata.text('name') ?? metadata.text('generateName') ?? '', LONGEST_NAME)
}

/** The API server cuts single warnings at 256 characters and drops all when together they pass 4096. */
function cutWarnings(warnings: readonly string[]): string[] {
  const shown = [...new Set(warnings)].map((text) => (text.length > 250 ? cut(text, 247) : text))
  if (shown.length <= 15) return shown
  return [...shown.slice(0, 15), `and ${shown.length - 15} warnings more`]
}
