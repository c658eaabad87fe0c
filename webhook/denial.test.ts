import t from 'tap'
import { decode } from './admissionReview.ts'
import { describeDenial } from './denial.ts'
import { pod, review, stamped } from './reviewFixture.ts'
import type { ReviewParts } from './reviewFixture.ts'
import { validate } from './validation.ts'

const A = 'sg.amazonaws.com/sg-0123abcd'

function describe(parts: ReviewParts): Readonly<Record<string, unknown>> {
  const request = decode(review(parts))
  const verdict = validate(request, { rulesPerGroup: 60 })
  if (verdict.kind === 'allowed') throw new Error('it was allowed')
  return describeDenial(request, verdict)
}

t.test('of whom, by whom and why', async (t) => {
  t.same(describe({ object: stamped({ annotations: { [A]: 'tcp:0' } }) }), {
    pod: { namespace: 'web', name: 'api' },
    operation: 'CREATE',
    resource: 'pods',
    user: 'jane',
    admissionUID: 'u-1',
    dryRun: false,
    decision: 'invalid',
    reasons: ['BadPorts'],
    messages: [
      `metadata.annotations[${A}]: Invalid value: "tcp:0": port must be a number from 1 to 65535 without leading zeros, a range such as '5000-5050', or '*' for all`
    ]
  })
  const template = { metadata: { annotations: { [A]: '' } } }
  t.match(describe({ object: { spec: { template } }, kind: 'Job', resource: 'jobs' }), {
    pod: undefined,
    object: { kind: 'Job', namespace: 'web', name: 'api' }
  })
  const unnamed = stamped({ annotations: { [A]: '' }, metadata: { name: undefined, generateName: 'api-' } })
  t.match(describe({ object: unnamed, name: '' }), { pod: { namespace: 'web', name: 'api-' } })
})

t.test('nothing else of the object', async (t) => {
  const secret = 'hunter2'
  const object = stamped({
    annotations: { [A]: 'tcp:0', 'example.com/token': secret },
    labels: { token: secret },
    spec: { containers: [{ name: 'c', image: 'x', env: [{ name: 'PASSWORD', value: secret }] }] }
  })
  t.notMatch(JSON.stringify(describe({ object })), secret)
  const unknown = stamped({ annotations: { 'sg.amazonaws.com/token': secret } })
  t.notMatch(JSON.stringify(describe({ object: unknown })), secret, 'nor what a key that is none of ours holds')
})

t.test('a hostile object writes no megabytes', async (t) => {
  const annotations = Object.fromEntries(
    Array.from({ length: 16 }, (_, index) => [`sg.amazonaws.com/sg-0000000${index.toString(16)}`, 'tpc,'.repeat(60)])
  )
  const line = describe({ object: pod({ annotations }) })
  t.equal((line.messages as string[]).length, 20)
  t.ok(JSON.stringify(line).length < 10_000)
})

t.test('nor do names of megabytes', async (t) => {
  const long = 'x'.repeat(1_000_000)
  const unnamed = stamped({ annotations: { [A]: 'tcp:0' }, metadata: { name: undefined, generateName: long } })
  const request = { ...decode(review({ object: unnamed, name: '' })), username: long }
  const verdict = { kind: 'forbidden', reason: 'subresource', warnings: [], message: long } as const
  t.ok(JSON.stringify(describeDenial(request, verdict)).length < 2000)
})
