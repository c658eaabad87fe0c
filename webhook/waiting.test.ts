import t from 'tap'
import { boundWaiting } from './waiting.ts'

const limits = { most: 3, together: 100 }

t.test('so many wait and no more, until one leaves', async (t) => {
  const waiting = boundWaiting(limits)
  for (let count = 0; count < 3; count++) t.equal(waiting.enter(1), true)
  t.equal(waiting.enter(1), false)
  waiting.leave(1)
  t.equal(waiting.enter(1), true)
  t.equal(waiting.enter(1), false)
})

t.test('large ones take the room of many, and who was refused takes none', async (t) => {
  const waiting = boundWaiting(limits)
  t.equal(waiting.enter(60), true)
  t.equal(waiting.enter(41), false)
  t.equal(waiting.enter(40), true)
  t.equal(waiting.enter(1), false)
  waiting.leave(60)
  t.equal(waiting.enter(60), true)
})
