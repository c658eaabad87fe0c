/** The decision: is what this request leaves behind well-formed, and whose permission does it need? Pure. */
import { changedKeys, ourKeys, parseAnnotations } from '../shared/annotation.ts'
import { readKey } from '../shared/annotationKey.ts'
import { CONDITION, FINALIZER, MANAGED_LABEL, MANAGED_VALUE, PREFIX, READINESS_GATE_KEY } from '../shared/names.ts'
import { annotationField } from '../shared/violation.ts'
import type { Violation } from '../shared/violation.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { expectName } from './admissionReview.ts'
import type { AdmissionRequest } from './admissionReview.ts'
import { countPods, hasController, readPod, readTemplate, WORKLOADS } from './pod.ts'
import type { Pod, PodShape } from './pod.ts'
import { warnOfShare } from './quotaShare.ts'
import type { Recall } from './remembered.ts'
import { ALLOWED } from './verdict.ts'
import type { Need, Verdict } from './verdict.ts'

export interface ValidationOptions {
  /** EC2's quota: how many rules of one address family a group holds. */
  readonly rulesPerGroup: number
  /** Gives verdicts on new pods from memory; each is judged when absent. */
  readonly recall?: Recall
}

/**
 * Judges the final object, and of it only the keys of ours that this request changes: what was bad before never blocks
 * an update, so that every pod can be edited, released and deleted.
 * @throws MalformedReview when a field that we read has the wrong type, or a name is longer than any is
 */
export function validate(request: AdmissionRequest, options: ValidationOptions): Verdict {
  if (request.operation !== 'CREATE' && request.operation !== 'UPDATE') return ALLOWED
  expectName(request.namespace, 'request.namespace')
  expectName(request.name, 'request.name')
  if (request.resource === 'pods') return validatePod(request, options)
  if (request.resource === 'pods/status') return refuseChange(request)
  if (request.kind === 'Binding') return refuseChange(request)
  if (WORKLOADS.has(request.kind)) return validateTemplate(request, options)
  return ALLOWED
}

function validatePod(request: AdmissionRequest, options: ValidationOptions): Verdict {
  const pod = readPod(request.object, request.operation === 'CREATE')
  if (pod.mirror) return ALLOWED
  const old = before(request, (place) => readPod(place, false))
  const changed = changedKeys(old?.annotations, pod.annotations)
  const stamp = pod.living ? unstamped(pod) : NONE
  if (changed.length === 0) return ALLOWED
  const judgePod = (): Verdict =>
    judge(request, pod, { changed, isNew: old === undefined, unstamped: stamp, unpermitted: 'deny', pods: 1 }, options)
  if (old === undefined) {
    const { annotations, hostNetwork, serviceAccount } = pod
    if (options.recall === undefined || hostNetwork || stamp.length > 0) return judgePod()
    return options.recall({ namespace: request.namespace, serviceAccount, keys: changed, annotations }, judgePod)
  }
  const verdict = judgePod()
  const tooLate = asksForGate(pod) && !asksForGate(old) && !pod.readinessGates.includes(CONDITION)
  return tooLate ? { ...verdict, warnings: [...verdict.warnings, GATE_TOO_LATE] } : verdict
}

const asksForGate = ({ annotations }: PodShape): boolean => annotations[READINESS_GATE_KEY] === 'true'

const GATE_TOO_LATE = `${annotationField(READINESS_GATE_KEY)}: takes effect only on pods that are created with it`

/** Refused when malformed, but only warned about when not permitted: the Role may come with the next file. */
function validateTemplate(request: AdmissionRequest, options: ValidationOptions): Verdict {
  if (hasController(request.object)) return ALLOWED
  const read = (place: AdmissionRequest['object']) => readTemplate(request.kind, place)
  const [template, old] = [read(request.object), before(request, read)]
  const changed = changedInTemplate(old, template)
  const pods = countPods(request.kind, request.object)
  const more = old !== undefined && changed.length === 0 && pods > countPods(request.kind, request.oldObject)
  const verdict = more
    ? {
        ...ALLOWED,
        warnings: warnOfShare(parseAnnotations(template.annotations).requests, options.rulesPerGroup, pods)
      }
    : judge(request, template, { changed, isNew: old === undefined, unstamped: [], unpermitted: 'warn', pods }, options)
  const own = ourKeys(request.object.at('metadata').at('annotations').strings())
  const misplaced = own.filter((key) => !Object.hasOwn(template.annotations, key))
  if (misplaced.length === 0) return verdict
  return { ...verdict, warnings: [warnOfMisplaced(misplaced, template.base), ...verdict.warnings] }
}

/** Pods may be refused for the same annotations when they come to the node's network, or run as somebody else. */
function changedInTemplate(old: PodShape | undefined, template: PodShape): readonly string[] {
  const elsewhere =
    old !== undefined && ((template.hostNetwork && !old.hostNetwork) || template.serviceAccount !== old.serviceAccount)
  return changedKeys(elsewhere ? {} : old?.annotations, template.annotations)
}

function warnOfMisplaced(keys: readonly string[], base: string): string {
  const [first = '', ...more] = keys
  const which = more.length === 0 ? ': has' : ` and ${more.length} more: have`
  return `${annotationField(first)}${which} no effect here: kube-sg reads what is on the pods; write it below ${base}.metadata.annotations`
}

