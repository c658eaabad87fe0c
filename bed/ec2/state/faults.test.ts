import t from 'tap'
import type { Fault } from './faults.ts'
import { createFaults } from './faults.ts'

const fault = (fields: Partial<Fault>): Fault => ({
  action: '*',
  fault: 'throttle',
  times: undefined,
  seconds: undefined,
  staleSeconds: 0,
  effect: undefined,
  seed: undefined,
  ...fields
})

const draws = (fields: Partial<Fault>) => {
  const faults = createFaults()
  faults.add(fault(fields), 0)
  return Array.from({ length: 40 }, () => faults.take('DescribeVpcs', 0))
}

t.test('seconds end by the clock, times by the calls hit, whichever is first', async (t) => {
  const faults = createFaults()
  faults.add(fault({ seconds: 2, times: 2 }), 1000)
  t.ok(faults.take('A', 2999))
  t.strictSame(
    faults.list(2999).map(({ times }) => times),
    [1]
  )
  t.equal(faults.take('A', 3000), undefined)
  faults.add(fault({ times: 1 }), 3000)
  t.ok(faults.take('A', 4000))
  t.strictSame(faults.list(4000), [])
})

t.test('a seed draws what is left open, the same in every run, and nothing else', async (t) => {
  const effects = draws({ fault: 'internalError', seed: 7 }).map((hit) => hit?.effect)
  t.strictSame(new Set(effects), new Set(['before', 'after']))
  t.strictSame(
    draws({ fault: 'internalError', seed: 7 }).map((hit) => hit?.effect),
    effects
  )
  t.notSame(
    draws({ fault: 'internalError', seed: 8 }).map((hit) => hit?.effect),
    effects
  )
  t.ok(draws({ fault: 'internalError', seed: 7, effect: 'before' }).every((hit) => hit?.effect === 'before'))
  t.ok(
    draws({ fault: 'throttle', seed: 7 }).every((hit) => hit?.effect === 'before'),
    'every call is hit'
  )
  const ages = draws({ fault: 'stale', seed: 7, staleSeconds: 10 }).map((hit) => hit?.staleSeconds ?? NaN)
  t.ok(ages.every((age) => age >= 0 && age < 10))
  t.ok(new Set(ages).size > 30)
  t.ok(
    draws({ fault: 'stale', staleSeconds: 10 }).every((hit) => hit?.staleSeconds === 10),
    'without a seed: exactly'
  )
})

t.test('a fault on one group spares all others, and is cleared apart from them', async (t) => {
  const faults = createFaults()
  faults.add(fault({ groupId: 'sg-1' }), 0)
  faults.add(fault({ action: 'DescribeVpcs' }), 0)
  t.ok(faults.take('A', 0, ['sg-2', 'sg-1']))
  t.equal(faults.take('A', 0, ['sg-2']), undefined)
  t.equal(faults.take('A', 0), undefined)
  faults.clear('sg-1')
  t.equal(faults.take('A', 0, ['sg-1']), undefined)
  t.ok(faults.take('DescribeVpcs', 0))
  faults.clear()
  t.equal(faults.take('DescribeVpcs', 0), undefined)
})
