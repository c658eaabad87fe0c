/** A control plane with the policies of manifests/backstop/ and nothing else of ours: no webhook runs. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { awaitBackstop } from '../../bed/backstop.ts'
import { eventually, KubeError, startBed } from '../../bed/bed.ts'
import type { Bed, KubeObject } from '../../bed/bed.ts'
import { FINALIZER, MANAGED_LABEL, MANAGED_VALUE, PERMISSION } from '../../shared/names.ts'
import { decode } from '../../webhook/admissionReview.ts'
import { review } from '../../webhook/reviewFixture.ts'
import { validate } from '../../webhook/validation.ts'
import { PERMITTED } from './annotationArbitraries.ts'
import type { Entries } from './annotationArbitraries.ts'

export const PODS = '/api/v1/namespaces/default/pods'

/** Pods of the namespace default may use the groups {@link PERMITTED}. */
export async function startPolicyBed(): Promise<Bed> {
  const bed = await startBed({ product: false, kwok: false })
  t.teardown(() => bed.stop())
  const rbac = { apiVersion: 'rbac.authorization.k8s.io/v1', metadata: { name: 'use', namespace: 'default' } }
  await bed.apply([
    {
      ...rbac,
      kind: 'Role',
      rules: [
        {
          apiGroups: [PERMISSION.group],
          resources: [PERMISSION.resource],
          resourceNames: PERMITTED,
          verbs: [PERMISSION.verb]
        }
      ]
    },
    {
      ...rbac,
      kind: 'RoleBinding',
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'use' },
      subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'default' }]
    }
  ])

  await eventually('a service account', () => bed.api.call('GET', '/api/v1/namespaces/default/serviceaccounts/default'))
  return bed
}

/** Returns once they are in effect. */
export async function applyPolicies(bed: Bed): Promise<void> {
  for (const file of ['10-grammar.yaml', '20-permission.yaml', '30-stamp.yaml'])
    await bed.apply(await readFile(new URL(`../../manifests/backstop/${file}`, import.meta.url), 'utf8'))
  await awaitBackstop(bed.api, new AbortController().signal)
}

export interface Answer {
  readonly kind: 'allowed' | 'invalid' | 'forbidden' | 'elsewhere'
  readonly message: string
}

/** What the API server answers; `elsewhere` when it was not the policies that refused. */
export async function answer(call: Promise<unknown>): Promise<Answer> {
  try {
    await call
    return { kind: 'allowed', message: '' }
  } catch (error) {
    if (!(error instanceof KubeError)) throw error
    const { status, message } = error
    if (!message.includes('ValidatingAdmissionPolicy') || message.includes('resulted in error'))
      return { kind: 'elsewhere', message }
    return { kind: status === 422 ? 'invalid' : status === 403 ? 'forbidden' : 'elsewhere', message }
  }
}

/** What the webhook answers to a pod that was stamped before. */
export function expected(object: KubeObject, oldObject?: KubeObject): Answer['kind'] {
  const verdict = validate(decode(review({ object, ...(oldObject === undefined ? {} : { oldObject }) })), {
    rulesPerGroup: 60
  })
  if (verdict.kind !== 'allowed') return verdict.kind
  return verdict.uses.every(({ groupId }) => PERMITTED.includes(groupId)) ? 'allowed' : 'forbidden'
}

export const plain = (name: string, annotations: Entries): KubeObject => ({
  metadata: { name, annotations },
  spec: { containers: [{ name: 'c', image: 'x' }] }
})
export const stamped = (pod: KubeObject): KubeObject => ({
  ...pod,
  metadata: { ...pod.metadata, finalizers: [FINALIZER], labels: { [MANAGED_LABEL]: MANAGED_VALUE } }
})

/** Reviews under way at once: enough to keep the API server busy. */
const WIDTH = 24

export async function inParallel<T>(
  items: readonly T[],
  work: (item: T, index: number) => Promise<void>
): Promise<void> {
  const rest = items.entries()
  await Promise.all(
    Array.from({ length: WIDTH }, async () => {
      for (const [index, item] of rest) await work(item, index)
    })
  )
}
