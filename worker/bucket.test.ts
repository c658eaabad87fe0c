import fc from 'fast-check'
import t from 'tap'
import { createBucket } from './bucket.ts'

const limits = fc.record({ burst: fc.integer({ min: 1, max: 50 }), perSecond: fc.constantFrom(0.5, 1, 4, 15, 20) })
/** Milliseconds between one call and the next. */
const pauses = fc.array(
  fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 50 }), fc.integer({ min: 0, max: 20_000 })),
  {
    maxLength: 120
  }
)

/** When each caller's turn comes. */
function turnsOf(limit: { burst: number; perSecond: number }, between: readonly number[]): number[] {
  const bucket = createBucket(limit)
  let now = 1_000_000
  return between.map((pause) => (now += pause) + bucket.take(now))
}

t.test('never more than burst + rate * time, in any span', async (t) => {
  fc.assert(
    fc.property(limits, pauses, (limit, between) => {
      const turns = turnsOf(limit, between)
      turns.forEach((first, index) => {
        turns.slice(index).forEach((last, further) => {
          // Turns are rounded up to whole milliseconds, the first more than the last perhaps; and a hair for adding up fractions.
          const allowed = limit.burst + ((last - first + 1) / 1000) * limit.perSecond + 1e-6
          if (further + 1 > allowed) throw new Error(`${String(further + 1)} within ${String(last - first)} ms`)
        })
      })
    })
  )
  t.pass()
})

t.test('first come, first served', async (t) => {
  fc.assert(
    fc.property(limits, pauses, (limit, between) => {
      const turns = turnsOf(limit, between)
      return turns.every((turn, index) => turn >= (turns[index - 1] ?? 0))
    })
  )
  t.pass()
})

t.test('nobody waits longer than the tokens before him take to come', async (t) => {
  fc.assert(
    fc.property(limits, pauses, (limit, between) => {
      const bucket = createBucket(limit)
      let now = 0
      let came = 0
      return between.every((pause) => {
        now += pause
        came += 1
        return bucket.take(now) <= Math.max(0, ((came - limit.burst) / limit.perSecond) * 1000) + 1
      })
    })
  )
  t.pass()
})

t.test('500 groups that waited for an outage to end come back at the pace of the bucket', async (t) => {
  const turns = turnsOf(
    { burst: 40, perSecond: 4 },
    Array.from({ length: 500 }, () => 0)
  )
  const start = turns[0] ?? 0
  const within = (seconds: number): number => turns.filter((turn) => turn <= start + seconds * 1000).length
  t.same([within(0), within(1), within(10), within(60), within(115)], [40, 44, 80, 280, 500])
})
