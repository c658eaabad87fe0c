import t from 'tap'
import type { SecurityGroupId } from '../shared/rules.ts'
import { annotationField } from '../shared/violation.ts'
import type { Violation } from '../shared/violation.ts'
import { decode, encode, print } from './admissionReview.ts'
import { MalformedReview } from './json.ts'
import { pod, review } from './reviewFixture.ts'
import { ALLOWED } from './verdict.ts'
import type { Invalid, Verdict } from './verdict.ts'

const request = decode(review({ object: pod() }))
const key = 'sg.amazonaws.com/sg-0123abcd'
const violation = (value: string, message: string) => ({
  reason: 'BadProtocol' as const,
  key,
  field: annotationField(key),
  value,
  message
})

const invalid = (violations: readonly Violation[]): Invalid => ({
  kind: 'invalid',
  warnings: [],
  violations,
  uses: [],
  unpermitted: 'deny'
})

t.test('reads what is needed', async (t) => {
  const { object, oldObject, ...rest } = decode(review({ object: pod(), subResource: 'status' }))
  t.same(rest, {
    uid: 'u-1',
    kind: 'Pod',
    resource: 'pods/status',
    operation: 'CREATE',
    namespace: 'web',
    name: 'api',
    username: 'jane',
    dryRun: false
  })
  t.equal(object.at('metadata').at('name').string(), 'api')
  t.equal(oldObject.value, undefined)
})

t.test('says what is wrong with a body', async (t) => {
  const good = review({ object: pod() }) as { request: Record<string, unknown> }
  const cases: [body: unknown, message: string][] = [
    [undefined, 'body must be an AdmissionReview of admission.k8s.io/v1'],
    [null, 'body must be an AdmissionReview of admission.k8s.io/v1'],
    [{}, 'body must be an AdmissionReview of admission.k8s.io/v1'],
    [[], 'body must be an object'],
    [7, 'body must be an object'],
    ['x', 'body must be an object'],
    [{ ...good, apiVersion: 'admission.k8s.io/v1beta1' }, 'body must be an AdmissionReview of admission.k8s.io/v1'],
    [{ ...good, kind: 'Pod' }, 'body must be an AdmissionReview of admission.k8s.io/v1'],
    [{ ...good, kind: 7 }, 'kind must be a string'],
    [{ ...good, request: undefined }, 'request.resource.resource must be set'],
    [{ ...good, request: 'x' }, 'request must be an object'],
    [{ ...good, request: { ...good.request, uid: '' } }, 'request.uid must be set'],
    [{ ...good, request: { ...good.request, uid: 7 } }, 'request.uid must be a string'],
    [
      { ...good, request: { ...good.request, uid: 'u'.repeat(254) } },
      'request.uid must be at most 253 characters long, and has 254'
    ],
    [
      { ...good, request: { ...good.request, kind: { kind: 'k'.repeat(300) } } },
      'request.kind.kind must be at most 253 characters long, and has 300'
    ],
    [
      { ...good, request: { ...good.request, subResource: 's'.repeat(254) } },
      'request.subResource must be at most 253 characters long, and has 254'
    ],
    [{ ...good, request: { ...good.request, operation: null } }, 'request.operation must be set'],
    [{ ...good, request: { ...good.request, kind: 'Pod' } }, 'request.kind must be an object']
  ]
  for (const [body, message] of cases) t.throws(() => decode(body), new MalformedReview(message))
})

t.test('an allowed request, without and with a patch', async (t) => {
  t.same(encode(request, ALLOWED), {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    response: { uid: 'u-1', auditAnnotations: { decision: 'allowed' }, allowed: true }
  })
  const patch = [{ op: 'add' as const, path: '/metadata/labels', value: { é: '1' } }]
  const { response } = encode(request, { ...ALLOWED, patch, warnings: ['careful'] })
  t.same(response.warnings, ['careful'])
  t.equal(response.patchType, 'JSONPatch')
  t.same(JSON.parse(Buffer.from(response.patch ?? '', 'base64').toString()), patch)
})

