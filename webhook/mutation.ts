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
    return pod.finalizers.includes(FINALIZER) ? adding('there', stateOfLabel(pod), 'there') : ALLOWED
  const gate = operation === 'CREATE' && pod.annotations[READINESS_GATE_KEY] === 'true'
  return adding(
    stateOf(pod.finalizers, FINALIZER),
    stateOfLabel(pod),
    gate ? stateOf(pod.readinessGates, CONDITION) : 'there'
  )
}

/** Of what we add to a list or map: it is there, or else the list is or is not empty. */
type State = 'there' | 'first' | 'more'

function stateOf(list: readonly string[], entry: string): State {
  if (list.length === 0) return 'first'
  return list.includes(entry) ? 'there' : 'more'
}

function stateOfLabel({ labels }: Pod): State {
  if (labels[MANAGED_LABEL] === MANAGED_VALUE) return 'there'
  return Object.keys(labels).length === 0 ? 'first' : 'more'
}

/** Each verdict that there can be, once: nearly all pods get the same, and who puts it into words knows it again. */
const verdicts = new Map<string, Verdict>()

function adding(finalizer: State, label: State, gate: State): Verdict {
  const which = `${finalizer} ${label} ${gate}`
  const known = verdicts.get(which)
  if (known !== undefined) return known
  const patch = [
    ...append(finalizer, '/metadata/finalizers', FINALIZER),
    ...addLabel(label),
    ...append(gate, '/spec/readinessGates', { conditionType: CONDITION })
  ]
  const verdict = { ...ALLOWED, patch }
  verdicts.set(which, verdict)
  return verdict
}

function addLabel(label: State): PatchOperation[] {
  if (label === 'there') return []
  return label === 'first'
    ? [{ op: 'add', path: '/metadata/labels', value: { [MANAGED_LABEL]: MANAGED_VALUE } }]
    : [{ op: 'add', path: `/metadata/labels/${escape(MANAGED_LABEL)}`, value: MANAGED_VALUE }]
}

/** `/-` needs a list to be there. */
function append(state: State, path: string, value: unknown): PatchOperation[] {
  if (state === 'there') return []
  return state === 'first' ? [{ op: 'add', path, value: [value] }] : [{ op: 'add', path: `${path}/-`, value }]
}

/** RFC 6901; no name of ours has a `~`. */
const escape = (key: string): string => key.replaceAll('/', '~1')
