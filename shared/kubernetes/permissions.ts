/** Asks the API server who may use which security group, by SubjectAccessReview. */
import { PERMISSION } from '../names.ts'
import type { Permissions, Use } from '../permission.ts'
import type { Connection } from './connection.ts'
import { untilAborted } from './untilAborted.ts'

export interface PermissionsOptions {
  /** Milliseconds since any start; never goes back. */
  readonly now: () => number
  /** How long a yes is believed; it bounds how long a withdrawn permission lives on. */
  readonly permittedMs?: number
  /** How long a no is believed; short, as people apply the Role and try again. */
  readonly refusedMs?: number
  /**
   * Questions of all namespaces with the API server at a time, half of them of one: what it does not answer keeps connections and
   * rate from other calls. Where two namespaces' questions hang, all others wait behind those.
   */
  readonly atOnce?: number
}

interface AccessReview {
  readonly status?: { readonly allowed?: boolean; readonly denied?: boolean; readonly evaluationError?: string }
}

const PATH = '/apis/authorization.k8s.io/v1/subjectaccessreviews'
const MAX_ENTRIES = 10_000

/**
 * Questions of one namespace that are with the API server, or wait for our rate limit, at a time. Whoever may create pods
 * can make us ask without end, for groups that they make up: the others' questions stand behind no more than these.
 */
const AT_ONCE = 16

interface Question {
  readonly answer: Promise<boolean>
  /** Aborted when nobody waits any more. */
  readonly given: AbortController
  waiting: number
}

/** One question in flight for each use, answers kept for a moment, errors never. */
export function askPermissions(api: Pick<Connection, 'request'>, options: PermissionsOptions): Permissions {
  const { now, permittedMs = 10_000, refusedMs = 1000 } = options
  const answers = new Map<string, { permitted: boolean; until: number }>()
  const asking = new Map<string, Question>()
  const atOnce = options.atOnce ?? Infinity
  // One namespace alone cannot take all places.
  const inTurn = createLanes(Math.min(AT_ONCE, Math.ceil(atOnce / 2)))
  const ofAll = createLanes(atOnce)

  function ask(key: string, use: Use): Question {
    const given = new AbortController()
    const answer = inTurn(use.namespace, () => ofAll('', () => send(key, use, given.signal)))
    const question = { answer, given, waiting: 0 }
    asking.set(key, question)
    return question
  }

  function leave(key: string, question: Question): void {
    if (--question.waiting > 0) return
    if (asking.get(key) === question) asking.delete(key)
    question.given.abort()
  }

  async function send(key: string, use: Use, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted()
    const call = { method: 'POST', path: PATH, body: review(use), signal } as const
    const permitted = read((await api.request(call)) as AccessReview)
    answers.delete(key)
    const at = now()
    answers.set(key, { permitted, until: at + (permitted ? permittedMs : refusedMs) })
    for (const [oldest, { until }] of answers) {
      if (answers.size <= MAX_ENTRIES && at < until) break
      answers.delete(oldest)
    }
    return permitted
  }

  // The same objects come again and again, and putting their key together costs more than all else of a question that is known.
  const keys = new WeakMap<Use, string>()
  const keyOf = (use: Use): string => {
    const known = keys.get(use)
    if (known !== undefined) return known
    const key = `${use.namespace}/${use.serviceAccount}/${use.groupId}`
    keys.set(use, key)
    return key
  }
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
      const question = asking.get(key) ?? ask(key, use)
      question.waiting++
      try {
        return await (signal === undefined ? question.answer : untilAborted(question.answer, signal))
      } finally {
        leave(key, question)
      }
    }
  }
}

/** Runs what is given in its order, of each name no more than so many at a time. */
function createLanes(atOnce: number): <T>(name: string, run: () => Promise<T>) => Promise<T> {
  const lanes = new Map<string, { busy: number; readonly line: (() => void)[] }>()
  return async (name, run) => {
    const lane = lanes.get(name) ?? { busy: 0, line: [] }
    lanes.set(name, lane)
    // Whoever ends hands its place on, so that nobody who comes later gets in between.
    if (lane.busy < atOnce) lane.busy++
    else await new Promise<void>((resolve) => lane.line.push(resolve))
    try {
      return await run()
    } finally {
      const next = lane.line.shift()
      if (next !== undefined) next()
      else if (--lane.busy === 0) lanes.delete(name)
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
