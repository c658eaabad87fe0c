import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import { LONGEST_DECLARATION, MOST_DECLARATIONS, rememberDeclarations } from './declarations.ts'

const KEY = 'sg.amazonaws.com/sg-0123abcd'
const asking = (value: string) => ({ [KEY]: value })

t.test('what was asked for before is not read again', async (t) => {
  const declare = rememberDeclarations()
  const first = declare({ ...asking('tcp:443'), 'example.com/of-this-pod': 'one' })
  t.same(first, parseAnnotations(asking('tcp:443')))
  t.equal(declare({ ...asking('tcp:443'), 'example.com/of-this-pod': 'two' }), first)
  t.not(declare(asking('tcp:444')), first)
})

t.test('faults and long texts are read anew, and nothing is kept of them', async (t) => {
  const declare = rememberDeclarations()
  const long = asking(`tcp:443${' '.repeat(LONGEST_DECLARATION)}`)
  for (const annotations of [asking('tpc:443'), long]) {
    t.same(declare(annotations), parseAnnotations(annotations))
    t.not(declare(annotations), declare(annotations))
  }
})

t.test('the oldest are forgotten', async (t) => {
  const declare = rememberDeclarations()
  const first = declare(asking('tcp:1'))
  for (let port = 2; port <= MOST_DECLARATIONS; port++) declare(asking(`tcp:${port}`))
  t.equal(declare(asking('tcp:1')), first)
  declare(asking('tcp:1000'))
  t.not(declare(asking('tcp:1')), first)
  t.same(declare(asking('tcp:1')), first)
})

t.test('no two annotations are taken for each other', async (t) => {
  const piece = fc.constantFrom(
    'sg-0123abcd',
    'sg-4567cdef',
    'readiness-gate',
    '7,7:',
    'tcp:443',
    'true',
    ',',
    ':',
    '1'
  )
  const text = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join(''))
  const annotations = fc.dictionary(
    text.map((name) => `sg.amazonaws.com/${name}`),
    text,
    { maxKeys: 3 }
  )
  const declare = rememberDeclarations()
  fc.assert(
    fc.property(annotations, (some) => isDeepStrictEqual(declare(some), parseAnnotations(some))),
    { numRuns: 5000 }
  )
  t.pass('5000 that are alike')
})
