import t from 'tap'
import type { Use } from '../permission.ts'
import type { SecurityGroupId } from '../rules.ts'
import type { Call } from './connection.ts'
import { askPermissions } from './permissions.ts'

const use: Use = { namespace: 'web', serviceAccount: 'api', groupId: 'sg-0123abcd' as SecurityGroupId }
interface Status {
  readonly allowed: boolean
  readonly denied?: boolean
  readonly evaluationError?: string
}

/** An API server of one route: what was asked, and the next answers. */
function answering(...statuses: (Status | Error)[]) {
  const asked: Call[] = []
  return {
    asked,
    async request(call: Call): Promise<unknown> {
      asked.push(call)
      const status = statuses.length > 1 ? statuses.shift()! : statuses[0]!
      if (status instanceof Error) throw status
      return { kind: 'SubjectAccessReview', status }
    }
  }
}

t.test('asks for the service account, its groups and the virtual resource', async (t) => {
  const api = answering({ allowed: true })
  t.equal(await askPermissions(api, { now: () => 0 }).permits(use), true)
  t.match(api.asked[0], { method: 'POST', path: '/apis/authorization.k8s.io/v1/subjectaccessreviews' })
  t.same((api.asked[0]?.body as { spec: unknown }).spec, {
    user: 'system:serviceaccount:web:api',
    groups: ['system:serviceaccounts', 'system:serviceaccounts:web', 'system:authenticated'],
    resourceAttributes: {
      verb: 'use',
      group: 'sg.amazonaws.com',
      resource: 'securitygroups',
      namespace: 'web',
      name: 'sg-0123abcd'
    }
  })
})

t.test('believes a yes for ten seconds and a no for one', async (t) => {
  let now = 0
  const api = answering({ allowed: true }, { allowed: false })
  const permissions = askPermissions(api, { now: () => now })
  t.equal(await permissions.permits(use), true)
  now = 9_999
  t.equal(await permissions.permits(use), true)
  t.equal(api.asked.length, 1)
  now = 10_000
  t.equal(await permissions.permits(use), false)
  now = 10_999
  t.equal(await permissions.permits(use), false)
  t.equal(api.asked.length, 2)
  now = 11_000
  t.equal(await permissions.permits(use), false)
  t.equal(api.asked.length, 3)
})

t.test('each namespace, account and group has its own answer', async (t) => {
  const api = answering({ allowed: true }, { allowed: false })
  const permissions = askPermissions(api, { now: () => 0 })
  t.equal(await permissions.permits(use), true)
  t.equal(await permissions.permits({ ...use, namespace: 'other' }), false)
  t.equal(await permissions.permits({ ...use, serviceAccount: 'other' }), false)
  t.equal(await permissions.permits({ ...use, groupId: 'sg-00000000' as SecurityGroupId }), false)
  t.equal(await permissions.permits(use), true)
  t.equal(api.asked.length, 4)
})

t.test('asks once for many who wait', async (t) => {
  const api = answering({ allowed: true })
  const permissions = askPermissions(api, { now: () => 0 })
  t.same(await Promise.all([permissions.permits(use), permissions.permits(use)]), [true, true])
  t.equal(api.asked.length, 1)
})

t.test('an error is no answer, and is not remembered', async (t) => {
  const api = answering(
    new Error('down'),
    { allowed: false, evaluationError: 'authorizer timed out' },
    { allowed: false, denied: true, evaluationError: 'another authorizer timed out' }
  )
  const permissions = askPermissions(api, { now: () => 0 })
  await t.rejects(permissions.permits(use), { message: 'down' })
  await t.rejects(permissions.permits(use), { message: 'permission could not be told: authorizer timed out' })
  t.equal(await permissions.permits(use), false)
})

t.test('a signal ends the wait of one and not the question', async (t) => {
  const gate = Promise.withResolvers<undefined>()
  const api = answering({ allowed: true })
  const permissions = askPermissions(
    { request: (call) => gate.promise.then(() => api.request(call)) },
    { now: () => 0 }
  )
  const impatient = new AbortController()
  const first = permissions.permits(use, impatient.signal)
  const second = permissions.permits(use)
  impatient.abort(new Error('out of time'))
  await t.rejects(first, { message: 'out of time' })
  gate.resolve(undefined)
  t.equal(await second, true)
  await t.rejects(permissions.permits(use, impatient.signal), { message: 'out of time' })
})

t.test('what is remembered is known at once, for as long as it is believed', async (t) => {
  let now = 0
  const api = answering({ allowed: true })
  const permissions = askPermissions(api, { now: () => now })
  t.equal(permissions.known?.(use), undefined)
  await permissions.permits(use)
  now = 9999
  t.equal(permissions.known?.(use), true)
  t.equal(permissions.known?.({ ...use, namespace: 'other' }), undefined)
  now = 10_000
  t.equal(permissions.known?.(use), undefined)
  t.equal(api.asked.length, 1, 'nobody was asked')
})

