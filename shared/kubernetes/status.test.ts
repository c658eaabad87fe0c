import { ApiException } from '@kubernetes/client-node'
import t from 'tap'
import { statusBody } from './connectionFixture.ts'
import {
  ApiError,
  isAlreadyExists,
  isConflict,
  isExpired,
  isForbidden,
  isInvalid,
  isNamespaceTerminating,
  isNotFound,
  isTransient,
  isUidMismatch,
  NoAnswer,
  parseStatus
} from './status.ts'

const call = { method: 'PATCH', path: '/api/v1/namespaces/n/pods/p' }
const refusal = (code: number, reason: string, message?: string, details?: object): ApiError =>
  new ApiError(call, code, JSON.stringify(statusBody(code, reason, message, details)), { 'x-secret': 'kept out' })

t.test('one line tells call, code, reason and message', async (t) => {
  const error = refusal(404, 'NotFound', 'pods "p" not found')
  t.equal(error.message, 'PATCH /api/v1/namespaces/n/pods/p: 404 NotFound: pods "p" not found')
  t.ok(error instanceof ApiException, 'code that knows only the library understands it')
  t.equal(error.code, 404)
  t.notMatch(JSON.stringify(error), 'kept out', 'headers stay out of logs')
  t.match(error.headers, { 'x-secret': 'kept out' })
})

t.test('an answer that is no Status is told by its code and first words', async (t) => {
  const error = new ApiError(call, 502, '<html>Bad Gateway</html>', {})
  t.equal(error.message, 'PATCH /api/v1/namespaces/n/pods/p: 502: <html>Bad Gateway</html>')
  t.equal(error.reason, '')
  t.same(parseStatus('null'), {})
  t.same(parseStatus('{"kind":"Pod","reason":"NotFound"}'), {})
})

t.test('each refusal has one meaning', async (t) => {
  const uid = { causes: [{ reason: 'FieldValueInvalid', field: 'metadata.uid', message: 'field is immutable' }] }
  const elsewhere = { causes: [{ reason: 'FieldValueInvalid', field: 'spec.nodeName' }] }
  const terminating = { causes: [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }] }
  const questions = {
    isNotFound,
    isConflict,
    isAlreadyExists,
    isExpired,
    isForbidden,
    isInvalid,
    isUidMismatch,
    isNamespaceTerminating,
    isTransient
  }
  const cases: [unknown, string[]][] = [
    [refusal(404, 'NotFound'), ['isNotFound']],
    [refusal(409, 'Conflict'), ['isConflict']],
    [
      refusal(409, 'Conflict', 'the UID in the precondition (a) does not match the UID in record (b)'),
      ['isConflict', 'isUidMismatch']
    ],
    [
      refusal(409, 'Conflict', 'Precondition failed: UID in precondition: a, UID in object meta: b'),
      ['isConflict', 'isUidMismatch']
    ],
    [refusal(409, 'AlreadyExists'), ['isAlreadyExists']],
    [refusal(410, 'Expired'), ['isExpired']],
    [refusal(410, 'Gone'), ['isExpired']],
    [refusal(403, 'Forbidden'), ['isForbidden']],
    [refusal(403, 'Forbidden', '', terminating), ['isForbidden', 'isNamespaceTerminating']],
    [refusal(422, 'Invalid', '', uid), ['isInvalid', 'isUidMismatch']],
    [refusal(422, 'Invalid', '', elsewhere), ['isInvalid']],
    [refusal(429, 'TooManyRequests'), ['isTransient']],
    [refusal(500, 'InternalError'), ['isTransient']],
    [new NoAnswer({ ...call, host: 'h' }, new Error('reset')), ['isTransient']],
    [new Error('something else'), []],
    [undefined, []]
  ]
  for (const [error, meanings] of cases) {
    const yes = Object.entries(questions).filter(([, ask]) => ask(error))
    t.same(
      yes.map(([name]) => name),
      meanings,
      String(error)
    )
  }
})

t.test('no answer tells what broke, also when every address refused', async (t) => {
  const causes = [new Error('connect ECONNREFUSED ::1:1'), new Error('connect ECONNREFUSED 127.0.0.1:1')]
  t.equal(
    new NoAnswer({ ...call, host: 'h:1' }, new AggregateError(causes)).message,
    'PATCH /api/v1/namespaces/n/pods/p: no answer of h:1: connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1'
  )
})

t.test("a proxy's 404 does not prove that an object is not there", async (t) => {
  const call = { method: 'GET', path: '/api/v1/nodes/n' }
  t.equal(isNotFound(new ApiError(call, 404, '<html>no such route</html>', {})), false)
})
