/** Turns the permissions that a verdict needs into the last word. */
import { PERMISSION } from '../shared/names.ts'
import { describeRefusal } from '../shared/permission.ts'
import type { Permissions, Use } from '../shared/permission.ts'
import type { Verdict } from './verdict.ts'

export type PermissionMode = 'enforce' | 'warn' | 'off'

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
  if (verdict.kind !== 'allowed' || mode === 'off' || verdict.uses.length === 0) return verdict
  const answers = await Promise.all(verdict.uses.map((use) => permissions.permits(use, signal)))
  const [first, ...rest] = verdict.uses.filter((_, index) => answers[index] === false)
  if (first === undefined) return verdict
  const message = describeRefusal([first, ...rest])
  if (mode === 'enforce' && verdict.unpermitted === 'deny')
    return { kind: 'forbidden', reason: 'permission', warnings: verdict.warnings, message }
  const warnings = [first, ...rest].map(warn)
  return { ...verdict, warnings: [...verdict.warnings, ...warnings] }
}

/** Short, as the API server cuts warnings at 256 characters: the whole Role is printed when a pod is refused. */
const warn = ({ namespace, serviceAccount, groupId }: Use): string =>
  `service account '${serviceAccount}' of namespace '${namespace}' may not use security group '${groupId}'; give it a Role: apiGroups [${PERMISSION.group}], resources [${PERMISSION.resource}], resourceNames [${groupId}], verbs [${PERMISSION.verb}]`
