import t from 'tap'
import { createBrake } from './brake.ts'
import { GROUP, OTHER_GROUP } from './podFixture.ts'

t.test('a few may go, and a small share of many', async (t) => {
  t.equal(createBrake().mayWithdraw(GROUP, 20, 20, 0), true)
  t.equal(createBrake().mayWithdraw(GROUP, 100, 1000, 0), true)
})
t.test('more than 20 and more than a quarter may not, over all groups together', async (t) => {
  const brake = createBrake()
  t.equal(brake.mayWithdraw(GROUP, 15, 40, 0), true)
  t.equal(brake.mayWithdraw(OTHER_GROUP, 15, 40, 0), false)
  t.equal(brake.engaged(), true)
  brake.takeBack(OTHER_GROUP)
  t.equal(brake.mayWithdraw(GROUP, 15, 40, 0), true, 'once the mistake is mended it lets go')
  t.equal(brake.engaged(), false)
})
t.test('many small steps are one large one, for ten minutes', async (t) => {
  const brake = createBrake()
  for (const now of [0, 1000]) {
    t.equal(brake.mayWithdraw(GROUP, 10, 40, now), true)
    brake.withdrawn(10, now)
    brake.takeBack(GROUP)
  }
  t.equal(brake.mayWithdraw(GROUP, 10, 20, 2000), false)
  t.equal(brake.mayWithdraw(GROUP, 5, 20, 700_000), true)
})
