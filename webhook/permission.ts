/** Turns the permissions that a verdict needs into the last word. */
import { PERMISSION } from '../shared/names.ts'
import { describeRefusal } from '../shared/permission.ts'
import type { Permissions } from '../shared/permission.ts'
import type { Violation } from '../shared/violation.ts'
import type { Invalid, Need, Verdict } from './verdict.ts'

export type PermissionMode = 'enforce' | 'warn' | 'off'

/** Whether {@link withPermission} would give the verdict back as it is, and ask nobody: then it need not be called. */
export function stands(verdict: Verdict, permissions: Permissions, mode: PermissionMode): boolean {
  if (verdict.kind === 'forbidden' || mode === 'off') return true
  return verdict.uses.every((use) => permissions.known?.(use) === true)
}

/**
 * Asks about every use at once.
 * @throws what the permissions throw when nobody could tell: that is no refusal
 */
export async function withPermission(
  verdict: Verdict,
  permissions: Permissions,
  mode: PermissionMode,
  signal: AbortSignal
): Promise<Verdict> {
  if (verdict.kind === 'forbidden' || mode === 'off' || verdict.uses.length === 0) return verdict
  if (verdict.kind === 'invalid') return completed(verdict, permissions, mode, signal)
  const answers = await Promise.all(verdict.uses.map((use) => permissions.permits(use, signal)))
  const [first, ...rest] = verdict.uses.filter((_, index) => answers[index] === false)
  if (first === undefined) return verdict
  const message = describeRefusal([first, ...rest])
  if (mode === 'enforce' && verdict.unpermitted === 'deny')
    return { kind: 'forbidden', reason: 'permission', warnings: verdict.warnings, message }
  const refused = [first, ...rest]
  return { ...verdict, refused, warnings: [...verdict.warnings, ...refused.map(warn)] }
}

/**
 * What is malformed is refused whatever the answers are. They come along, so that nobody puts their spelling right only
 * to learn that a Role is missing too; that nobody could tell is said as well, and no longer decides anything.
 */
async function completed(
  verdict: Invalid,
  permissions: Permissions,
  mode: PermissionMode,
  signal: AbortSignal
): Promise<Invalid> {
  const answers = await Promise.allSettled(verdict.uses.map((use) => permissions.permits(use, signal)))
  const refused = verdict.uses.filter((_, index) => {
    const answer = answers[index]
    return answer?.status === 'fulfilled' && !answer.value
  })
  const failure = answers.find((answer) => answer.status === 'rejected')
  const unknown = failure === undefined ? [] : [`permission could not be asked for: ${reasonText(failure.reason)}`]
  const warnings = [...verdict.warnings, ...unknown]
  if (mode === 'enforce' && verdict.unpermitted === 'deny')
    return { ...verdict, warnings, violations: [...verdict.violations, ...refused.map(notPermitted)] }
  return { ...verdict, warnings: [...warnings, ...refused.map(warn)] }
}

const reasonText = (reason: unknown): string => (reason instanceof Error ? reason.message : String(reason))

function notPermitted(use: Need): Violation {
  return { reason: 'NotPermitted', key: use.field, field: use.field, value: use.groupId, message: warn(use) }
}

/** Short, as the API server cuts warnings at 256 characters: the whole Role is printed when a pod is refused. */
const warn = ({ namespace, serviceAccount, groupId }: Need): string =>
  `service account '${serviceAccount}' of namespace '${namespace}' may not use security group '${groupId}'; give it a Role: apiGroups [${PERMISSION.group}], resources [${PERMISSION.resource}], resourceNames [${groupId}], verbs [${PERMISSION.verb}]`
