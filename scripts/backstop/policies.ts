/** The policies and their bindings, as objects to be written as YAML. */
import {
  CONDITION,
  FINALIZER,
  MANAGED_LABEL,
  MANAGED_VALUE,
  NAMESPACE,
  PERMISSION,
  PREFIX,
  READINESS_GATE_KEY
} from '../../shared/names.ts'
import { MAX_GROUPS } from '../../shared/annotation.ts'
import { UNNAMED_SERVICE_ACCOUNT } from '../../shared/permission.ts'
import {
  HAS_FINALIZER,
  HAS_LABEL,
  isOurs,
  LIVING,
  NEW_CHANGED_OR_REMOVED,
  NEW_OR_CHANGED,
  NOT_A_MIRROR_POD,
  NOT_OUR_WORKER,
  text,
  VARIABLES
} from './expressions.ts'

const GRAMMAR = 'kube-sg-grammar'
const PERMISSION_POLICY = 'kube-sg-permission'
const STAMP = 'kube-sg-stamp'

const API = 'admissionregistration.k8s.io/v1'
const metadata = (name: string): object => ({ name, labels: { 'app.kubernetes.io/part-of': 'kube-sg' } })

const namespaceSelector = {
  matchExpressions: [{ key: 'kubernetes.io/metadata.name', operator: 'NotIn', values: [NAMESPACE, 'kube-system'] }]
}
const rule = (resources: readonly string[], operations: readonly string[]): object => ({
  apiGroups: [''],
  apiVersions: ['v1'],
  resources,
  operations,
  scope: 'Namespaced'
})
const PODS = rule(['pods'], ['CREATE', 'UPDATE'])
const CONDITIONS = [NOT_A_MIRROR_POD, NOT_OUR_WORKER, NEW_CHANGED_OR_REMOVED]

/** Nobody validates the keys of a Binding: what could move a terminal's cursor is not shown, and the longest legal key is. */
const PRINTABLE = 'size(k) <= 317 && k.matches("^[ -~]*$") ? k : "(a malformed key)"'

/** What is well-formed and stamped, and comes through no other way than the pod itself. */
export function grammarPolicy(): object[] {
  const isPod = '(request.resource.resource == "pods" && !has(request.subResource))'
  const changed = `(variables.added + variables.before.filter(k, ${isOurs('k')} && !(k in variables.annotations)))`
  return [
    {
      apiVersion: API,
      kind: 'ValidatingAdmissionPolicy',
      metadata: metadata(GRAMMAR),
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          namespaceSelector,
          resourceRules: [PODS, rule(['pods/status'], ['UPDATE']), rule(['bindings', 'pods/binding'], ['CREATE'])]
        },
        matchConditions: CONDITIONS,
        variables: VARIABLES,
        validations: [
          {
            expression: isPod,
            reason: 'Forbidden',
            message: `annotations of '${PREFIX}' must not be changed this way: annotate the pod itself`,
            messageExpression: `(size(variables.added) > 10 ? "annotations of '${PREFIX}'" : ${changed}.map(k, "metadata.annotations[" + (${PRINTABLE}) + "]").join(", "))
+ " must not be changed through " + request.resource.resource + (has(request.subResource) ? "/" + request.subResource : "") + ": annotate the pod itself"`
          },
          {
            expression: `!${isPod} || size(variables.mistakes) == 0`,
            reason: 'Invalid',
            message: `annotations of '${PREFIX}' are malformed in too many ways to tell here`,
            messageExpression: `!${isPod} ? "" : size(variables.mistakes) > 6
? variables.mistakes.slice(0, 6).join("; ") + "; and " + string(size(variables.mistakes) - 6) + " more"
: variables.mistakes.join("; ")`
          }
        ]
      }
    },
    bindingOf(GRAMMAR)
  ]
}

/**
 * Whether the pod's service account may use every group. One expression for each: one may make two checks at most, and
 * that many fit into what a policy may cost.
 */
export function permissionPolicy(): object[] {
  const account = `variables.account`
  const may = (index: number): string =>
    `size(variables.asked) <= ${index} || authorizer.serviceAccount(request.namespace, ${account})
.group(${text(PERMISSION.group)}).resource(${text(PERMISSION.resource)}).namespace(request.namespace)
.name(variables.asked[${index}]).check(${text(PERMISSION.verb)}).allowed()`
  return [
    {
      apiVersion: API,
      kind: 'ValidatingAdmissionPolicy',
      metadata: metadata(PERMISSION_POLICY),
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: { namespaceSelector, resourceRules: [PODS] },
        matchConditions: CONDITIONS,
        variables: [
          ...VARIABLES,
          {
            name: 'account',
            expression: `has(object.spec.serviceAccountName) && object.spec.serviceAccountName != "" ? object.spec.serviceAccountName : ${text(UNNAMED_SERVICE_ACCOUNT)}`
          }
        ],
        validations: Array.from({ length: MAX_GROUPS }, (_, index) => ({
          expression: may(index),
          reason: 'Forbidden',
          message: 'the service account of the pod may not use one of its security groups',
          messageExpression: refusal(index)
        }))
      }
    },
    bindingOf(PERMISSION_POLICY)
  ]
}

