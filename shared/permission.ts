/** Who may use which security group. Pure. */
import { PERMISSION } from './names.ts'
import type { SecurityGroupId } from './rules.ts'

/**
 * A pod's service account wanting to use a group. The service account is the one subject that is asked about: whoever
 * created the pod is mostly a controller, and asking about either would weaken both (KEP-2579 on PodSecurityPolicy).
 */
export interface Use {
  readonly namespace: string
  readonly serviceAccount: string
  readonly groupId: SecurityGroupId
}

export interface Permissions {
  /** The answer that {@link permits} would give without asking anybody; undefined when it would ask. */
  known?(use: Use): boolean | undefined
  /**
   * "No" is the answer false; that nobody could tell is an error.
   * @param signal ends the caller's wait; the question itself goes on for others who wait, and is given up when nobody does
   */
  permits(use: Use, signal?: AbortSignal): Promise<boolean>
}

/** What a pod runs as when it does not say (plugin/pkg/admission/serviceaccount). */
export const UNNAMED_SERVICE_ACCOUNT = 'default'

/**
 * Says who may not use what, and prints the Role and RoleBinding that would permit it, ready for `kubectl apply`:
 * `kubectl create role` refuses a resource that no API serves.
 * @param uses of one service account, at least one
 */
export function describeRefusal(uses: readonly [Use, ...Use[]]): string {
  const [{ namespace, serviceAccount }] = uses
  const ids = [...new Set(uses.map(({ groupId }) => groupId))].sort()
  const what = `security group${ids.length === 1 ? '' : 's'} ${ids.map((id) => `'${id}'`).join(', ')}`
  const roles = ids.map((id) => printRole(namespace, serviceAccount, id)).join('---\n')
  return `service account '${serviceAccount}' of namespace '${namespace}' may not use ${what}; to permit it, apply:\n${roles}`
}

/** One Role for each group, named after account and group, so that applying one never overwrites another's. */
function printRole(namespace: string, serviceAccount: string, groupId: string): string {
  const [where, account, name] = [namespace, serviceAccount, `${serviceAccount}-use-${groupId}`].map(printText)
  return `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: ${where}, name: ${name}}
rules:
- apiGroups: [${PERMISSION.group}]
  resources: [${PERMISSION.resource}]
  resourceNames: [${groupId}]
  verbs: [${PERMISSION.verb}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {namespace: ${where}, name: ${name}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ${name}}
subjects:
- {kind: ServiceAccount, namespace: ${where}, name: ${account}}
`
}

/** Words that YAML 1.1, which kubectl reads, takes for something else than text. */
const NOT_TEXT = new Set(['true', 'false', 'yes', 'no', 'on', 'off', 'y', 'n', 'null'])

/** A name as YAML text: quoted when it could pass for a number, a date or another word of YAML. */
function printText(name: string): string {
  return /^[a-z][a-z0-9.-]*$/.test(name) && !NOT_TEXT.has(name) ? name : JSON.stringify(name)
}
