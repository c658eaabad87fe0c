/** What to add to a pod that carries annotations of ours. Pure. */
import { isOurs } from '../shared/annotation.ts'
import { CONDITION, FINALIZER, MANAGED_LABEL, MANAGED_VALUE, READINESS_GATE_KEY } from '../shared/names.ts'
import type { AdmissionRequest } from './admissionReview.ts'
import { readPod } from './pod.ts'
import type { Pod } from './pod.ts'
import { ALLOWED } from './verdict.ts'
import type { PatchOperation, Verdict } from './verdict.ts'

/**
 * Stamps finalizer and label, and at CREATE the readiness gate that was asked for: later no gate can be added. What is
 * there already is not added again. It judges and parses nothing: a malformed annotation is stamped and then refused by
 * validation, which sees the final object, and sees it only once the API server has limited its size. A finalizer of ours
 * that somebody brought along gets the label, without which the worker would be slow to find and release it.
 */
export function mutate(request: AdmissionRequest): Verdict {
  const { operation, resource } = request
  if (resource !== 'pods' || (operation !== 'CREATE' && operation !== 'UPDATE')) return ALLOWED
  const pod = readPod(request.object, operation === 'CREATE')
  // The API server refuses new finalizers on an object that is being deleted, and an ended pod holds no address.
  if (pod.mirror || !pod.living) return ALLOWED
  if (!Object.keys(pod.annotations).some(isOurs))
    return pod.finalizers.includes(FINALIZER) ? { ...ALLOWED, patch: addLabel(pod) } : ALLOWED
  const gate = operation === 'CREATE' && pod.annotations[READINESS_GATE_KEY] === 'true'
  return { ...ALLOWED, patch: [...addFinalizer(pod), ...addLabel(pod), ...(gate ? addGate(pod) : [])] }
}

function addFinalizer({ finalizers }: Pod): PatchOperation[] {
  return finalizers.includes(FINALIZER) ? [] : [append('/metadata/finalizers', finalizers.length, FINALIZER)]
}

function addLabel({ labels }: Pod): PatchOperation[] {
  if (labels[MANAGED_LABEL] === MANAGED_VALUE) return []
  if (Object.keys(labels).length === 0)
    return [{ op: 'add', path: '/metadata/labels', value: { [MANAGED_LABEL]: MANAGED_VALUE } }]
  return [{ op: 'add', path: `/metadata/labels/${escape(MANAGED_LABEL)}`, value: MANAGED_VALUE }]
}

function addGate({ readinessGates }: Pod): PatchOperation[] {
  if (readinessGates.includes(CONDITION)) return []
  return [append('/spec/readinessGates', readinessGates.length, { conditionType: CONDITION })]
}

/** `/-` needs a list to be there. */
function append(path: string, length: number, value: unknown): PatchOperation {
  return length === 0 ? { op: 'add', path, value: [value] } : { op: 'add', path: `${path}/-`, value }
}

/** RFC 6901; no name of ours has a `~`. */
const escape = (key: string): string => key.replaceAll('/', '~1')