t.test('a malformed object: 422, a cause for each mistake, and a message that tells all', async (t) => {
  const one = encode(request, invalid([violation('tpc:1', 'bad; did you mean?')]))
  t.same(one.response, {
    uid: 'u-1',
    auditAnnotations: { decision: 'invalid', reasons: 'BadProtocol' },
    allowed: false,
    status: {
      code: 422,
      status: 'Failure',
      reason: 'Invalid',
      message:
        'Pod "api" is invalid: metadata.annotations[sg.amazonaws.com/sg-0123abcd]: Invalid value: "tpc:1": bad; did you mean?',
      details: {
        kind: 'Pod',
        name: 'api',
        causes: [
          {
            reason: 'FieldValueInvalid',
            field: 'metadata.annotations[sg.amazonaws.com/sg-0123abcd]',
            message: 'Invalid value: "tpc:1": bad; did you mean?'
          }
        ]
      }
    }
  })
  const two = encode(request, invalid([violation('a', 'first'), violation('b', 'second')]))
  t.equal(
    two.response.status?.message,
    'Pod "api" is invalid:\n* metadata.annotations[sg.amazonaws.com/sg-0123abcd]: Invalid value: "a": first\n* metadata.annotations[sg.amazonaws.com/sg-0123abcd]: Invalid value: "b": second'
  )
  t.equal(two.response.status?.details.causes?.length, 2)
})

t.test('a pod without a name yet is called by its generateName', async (t) => {
  const generated = decode(review({ object: pod({ metadata: { name: undefined, generateName: 'api-' } }), name: '' }))
  const { response } = encode(generated, invalid([violation('a', 'first')]))
  t.match(response.status?.message, /^Pod "api-" is invalid: /)
})

t.test('what is longer than any name is cut in an answer', async (t) => {
  const generateName = 'x'.repeat(2_000_000)
  const named = decode(review({ object: pod({ metadata: { name: undefined, generateName } }), name: '' }))
  const text = print(named, invalid([violation('a', 'first')]))
  t.ok(text.length < 2000)
  t.match(JSON.parse(text), { response: { status: { details: { name: `${'x'.repeat(253)}...` } } } })
})

t.test('not permitted: 403 with the sentence as it is', async (t) => {
  const { response } = encode(request, { kind: 'forbidden', reason: 'permission', warnings: ['w'], message: 'may not' })
  t.same(response, {
    uid: 'u-1',
    warnings: ['w'],
    auditAnnotations: { decision: 'permission', reasons: 'NotPermitted' },
    allowed: false,
    status: {
      code: 403,
      status: 'Failure',
      reason: 'Forbidden',
      message: 'may not',
      details: { kind: 'Pod', name: 'api' }
    }
  })
})

t.test('hostile amounts and texts stay small and printable', async (t) => {
  const many = Array.from({ length: 5000 }, (_, index) => violation(`v${index}`, 'bad'))
  const { response } = encode(request, invalid(many))
  t.equal(response.status?.details.causes?.length, 100)
  t.match(response.status?.message, /\n\* and 4900 more$/)
  const nasty = encode(request, invalid([violation(`\u001b[31m\u202ered\ud800${'x'.repeat(1000)}`, 'bad')]))
  const message = nasty.response.status?.message ?? ''
  t.match(message, /"\\u001b\[31m\\u202ered\\ud800x+\.\.\.": bad$/)
  t.ok(message.length < 250)
  const warnings = Array.from({ length: 50 }, (_, index) => `${index}${'w'.repeat(400)}`)
  const warned = encode(request, { ...ALLOWED, warnings: [...warnings, ...warnings] }).response.warnings ?? []
  t.equal(warned.at(-1), 'and 35 warnings more')
  t.ok(warned.every((warning) => warning.length <= 250))
  t.ok(warned.join('').length <= 4096)
})

t.test('what is put together by hand is what would be encoded', async (t) => {
  const add = { op: 'add' as const, path: '/metadata/finalizers', value: ['sg.amazonaws.com/revoke-rules'] }
  const groups = ['sg-0123abcd', 'sg-0123abce'] as SecurityGroupId[]
  const uses = groups.map((groupId) => ({ namespace: 'web', serviceAccount: 'api', groupId, field: 'f' }))
  const verdicts: Verdict[] = [
    ALLOWED,
    { ...ALLOWED, patch: [add] },
    { ...ALLOWED, patch: [add, { ...add, value: 'x' }], uses, rules: 3 },
    { ...ALLOWED, uses, rules: 3 },
    { ...ALLOWED, warnings: ['w'] },
    invalid([violation('v', 'bad')]),
    { kind: 'forbidden', reason: 'permission', warnings: [], message: 'may not' }
  ]
  for (const uid of ['u-1', '"', '\\', '\n\u2028', '\ud800', '</script>', 'żółć'])
    for (const verdict of verdicts) {
      const text = print({ ...request, uid }, verdict)
      t.same(JSON.parse(text), encode({ ...request, uid }, verdict))
      t.equal(Buffer.from(text).toString(), text, 'it survives UTF-8')
    }
})
