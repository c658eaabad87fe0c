/** Asks the API server who may use which security group, by SubjectAccessReview. */
import { PERMISSION } from '../names.ts'
import type { Permissions, Use } from '../permission.ts'
import type { Connection } from './connection.ts'

export interface PermissionsOptions {
  /** Milliseconds since any start; never goes back. */
  readonly now: () => number
  /** How long a yes is believed; it bounds how long a withdrawn permission lives on. */
  readonly permittedMs?: number
  /** How long a no is believed; short, as people apply the Role and try again. */
  readonly refusedMs?: number
}

interface AccessReview {
  readonly status?: { readonly allowed?: boolean; readonly denied?: boolean; readonly evaluationError?: string }
}

const PATH = '/apis/authorization.k8s.io/v1/subjectaccessreviews'
const MAX_ENTRIES = 10_000

/** One question in flight for each use, answers kept for a moment, errors never. */
export function askPermissions(api: Pick<Connection, 'request'>, options: PermissionsOptions): Permissions {
  const { now, permittedMs = 10_000, refusedMs = 1000 } = options
  const answers = new Map<string, { permitted: boolean; until: number }>()
  const asking = new Map<string, Promise<boolean>>()

  async function ask(key: string, use: Use): Promise<boolean> {
    try {
      const permitted = read((await api.request({ method: 'POST', path: PATH, body: review(use) })) as AccessReview)
      answers.delete(key)
      answers.set(key, { permitted, until: now() + (permitted ? permittedMs : refusedMs) })
      for (const oldest of answers.keys()) {
        if (answers.size <= MAX_ENTRIES) break
        answers.delete(oldest)
      }
      return permitted
    } finally {
      asking.delete(key)
    }
  }

  const keyOf = (use: Use): string => `${use.namespace}/${use.serviceAccount}/${use.groupId}`
  const recall = (key: string): boolean | undefined => {
    const answer = answers.get(key)
    return answer !== undefined && now() < answer.until ? answer.permitted : undefined
  }

  return {
    known: (use) => recall(keyOf(use)),
    async permits(use, signal) {
      signal?.throwIfAborted()
      const key = keyOf(use)
      const known = recall(key)
      if (known !== undefined) return known
      let question = asking.get(key)
      if (question === undefined) {
        question = ask(key, use)
        asking.set(key, question)
      }
      return signal === undefined ? question : untilAborted(question, signal)
    }
  }
}

/** The groups are those that the service account authenticator gives (apiserver pkg/authentication/serviceaccount). */
function review({ namespace, serviceAccount, groupId }: Use) {
  return {
    apiVersion: 'authorization.k8s.io/v1',
    kind: 'SubjectAccessReview',
    spec: {
      user: `system:serviceaccount:${namespace}:${serviceAccount}`,
      groups: ['system:serviceaccounts', `system:serviceaccounts:${namespace}`, 'system:authenticated'],
      resourceAttributes: { ...PERMISSION, namespace, name: groupId }
    }
  }
}

/** An authorizer that failed has said nothing: RBAC alone never sets evaluationError. */
function read({ status }: AccessReview): boolean {
  if (status?.allowed === true) return true
  if (status === undefined) throw new Error('the SubjectAccessReview came back without a status')
  const failure = status.evaluationError ?? ''
  if (failure !== '' && status.denied !== true) throw new Error(`permission could not be told: ${failure}`)
  return false
}

async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
