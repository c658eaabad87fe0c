/** What the log says of a denied request: of whom, why, and nothing else of the object. Pure. */
import { cut, describeViolation } from '../shared/violation.ts'
import type { AdmissionRequest } from './admissionReview.ts'
import { objectName } from './admissionReview.ts'
import { decisionOf, reasonsOf } from './verdict.ts'
import type { Forbidden, Invalid } from './verdict.ts'

/** More than a person reads, less than a hostile object could ask us to write. */
const MAX_LOGGED = 20
/** Of a name, in characters; those of users may be longer. */
const LONGEST_NAME = 256
/** The sentence about sixteen groups of which none is permitted is shorter. */
const LONGEST_MESSAGE = 640

/**
 * The keys of the log line. Of the object it holds the name and those parts of our own annotations that are wrong, each
 * quoted and cut: annotations are read by everybody who may read pods, and other fields are never looked at.
 */
export function describeDenial(
  request: AdmissionRequest,
  verdict: Invalid | Forbidden
): Readonly<Record<string, unknown>> {
  const { kind, namespace, operation, resource, uid, username, dryRun } = request
  const messages =
    verdict.kind === 'invalid'
      ? verdict.violations.slice(0, MAX_LOGGED).map(describeViolation)
      : verdict.message.split('\n', 1)
  const object = { namespace, name: objectName(request) }
  const isPod = kind === 'Pod' || kind === 'Binding'
  return {
    ...(isPod ? { pod: object } : { object: { kind, ...object } }),
    operation,
    resource,
    user: cut(username, LONGEST_NAME),
    admissionUID: uid,
    dryRun,
    decision: decisionOf(verdict),
    reasons: reasonsOf(verdict),
    messages: messages.map((message) => cut(message, LONGEST_MESSAGE))
  }
}
