import t from 'tap'
import { auditAnnotations } from './audit.ts'
import { decode } from './admissionReview.ts'
import { mutate } from './mutation.ts'
import { withPermission } from './permission.ts'
import { pod, review, stamped } from './reviewFixture.ts'
import type { ReviewParts } from './reviewFixture.ts'
import { validate } from './validation.ts'

const A = 'sg.amazonaws.com/sg-0123abcd'
const B = 'sg.amazonaws.com/sg-0123abce'
const audit = (parts: ReviewParts) => auditAnnotations(validate(decode(review(parts)), { rulesPerGroup: 60 }))

t.test('an allowed request: which groups are opened, to how many rules', async (t) => {
  t.same(audit({ object: stamped({ annotations: { [B]: 'tcp:1,tcp:3', [A]: 'all' } }) }), {
    decision: 'allowed',
    'security-groups': 'sg-0123abcd,sg-0123abce',
    rules: '3'
  })
  t.same(audit({ object: stamped(), oldObject: stamped({ annotations: { [A]: 'all' } }) }), { decision: 'allowed' })
  t.same(auditAnnotations(mutate(decode(review({ object: pod({ annotations: { [A]: 'all' } }) })))), {
    decision: 'patched'
  })
})

t.test('what nobody permitted is told where that only warns', async (t) => {
  const verdict = validate(decode(review({ object: stamped({ annotations: { [A]: 'all', [B]: 'all' } }) })), {
    rulesPerGroup: 60
  })
  const permissions = { permits: (use: { groupId: string }) => Promise.resolve(use.groupId === 'sg-0123abcd') }
  t.same(auditAnnotations(await withPermission(verdict, permissions, 'warn', new AbortController().signal)), {
    decision: 'allowed',
    'security-groups': 'sg-0123abcd,sg-0123abce',
    rules: '2',
    unpermitted: 'sg-0123abce'
  })
})

t.test('a denied request: every kind of mistake once', async (t) => {
  t.same(audit({ object: stamped({ annotations: { [A]: 'tpc:1,tpc:2,tcp:0' } }) }), {
    decision: 'invalid',
    reasons: 'BadPorts,BadProtocol'
  })
  t.same(audit({ object: stamped({ annotations: { [A]: 'all' } }), oldObject: pod(), subResource: 'status' }), {
    decision: 'subresource',
    reasons: 'ThroughSubresource'
  })
})
