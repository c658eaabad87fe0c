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
  /**
   * "No" is the answer false; that nobody could tell is an error.
   * @param signal ends the caller's wait, not the question itself, whose answer serves others
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
  return `service account '${serviceAccount}' of namespace '${namespace}' may not use ${what}; to permit it, apply:\n${printRole(namespace, serviceAccount, ids)}`
}

/** The Role is named after account and group, so that applying one never overwrites another's. */
function printRole(namespace: string, serviceAccount: string, ids: readonly string[]): string {
  const name = `${serviceAccount}-use-${ids[0] ?? ''}`
  return `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {namespace: ${namespace}, name: ${name}}
rules:
- apiGroups: [${PERMISSION.group}]
  resources: [${PERMISSION.resource}]
  resourceNames: [${ids.join(', ')}]
  verbs: [${PERMISSION.verb}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {namespace: ${namespace}, name: ${name}}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: ${name}}
subjects:
- {kind: ServiceAccount, namespace: ${namespace}, name: ${serviceAccount}}
`
}
