/** What a review comes to. A fault of ours is no verdict: it is thrown, and becomes HTTP 500. Pure. */
import type { Use } from '../shared/permission.ts'
import type { Violation } from '../shared/violation.ts'

/** RFC 6902; kube-sg only ever adds. */
export interface PatchOperation {
  readonly op: 'add'
  readonly path: string
  readonly value: unknown
}

export interface Allowed {
  readonly kind: 'allowed'
  readonly warnings: readonly string[]
  readonly patch: readonly PatchOperation[]
  /** What must be permitted for this to stand. */
  readonly uses: readonly Use[]
  /** What follows when it is not permitted. */
  readonly unpermitted: 'deny' | 'warn'
}

/** HTTP 422 inside the answer: the object is malformed, and these are all its mistakes. */
export interface Invalid {
  readonly kind: 'invalid'
  readonly warnings: readonly string[]
  readonly violations: readonly Violation[]
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
export const ALLOWED: Allowed = { kind: 'allowed', warnings: [], patch: [], uses: [], unpermitted: 'deny' }
