/** The decision: is what this request leaves behind well-formed, and whose permission does it need? Pure. */
import { changedKeys, ours, parseAnnotations, WHOLE_POD } from '../shared/annotation.ts'
import type { Annotations } from '../shared/annotation.ts'
import { FINALIZER, MANAGED_LABEL, MANAGED_VALUE, PREFIX } from '../shared/names.ts'
import { annotationField } from '../shared/violation.ts'
import type { Violation } from '../shared/violation.ts'
import type { AdmissionRequest } from './admissionReview.ts'
import { hasController, readPod, readTemplate, WORKLOADS } from './pod.ts'
import type { Pod, PodShape } from './pod.ts'
import { ALLOWED } from './verdict.ts'
import type { Verdict } from './verdict.ts'

/**
 * Judges the final object, and of it only the keys of ours that this request changes: what was bad before never blocks
 * an update, so that every pod can be edited, released and deleted.
 */
export function validate(request: AdmissionRequest): Verdict {
  if (request.operation !== 'CREATE' && request.operation !== 'UPDATE') return ALLOWED
  if (request.resource === 'pods') return validatePod(request)
  if (request.resource === 'pods/status') return refuseChange(request)
  if (request.kind === 'Binding') return refuseChange(request)
  if (WORKLOADS.has(request.kind)) return validateTemplate(request)
  return ALLOWED
}

function validatePod(request: AdmissionRequest): Verdict {
  const pod = readPod(request.object)
  if (pod.mirror) return ALLOWED
  const changed = changedKeys(before(request, readPod)?.annotations, pod.annotations)
  return judge(request, pod, changed, pod.living ? unstamped(pod) : [], 'deny')
}

/** Refused when malformed, but only warned about when not permitted: the Role may come with the next file. */
function validateTemplate(request: AdmissionRequest): Verdict {
  if (hasController(request.object)) return ALLOWED
  const read = (place: AdmissionRequest['object']) => readTemplate(request.kind, place)
  const template = read(request.object)
  return judge(request, template, changedKeys(before(request, read)?.annotations, template.annotations), [], 'warn')
}

/** Nobody needs these ways to our keys, a Binding names no service account to ask about, and neither is stamped. */
function refuseChange(request: AdmissionRequest): Verdict {
  const read = (place: AdmissionRequest['object']) => place.at('metadata').at('annotations').strings()
  const changed = changedKeys(before(request, read), read(request.object))
  if (changed.length === 0) return ALLOWED
  const fields = changed.map((key) => annotationField(key)).join(', ')
  const message = `${fields} must not be changed through ${request.resource}: annotate the pod itself`
  return { kind: 'forbidden', reason: 'subresource', warnings: [], message }
}

/** The object before an UPDATE. */
function before<T>(request: AdmissionRequest, read: (place: AdmissionRequest['object']) => T): T | undefined {
  return request.operation === 'UPDATE' && request.oldObject.value !== undefined ? read(request.oldObject) : undefined
}

function judge(
  request: AdmissionRequest,
  shape: PodShape,
  changed: readonly string[],
  unstamped: readonly Violation[],
  unpermitted: 'deny' | 'warn'
): Verdict {
  if (changed.length === 0) return ALLOWED
  const given = pick(shape.annotations, changed)
  const declared = parseAnnotations(given)
  const whole = parseAnnotations(shape.annotations)
  const adds = Object.keys(given).length > 0
  const violations = whole.violations
    .filter(({ key }) => changed.includes(key) || (key === WHOLE_POD && adds))
    .map((violation) => below(shape.base, violation))
  if (adds && shape.hostNetwork) violations.push(onHostNetwork(shape.base))
  if (Object.keys(ours(shape.annotations)).length > 0) violations.push(...unstamped)
  if (violations.length > 0) return { kind: 'invalid', violations, warnings: declared.warnings }
  const { namespace } = request
  const groups = new Set(declared.requests.map(({ groupId }) => groupId))
  const uses = [...groups].map((groupId) => ({ namespace, serviceAccount: shape.serviceAccount, groupId }))
  return { ...ALLOWED, warnings: declared.warnings, uses, unpermitted }
}

const pick = (annotations: Annotations, keys: readonly string[]): Annotations =>
  Object.fromEntries(keys.filter((key) => Object.hasOwn(annotations, key)).map((key) => [key, annotations[key] ?? '']))

/** The violation's path seen from the object that was applied. */
function below(base: string, violation: Violation): Violation {
  return base === '' ? violation : { ...violation, field: `${base}.${violation.field}` }
}

function onHostNetwork(base: string): Violation {
  const field = base === '' ? 'spec.hostNetwork' : `${base}.spec.hostNetwork`
  const message = `must not be true with annotations of '${PREFIX}': the pod's address is its node's, so the rules would open the groups to the whole node`
  return { key: field, field, value: 'true', message }
}

/** Only seen when another webhook ran after ours, or took away what ours had added. */
function unstamped(pod: Pod): Violation[] {
  const violations: Violation[] = []
  const add = (field: string, value: string, what: string): void => {
    const message = `pods with annotations of '${PREFIX}' must have ${what}, which kube-sg adds itself; does another webhook remove it or add the annotation later?`
    violations.push({ key: field, field, value, message })
  }
  if (!pod.finalizers.includes(FINALIZER))
    add('metadata.finalizers', pod.finalizers.join(','), `finalizer '${FINALIZER}'`)
  const label = pod.labels[MANAGED_LABEL]
  if (label !== MANAGED_VALUE)
    add(`metadata.labels[${MANAGED_LABEL}]`, label ?? '', `label '${MANAGED_LABEL}: "${MANAGED_VALUE}"'`)
  return violations
}
