import fc from 'fast-check'
import t from 'tap'
import { createLineCutter } from './reflectorLines.ts'

const line = fc.string({ unit: 'grapheme' }).filter((text) => !text.includes('\n') && text.trim() !== '')

t.test('wherever the chunks break, the same lines come out', async () => {
  const property = fc.property(
    fc.array(line),
    line.map((text) => text.slice(0, 5)),
    fc.infiniteStream(fc.integer({ min: 1, max: 7 })),
    (lines, unfinished, sizes) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join('') + unfinished)
      const cutter = createLineCutter(10_000)
      const seen: string[] = []
      let at = 0
      for (const size of sizes) {
        if (at >= bytes.length) break
        seen.push(...cutter.push(bytes.subarray(at, at + size)))
        at += size
      }
      return JSON.stringify(seen) === JSON.stringify(lines)
    }
  )
  fc.assert(property, { numRuns: 300 })
})

t.test('empty lines say nothing; a line without end is refused', async (t) => {
  t.same(createLineCutter(3).push(Buffer.from('\n\r\nab\n\nabc\n')), ['ab', 'abc'])
  const cutter = createLineCutter(3)
  t.same(cutter.push(Buffer.from('ab')), [])
  t.throws(() => cutter.push(Buffer.from('cd')), /longer than 3 bytes/)
})
