import t from 'tap'
import { createSharing } from './sharing.ts'

t.test('what is alike is one thing, what differs in any part is not', async (t) => {
  const { of } = createSharing()
  let made = 0
  const make = (): { n: number } => ({ n: ++made })
  const first = of('a', ['x', 'y'], make)
  t.equal(of('a', ['x', 'y'], make), first)
  for (const other of [of('b', ['x', 'y'], make), of('a', ['xy'], make), of('a', ['x,y'], make), of('a', ['x'], make)])
    t.not(other, first)
  t.equal(made, 5)
})

t.test('it never holds more than it may, and nothing that is long', async (t) => {
  const { of } = createSharing(2)
  let made = 0
  const make = (): { n: number } => ({ n: ++made })
  const first = of('a', ['1'], make)
  of('a', ['2'], make)
  t.equal(of('a', ['1'], make), first)
  of('a', ['3'], make)
  t.not(of('a', ['1'], make), first, 'forgotten with all others')
  const long = 'x'.repeat(2000)
  t.not(of('a', [long], make), of('a', [long], make))
})

t.test('texts stay what they are', async (t) => {
  const { text } = createSharing(1)
  for (const each of ['', 'a', 'b', 'a', 'x'.repeat(2000)]) t.equal(text(each), each)
})
