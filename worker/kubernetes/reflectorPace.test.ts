import t from 'tap'
import { createPace } from './reflectorPace.ts'

const slow = (): ReturnType<typeof createPace> => createPace({ backoffFirst: 100, backoffMost: 1000, random: () => 1 })

t.test('waits double up to a bound; progress forgives', async (t) => {
  const pace = slow()
  const waits = [1, 2, 3, 4, 5, 6].map(() => pace.failed('silence').wait)
  t.same(waits, [100, 200, 400, 800, 1000, 1000])
  pace.progress()
  t.equal(pace.failed('silence').wait, 100)
  const quick = createPace({ backoffFirst: 100, backoffMost: 1000, random: () => 0 })
  t.equal(quick.failed('silence').wait, 50, 'never less than half')
})

t.test('a connection that held for long starts again; a short one does not', async (t) => {
  const pace = slow()
  pace.failed('silence')
  pace.held(999)
  t.equal(pace.failed('silence').wait, 200)
  pace.held(1000)
  t.equal(pace.failed('silence').wait, 100)
})

t.test('a second refusal asks for a list, silence never does, too old does at once', async (t) => {
  const pace = slow()
  t.notOk(pace.failed('refusal').relist)
  t.notOk(pace.failed('silence').relist)
  t.ok(pace.failed('refusal').relist)
  pace.listed()
  t.notOk(pace.failed('refusal').relist, 'the list has answered those before it')
  pace.progress()
  t.notOk(pace.failed('refusal').relist)
  pace.progress()
  t.same(pace.failed('expired'), { wait: 0, relist: true })
  t.same(pace.failed('expired'), { wait: 200, relist: true }, 'but not in a loop')
})
