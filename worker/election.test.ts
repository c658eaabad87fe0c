import t from 'tap'
import { claim, faultOfTiming, freeFrom, giveBack, sight, validUntil } from './election.ts'
import type { LeaseRecord } from './election.ts'

const timing = { leaseDuration: 10_000, renewDeadline: 7000, retryPeriod: 2000 }
const record: LeaseRecord = { holderIdentity: 'a', leaseDurationSeconds: 10, renewTime: 't1', leaseTransitions: 3 }

t.test('a lease runs out when its record has not changed for its duration, as seen here', async (t) => {
  const first = sight(undefined, record, 1000)
  t.equal(freeFrom(first, 'b'), 11_000)
  t.equal(freeFrom(sight(first, { ...record }, 5000), 'b'), 11_000, 'seen again, unchanged')
  t.equal(freeFrom(sight(first, { ...record, renewTime: 't2' }, 5000), 'b'), 15_000, 'renewed')
  t.equal(
    freeFrom(sight(first, { ...record, leaseDurationSeconds: 60 }, 5000), 'b'),
    65_000,
    "the holder's own duration"
  )
  t.equal(freeFrom(sight(first, { ...record, renewTime: 't0' }, 5000), 'b'), 15_000, 'its times are not compared')
})

t.test('who need not wait', async (t) => {
  t.equal(freeFrom(sight(undefined, undefined, 1000), 'b'), -Infinity, 'no lease')
  t.equal(freeFrom(sight(undefined, record, 1000), 'a'), -Infinity, 'it is ours: a reply was lost')
  const given = giveBack(record, 't9')
  t.same(given, { ...record, holderIdentity: '', leaseDurationSeconds: 1, acquireTime: 't9', renewTime: 't9' })
  t.equal(freeFrom(sight(undefined, given, 1000), 'b'), -Infinity, 'given back')
})

t.test('deleting the object hands nothing on while the holder may work', async (t) => {
  const seen = sight(undefined, record, 1000)
  t.equal(freeFrom(sight(seen, undefined, 5000), 'b'), 11_000)
})

t.test('what is written', async (t) => {
  const taken = { holderIdentity: 'b', leaseDurationSeconds: 10, acquireTime: 'now', renewTime: 'now' }
  t.same(claim(undefined, 'b', timing, 'now'), { ...taken, leaseTransitions: 0 })
  t.same(claim(record, 'b', timing, 'now'), { ...taken, leaseTransitions: 4 })
  t.same(claim({ ...record, acquireTime: 't0' }, 'a', timing, 'now'), {
    ...taken,
    holderIdentity: 'a',
    acquireTime: 't0',
    leaseTransitions: 3
  })
  t.equal(
    claim(undefined, 'b', { ...timing, leaseDuration: 1500 }, 'now').leaseDurationSeconds,
    2,
    'others never wait less than we count on'
  )
})

t.test('the holder stops before others may start, and renewals fit in', async (t) => {
  const until = validUntil(500, timing)
  t.ok(until > 500 + timing.renewDeadline && until < 500 + timing.leaseDuration)
  t.equal(faultOfTiming(timing), undefined)
  t.match(faultOfTiming({ ...timing, renewDeadline: 9900 }), /renew deadline must be shorter/)
  t.match(faultOfTiming({ ...timing, retryPeriod: 6000 }), /retry period must be shorter/)
  t.match(faultOfTiming({ ...timing, retryPeriod: 0 }), /more than nothing/)
})
