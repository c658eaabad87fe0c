import { once } from 'node:events'
import { PassThrough } from 'node:stream'
import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { createBodyReader } from './body.ts'
import type { BodyReader, Refusal } from './body.ts'

const limits = { most: 1000, small: 100, together: 1500 }

/** A request whose pieces come as they are written, and what became of its body. */
function begin(reader: BodyReader) {
  const stream = new PassThrough()
  const told: (string | Refusal)[] = []
  reader.read(
    stream as unknown as IncomingMessage,
    (text) => told.push(text),
    (refusal) => told.push(refusal),
    () => told.push('gone')
  )
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  return {
    stream,
    told,
    async write(...pieces: (string | Buffer)[]) {
      for (const piece of pieces) {
        stream.write(piece)
        await settle()
      }
    },
    async end() {
      stream.end()
      await once(stream, 'close')
    },
    async breakOff() {
      stream.destroy(new Error('aborted'))
      await settle()
    }
  }
}

t.test('a body is the same in one piece and in many, and a character may be cut', async (t) => {
  const bytes = Buffer.from('{"name":"żółć 😀"}')
  for (const pieces of [
    [bytes],
    [...bytes].map((byte) => Buffer.of(byte)),
    [bytes.subarray(0, 10), bytes.subarray(10)]
  ]) {
    const request = begin(createBodyReader(limits))
    await request.write(...pieces)
    t.same(request.told, [], 'nothing is told before the end')
    await request.end()
    t.same(request.told, [bytes.toString()])
  }
  const empty = begin(createBodyReader(limits))
  await empty.end()
  t.same(empty.told, [''])
})

t.test('thousands of pieces are put together on the way, and stay in order', async (t) => {
  const request = begin(createBodyReader({ ...limits, most: 100_000, together: 100_000 }))
  const digits = Array.from({ length: 5000 }, (_, index) => String(index % 10))
  for (const digit of digits) request.stream.write(digit)
  await request.end()
  t.same(request.told, [digits.join('')])
})

t.test('a body of the limit is read, and one of a byte more refused once, and read to its end', async (t) => {
  const whole = begin(createBodyReader(limits))
  await whole.write('x'.repeat(999), 'y')
  await whole.end()
  t.same(whole.told, [`${'x'.repeat(999)}y`])
  const larger = begin(createBodyReader(limits))
  await larger.write('x'.repeat(1000), 'y')
  t.match(larger.told, [{ code: 413, message: /^the review is larger than / }])
  await larger.write('z'.repeat(100_000))
  await larger.end()
  t.equal(larger.told.length, 1)
  t.equal(larger.stream.readableEnded, true)
})

t.test('what follows on a refusal without end is cut', async (t) => {
  const request = begin(createBodyReader(limits))
  const piece = Buffer.alloc(2 ** 20)
  for (let sent = 0; sent < 40 && !request.stream.destroyed; sent++) await request.write(piece)
  t.equal(request.stream.destroyed, true)
  t.match(request.told, [{ code: 413 }])
})

t.test('larger bodies are bounded together, small ones never refused, and what ends makes room', async (t) => {
  const reader = createBodyReader(limits)
  const [first, second, third] = [begin(reader), begin(reader), begin(reader)]
  await first.write('x'.repeat(800))
  await second.write('x'.repeat(700))
  await third.write('x'.repeat(101))
  t.match(third.told, [{ code: 429, message: /try again/ }])
  const small = begin(reader)
  await small.write('x'.repeat(100))
  await small.end()
  t.equal(small.told.length, 1)
  t.type(small.told[0], 'string')
  await first.breakOff()
  t.same(first.told, ['gone'])
  await second.end()
  t.match(second.told, [/^x{700}$/])
  const again = [begin(reader), begin(reader)]
  for (const request of again) await request.write('x'.repeat(750))
  for (const request of again) await request.end()
  t.match(
    again.map(({ told }) => told),
    [[/^x{750}$/], [/^x{750}$/]]
  )
})
