import fc from 'fast-check'
import t from 'tap'
import { BUDGET, createBudget } from './eventsBudget.ts'

t.test('a pod gets its burst, then one for each refill; others have their own', async (t) => {
  const take = createBudget({ burst: 2, refill: 100, pods: 10 })
  t.same([take('a', 0), take('a', 1), take('a', 2), take('b', 2)], [true, true, false, true])
  t.same([take('a', 99), take('a', 101), take('a', 102), take('a', 201)], [false, true, false, true])
  t.same([take('a', 1e6), take('a', 1e6), take('a', 1e6)], [true, true, false], 'a long pause saves up no more')
})

t.test('never more than burst and refills, in any order of pods and times', async () => {
  const step = fc.record({ uid: fc.constantFrom('a', 'b', 'c'), wait: fc.integer({ min: -50, max: 300 }) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const take = createBudget({ burst: 3, refill: 100, pods: 10 })
      const taken = new Map<string, number>()
      let [now, passed] = [1000, 0]
      for (const { uid, wait } of steps) {
        now += wait
        passed += Math.max(0, wait)
        if (take(uid, now)) taken.set(uid, (taken.get(uid) ?? 0) + 1)
      }
      return [...taken.values()].every((count) => count <= 3 + passed / 100)
    })
  )
})

t.test('it remembers so many pods, and forgets the longest unused', async (t) => {
  const take = createBudget({ burst: 1, refill: 1e9, pods: 2 })
  t.same([take('a', 0), take('b', 1), take('a', 2), take('c', 3)], [true, true, false, true])
  t.same([take('a', 4), take('b', 5)], [false, true], 'b was forgotten')
  t.same(BUDGET, { burst: 25, refill: 300_000, pods: 4096 })
})