/** JSON, as a message must be one line; kubectl applies it all the same. */
function refusal(index: number): string {
  const [group, account] = [`variables.asked[${index}]`, 'variables.account']
  const name = `${account} + "-use-" + ${group}`
  const where = (of: string): string =>
    `"{\\"namespace\\":\\"" + request.namespace + "\\",\\"name\\":\\"" + ${of} + "\\"}"`
  const fixed = (value: object): string => JSON.stringify(JSON.stringify(value).slice(1, -1))
  const role = fixed({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role' })
  const rules = fixed({ apiGroups: [PERMISSION.group], resources: [PERMISSION.resource], verbs: [PERMISSION.verb] })
  const binding = fixed({ apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'RoleBinding' })
  const roleRef = fixed({ apiGroup: 'rbac.authorization.k8s.io', kind: 'Role' })
  return `size(variables.asked) <= ${index} ? "" : "service account '" + ${account} + "' of namespace '" + request.namespace
+ "' may not use security group '" + ${group} + "'; to permit it, apply: "
+ "{\\"apiVersion\\":\\"v1\\",\\"kind\\":\\"List\\",\\"items\\":[{" + ${role} + ",\\"metadata\\":" + ${where(name)}
+ ",\\"rules\\":[{" + ${rules} + ",\\"resourceNames\\":[\\"" + ${group} + "\\"]}]},{" + ${binding} + ",\\"metadata\\":" + ${where(name)}
+ ",\\"roleRef\\":{" + ${roleRef} + ",\\"name\\":\\"" + ${name} + "\\"},\\"subjects\\":[{\\"kind\\":\\"ServiceAccount\\",\\"namespace\\":\\""
+ request.namespace + "\\",\\"name\\":\\"" + ${account} + "\\"}]}]}"`
}

const bindingOf = (policyName: string): object => ({
  apiVersion: API,
  kind: 'ValidatingAdmissionPolicyBinding',
  metadata: metadata(policyName),
  spec: { policyName, validationActions: ['Deny'] }
})

/** Adds what webhook/mutation.ts adds, to the same pods. */
export function stampPolicy(): object[] {
  const gates = 'object.spec.readinessGates'
  const asksForGate = `oldObject == null && has(object.metadata.annotations)
  && ${text(READINESS_GATE_KEY)} in object.metadata.annotations && object.metadata.annotations[${text(READINESS_GATE_KEY)}] == "true"`
  const wantsGate = `${asksForGate}
  && !(has(${gates}) && ${gates}.exists(g, g.conditionType == ${text(CONDITION)}))`
  return [
    {
      apiVersion: API,
      kind: 'MutatingAdmissionPolicy',
      metadata: metadata(STAMP),
      spec: {
        failurePolicy: 'Fail',
        reinvocationPolicy: 'IfNeeded',
        matchConstraints: { namespaceSelector, resourceRules: [PODS] },
        matchConditions: [
          NOT_A_MIRROR_POD,
          NOT_OUR_WORKER,
          { name: 'living', expression: LIVING },
          {
            name: 'annotations-of-ours-new-or-changed-or-finalizer-of-ours-new',
            expression: `(${NEW_OR_CHANGED})
|| (${HAS_FINALIZER}
  && !(oldObject != null && ${HAS_FINALIZER.replaceAll('object', 'oldObject')}))`
          },
          {
            name: 'something-is-missing',
            expression: `!(${HAS_FINALIZER}) || !(${HAS_LABEL})
|| (${wantsGate})`
          }
        ],
        mutations: [
          {
            patchType: 'JSONPatch',
            jsonPatch: {
              expression: [
                appended(HAS_FINALIZER, 'object.metadata.finalizers', '/metadata/finalizers', text(FINALIZER)),
                `(${HAS_LABEL} ? []
  : has(object.metadata.labels) ? [JSONPatch{op: "add", path: ${text(`/metadata/labels/${MANAGED_LABEL.replaceAll('/', '~1')}`)}, value: ${text(MANAGED_VALUE)}}]
  : [JSONPatch{op: "add", path: "/metadata/labels", value: {${text(MANAGED_LABEL)}: ${text(MANAGED_VALUE)}}}])`,
                appended(
                  `!(${wantsGate})`,
                  gates,
                  '/spec/readinessGates',
                  `Object.spec.readinessGates{conditionType: ${text(CONDITION)}}`
                )
              ].join('\n+ ')
            }
          }
        ]
      }
    },
    {
      apiVersion: API,
      kind: 'MutatingAdmissionPolicyBinding',
      metadata: metadata(STAMP),
      spec: { policyName: STAMP }
    }
  ]
}

function appended(isThere: string, place: string, path: string, value: string): string {
  return `(${isThere} ? []
  : has(${place}) && size(${place}) > 0 ? [JSONPatch{op: "add", path: "${path}/-", value: ${value}}]
  : [JSONPatch{op: "add", path: "${path}", value: [${value}]}])`
}