/** More keys than a legal pod has groups; a Binding may carry megabytes of them. */
const MAX_NAMED = 16

/** Nobody needs these ways to our keys, a Binding names no service account to ask about, and neither is stamped. */
function refuseChange(request: AdmissionRequest): Verdict {
  const read = (place: AdmissionRequest['object']) => place.at('metadata').at('annotations').strings()
  const changed = changedKeys(before(request, read), read(request.object))
  if (changed.length === 0) return ALLOWED
  const shown = changed.slice(0, MAX_NAMED).map((key) => annotationField(key))
  const more = changed.length - shown.length
  const fields = `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
  const message = `${fields} must not be changed through ${request.resource}: annotate the pod itself`
  return { kind: 'forbidden', reason: 'subresource', warnings: [], message }
}

/** The object before an UPDATE. */
function before<T>(request: AdmissionRequest, read: (place: AdmissionRequest['object']) => T): T | undefined {
  return request.operation === 'UPDATE' && request.oldObject.value !== undefined ? read(request.oldObject) : undefined
}

interface Circumstances {
  readonly changed: readonly string[]
  /** There was no object before, so that all is changed. */
  readonly isNew: boolean
  readonly unstamped: readonly Violation[]
  readonly unpermitted: 'deny' | 'warn'
  /** How many such pods there will be. */
  readonly pods: number
}

function judge(
  request: AdmissionRequest,
  shape: PodShape,
  about: Circumstances,
  { rulesPerGroup }: ValidationOptions
): Verdict {
  const { changed, isNew, unpermitted } = about
  if (changed.length === 0) return ALLOWED
  expectName(shape.serviceAccount, 'serviceAccountName')
  const declared = parseAnnotations(shape.annotations, isNew ? undefined : new Set(changed))
  const added = isNew ? changed : changed.filter((key) => Object.hasOwn(shape.annotations, key))
  const violations = declared.violations.map((violation) => below(shape.base, violation))
  if (added.includes(READINESS_GATE_KEY) && waitsForNothing(shape)) violations.push(gateOfNothing(shape.base))
  if (shape.hostNetwork) violations.push(onHostNetwork(shape.base))
  violations.push(...about.unstamped)
  // Taking away is always allowed: what remains was there before, and mutation is not called to stamp it.
  const uses = declared.groups.map((groupId) => need(request.namespace, shape, changed, groupId))
  const warnings = [...declared.warnings, ...warnOfShare(declared.requests, rulesPerGroup, about.pods)]
  if (added.length > 0 && violations.length > 0) return { kind: 'invalid', violations, warnings, uses, unpermitted }
  return { ...ALLOWED, warnings, uses, unpermitted, rules: declared.requests.length }
}

/** The group is asked for under its own key, or else under one of the old spelling. */
function need(namespace: string, shape: PodShape, changed: readonly string[], groupId: SecurityGroupId): Need {
  const own = `${PREFIX}${groupId}`
  const key = changed.includes(own) ? own : (changed.find((candidate) => readKey(candidate).kind === 'legacy') ?? own)
  const field = annotationField(key, shape.base === '' ? 'metadata' : `${shape.base}.metadata`)
  return { namespace, serviceAccount: shape.serviceAccount, groupId, field }
}

/** A pod that has no rules never has them in effect. */
function waitsForNothing(shape: PodShape): boolean {
  return asksForGate(shape) && ourKeys(shape.annotations).every((key) => key === READINESS_GATE_KEY)
}

function gateOfNothing(base: string): Violation {
  const message = `readiness-gate needs the annotation of a security group beside it, such as '${PREFIX}sg-0123abcd: tcp:443': without rules to wait for, the pod would never become ready`
  const field = annotationField(READINESS_GATE_KEY)
  return below(base, { reason: 'GateWithoutRules', key: READINESS_GATE_KEY, field, value: 'true', message })
}

/** The violation's path seen from the object that was applied. */
function below(base: string, violation: Violation): Violation {
  return base === '' ? violation : { ...violation, field: `${base}.${violation.field}` }
}

function onHostNetwork(base: string): Violation {
  const field = base === '' ? 'spec.hostNetwork' : `${base}.spec.hostNetwork`
  const message = `must not be true with annotations of '${PREFIX}': the pod's address is its node's, so the rules would open the groups to the whole node`
  return { reason: 'HostNetwork', key: field, field, value: 'true', message }
}

const NONE: readonly Violation[] = []

/** Only seen when another webhook ran after ours, or took away what ours had added. */
function unstamped(pod: Pod): readonly Violation[] {
  if (pod.labels[MANAGED_LABEL] === MANAGED_VALUE && pod.finalizers.includes(FINALIZER)) return NONE
  const violations: Violation[] = []
  const add = (field: string, value: string, what: string): void => {
    const message = `pods with annotations of '${PREFIX}' must have ${what}, which kube-sg adds itself; does another webhook remove it or add the annotation later?`
    violations.push({ reason: 'NotStamped', key: field, field, value, message })
  }
  if (!pod.finalizers.includes(FINALIZER))
    add('metadata.finalizers', pod.finalizers.join(','), `finalizer '${FINALIZER}'`)
  const label = pod.labels[MANAGED_LABEL]
  if (label !== MANAGED_VALUE)
    add(`metadata.labels[${MANAGED_LABEL}]`, label ?? '', `label '${MANAGED_LABEL}: "${MANAGED_VALUE}"'`)
  return violations
}
