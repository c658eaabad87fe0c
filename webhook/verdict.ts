/** What a review comes to. A fault of ours is no verdict: it is thrown, and becomes HTTP 500. Pure. */
import type { Use } from '../shared/permission.ts'
import type { Violation, ViolationReason } from '../shared/violation.ts'

/** RFC 6902; kube-sg only ever adds. */
export interface PatchOperation {
  readonly op: 'add'
  readonly path: string
  readonly value: unknown
}

/** A use that must be permitted, and the path of the annotation that asks for it. */
export interface Need extends Use {
  readonly field: string
}

export interface Allowed {
  readonly kind: 'allowed'
  readonly warnings: readonly string[]
  readonly patch: readonly PatchOperation[]
  /** What must be permitted for this to stand. */
  readonly uses: readonly Need[]
  /** What follows when it is not permitted. */
  readonly unpermitted: 'deny' | 'warn'
  /** Which of the uses turned out not to be permitted, where that only warns; absent when none did. */
  readonly refused?: readonly Need[]
  /** How many rules the changed annotations ask for, for each address of a pod. */
  readonly rules: number
}

/** HTTP 422 inside the answer: the object is malformed, and these are all its mistakes. */
export interface Invalid {
  readonly kind: 'invalid'
  readonly warnings: readonly string[]
  readonly violations: readonly Violation[]
  /** What else would be refused once it is well-formed: whoever has to ask for a Role should learn it at once. */
  readonly uses: readonly Need[]
  readonly unpermitted: 'deny' | 'warn'
}

/** HTTP 403 inside the answer: well-formed, but not for this subject or not on this way. */
export interface Forbidden {
  readonly kind: 'forbidden'
  readonly warnings: readonly string[]
  readonly reason: 'permission' | 'subresource'
  readonly message: string
}

export type Verdict = Allowed | Invalid | Forbidden

/** Nothing to object to, nothing to add. */
export const ALLOWED: Allowed = { kind: 'allowed', warnings: [], patch: [], uses: [], unpermitted: 'deny', rules: 0 }

/** A verdict in a word, for metrics, logs and audit. */
export type Decision = 'allowed' | 'patched' | 'invalid' | 'permission' | 'subresource'

export function decisionOf(verdict: Verdict): Decision {
  if (verdict.kind === 'forbidden') return verdict.reason
  if (verdict.kind === 'invalid') return 'invalid'
  return verdict.patch.length > 0 ? 'patched' : 'allowed'
}

export type DenialReason = ViolationReason | 'ThroughSubresource'

/** Why the request is denied, each reason once, sorted; empty when it is not. */
export function reasonsOf(verdict: Verdict): readonly DenialReason[] {
  if (verdict.kind === 'allowed') return []
  if (verdict.kind === 'invalid') return [...new Set(verdict.violations.map(({ reason }) => reason))].sort()
  return [verdict.reason === 'permission' ? 'NotPermitted' : 'ThroughSubresource']
}