t.test('remembers no more than 10,000 answers, and forgets the oldest first', async (t) => {
  const api = answering({ allowed: true })
  const permissions = askPermissions(api, { now: () => 0 })
  const account = (index: number): Use => ({ ...use, serviceAccount: `a-${index}` })
  for (let index = 0; index <= 10_000; index++) await permissions.permits(account(index))
  t.equal(permissions.known?.(account(0)), undefined)
  t.equal(permissions.known?.(account(1)), true)
  t.equal(permissions.known?.(account(10_000)), true)
})

t.test('what is not believed any more is not kept either', async (t) => {
  let now = 0
  const permissions = askPermissions(answering({ allowed: true }), { now: () => now })
  const account = (index: number): Use => ({ ...use, serviceAccount: `a-${index}` })
  await permissions.permits(account(0))
  now = 1
  await permissions.permits(account(1))
  now = 10_000
  await permissions.permits(account(2))
  // As no clock runs: it shows what is still there.
  now = 0
  t.same(
    [0, 1, 2].map((index) => permissions.known?.(account(index))),
    [undefined, true, true]
  )
})

/** An API server that answers nothing until it is told to. */
function holding() {
  const asked: { namespace: string; signal: AbortSignal | undefined; answer: () => void }[] = []
  return {
    asked,
    request(call: Call): Promise<unknown> {
      const { namespace } = (call.body as { spec: { resourceAttributes: Use } }).spec.resourceAttributes
      const { promise, resolve, reject } = Promise.withResolvers<unknown>()
      call.signal?.addEventListener('abort', () => reject(call.signal?.reason as Error))
      asked.push({ namespace, signal: call.signal, answer: () => resolve({ status: { allowed: true } }) })
      return promise
    }
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))
const group = (index: number) => `sg-${index.toString(16).padStart(8, '0')}` as SecurityGroupId

t.test('a namespace that asks without end keeps no other waiting', async (t) => {
  const api = holding()
  const permissions = askPermissions(api, { now: () => 0 })
  const flood = Array.from({ length: 100 }, (_, index) => permissions.permits({ ...use, groupId: group(index) }))
  const other = permissions.permits({ ...use, namespace: 'other' })
  await settled()
  t.equal(api.asked.length, 17)
  t.equal(api.asked[16]?.namespace, 'other')
  for (let index = 0; index < 101; index++) {
    api.asked[index]?.answer()
    await settled()
  }
  t.equal((await Promise.all([...flood, other])).length, 101, 'and all are answered in the end')
})

t.test('of all namespaces no more questions are with the API server than may be', async (t) => {
  const api = holding()
  const permissions = askPermissions(api, { now: () => 0, atOnce: 3 })
  const questions = Array.from({ length: 10 }, (_, index) => permissions.permits({ ...use, namespace: `n-${index}` }))
  await settled()
  t.equal(api.asked.length, 3)
  for (let index = 0; index < 10; index++) {
    api.asked[index]?.answer()
    await settled()
    t.equal(api.asked.length, Math.min(10, index + 4), 'whose turn it is comes with each answer')
  }
  t.same(new Set(await Promise.all(questions)), new Set([true]))
})

t.test('of the places of all namespaces one takes no more than half', async (t) => {
  const api = holding()
  const permissions = askPermissions(api, { now: () => 0, atOnce: 4 })
  const ask = (namespace: string, index: number) => permissions.permits({ ...use, namespace, groupId: group(index) })
  const flood = Array.from({ length: 10 }, (_, index) => ask('flood', index))
  const other = ask('other', 0)
  await settled()
  t.same(
    api.asked.map(({ namespace }) => namespace),
    ['flood', 'flood', 'other']
  )
  for (let index = 0; index < 11; index++) {
    api.asked[index]?.answer()
    await settled()
  }
  t.equal((await Promise.all([...flood, other])).length, 11)
})

t.test('what nobody waits for any more is given up, and is not asked at all when its turn comes', async (t) => {
  const api = holding()
  const permissions = askPermissions(api, { now: () => 0 })
  const impatient = new AbortController()
  const flood = Array.from({ length: 100 }, (_, index) =>
    permissions.permits({ ...use, groupId: group(index) }, impatient.signal)
  )
  await settled()
  impatient.abort(new Error('out of time'))
  for (const one of await Promise.allSettled(flood)) t.match(one, { reason: { message: 'out of time' } })
  await settled()
  t.equal(api.asked.length, 16)
  t.ok(api.asked.every(({ signal }) => signal?.aborted))
  const later = permissions.permits({ ...use, groupId: group(99) })
  await settled()
  t.equal(api.asked.length, 17, 'and asked anew when it is wanted again')
  api.asked[16]?.answer()
  t.equal(await later, true)
})
