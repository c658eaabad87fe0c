import fc from 'fast-check'
import t from 'tap'
import { createSeriesBook, cutNote } from './eventsSeries.ts'
import type { Occurrence, Series, SeriesBook } from './eventsSeries.ts'

const occurrence = (over: Partial<Occurrence> = {}, uid = 'u'): Occurrence => ({
  pod: { namespace: 'n', name: 'p', uid },
  type: 'Normal',
  reason: 'RulesAuthorized',
  action: 'Authorize',
  note: 'done',
  ...over
})
const create = (capacity = 10): SeriesBook => {
  let names = 0
  return createSeriesBook({ capacity, window: 1000, name: (pod) => `${pod.name}.${String(names++)}` })
}
const counts = (book: SeriesBook): string[] =>
  [...book.untold()].map((series) => `${series.name} x${String(series.count)}`)
const only = (book: SeriesBook): Series => [...book.untold()][0]!

t.test('of a pod only its name is kept', async (t) => {
  const book = createSeriesBook({ capacity: 10, window: 100, name: () => 'event' })
  const pod = { namespace: 'web', name: 'a', uid: 'u', addresses: ['10.64.0.1'] }
  book.add({ ...occurrence(), pod }, 0)
  t.strictSame(
    [...book.untold()].map((series) => series.occurrence.pod),
    [{ namespace: 'web', name: 'a', uid: 'u' }]
  )
})

t.test('equal occurrences are one series; any difference makes another', async (t) => {
  const book = create()
  book.add(occurrence(), 0)
  book.add(occurrence(), 1)
  t.same(counts(book), ['p.0 x2'])
  const others = [
    occurrence({ type: 'Warning' }),
    occurrence({ reason: 'Other' }),
    occurrence({ action: 'Other' }),
    occurrence({ note: 'other' }),
    occurrence({}, 'another uid under the same name')
  ]
  for (const other of others) book.add(other, 2)
  t.equal(counts(book).length, 6)
})

t.test('what is told is remembered until the window has passed since the last occurrence', async (t) => {
  const book = create()
  book.add(occurrence(), 0)
  book.told(only(book), 1, 0)
  t.same(counts(book), [])
  book.add(occurrence(), 900)
  t.same(counts(book), ['p.0 x2'])
  book.told(only(book), 2, 0)
  book.add(occurrence(), 1899)
  t.same(counts(book), ['p.0 x3'])
  book.told(only(book), 3, 0)
  book.add(occurrence(), 2899)
  t.same(counts(book), ['p.1 x1'], 'a new Event')
})

t.test('an occurrence during the telling is told next time', async (t) => {
  const book = create()
  book.add(occurrence(), 0)
  const series = only(book)
  book.add(occurrence(), 1)
  book.told(series, 1, 77)
  t.same(counts(book), ['p.0 x2'])
  t.equal(only(book).dueAt, 77)
})

t.test('memory is bounded: the longest quiet goes, and is named if it was untold', async (t) => {
  const book = create(2)
  t.equal(book.add(occurrence({ note: 'a' }), 0), undefined)
  t.equal(book.add(occurrence({ note: 'b' }), 1), undefined)
  book.add(occurrence({ note: 'a' }), 2)
  t.equal(book.add(occurrence({ note: 'c' }), 3)?.occurrence.note, 'b')
  for (const series of [...book.untold()]) book.told(series, series.count, 0)
  t.equal(book.add(occurrence({ note: 'd' }), 4), undefined, 'told ones go silently')
})

t.test('a dropped series begins anew', async (t) => {
  const book = create()
  book.add(occurrence(), 0)
  book.drop(only(book))
  book.add(occurrence(), 1)
  t.same(counts(book), ['p.1 x1'])
})

t.test('a note is cut at 1024 bytes, never inside a character, and says so', async (t) => {
  t.equal(cutNote('x'.repeat(1024)), 'x'.repeat(1024))
  const property = fc.property(
    fc.string({ unit: 'grapheme', minLength: 0, maxLength: 10 }),
    fc.constantFrom('x', 'ü', '€', '😀'),
    fc.integer({ min: 1000, max: 1100 }),
    (start, unit, times) => {
      const note = start + unit.repeat(times)
      const cut = cutNote(note)
      const bytes = Buffer.byteLength(cut)
      if (Buffer.byteLength(note) <= 1024) return cut === note
      return bytes <= 1024 && bytes > 1020 && cut.endsWith(' ... (cut)') && note.startsWith(cut.slice(0, -10))
    }
  )
  fc.assert(property)
})
