import { deepEqual } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { EC2Error } from '../state/error.ts'
import { createParameters } from './parameters.ts'
import { parseQuery } from './query.ts'

const read = (query: string) => createParameters(parseQuery(Buffer.from(query)))

t.test('lists come in the order of their numbers, structures within them', async (t) => {
  const parameters = read('A.10.X=c&A.2.X=b&A.1.X=a&A.1.Y.1=p&A.1.Y.2=q&B.3=z&B.1=y&Empty=')
  t.strictSame(
    parameters.structures('A').map((item) => item.text('X')),
    ['a', 'b', 'c']
  )
  t.strictSame(parameters.structures('A')[0]?.texts('Y'), ['p', 'q'])
  t.strictSame(parameters.texts('B'), ['y', 'z'])
  t.strictSame(parameters.texts('Empty'), [])
  t.strictSame(parameters.structures('Missing'), [])
  t.equal(parameters.unread(), undefined)
})

t.test('what nobody read is named in full', async (t) => {
  const parameters = read('A.1.X=a&A.1.Z=b')
  parameters.structures('A')[0]?.text('X')
  t.equal(parameters.unread(), 'A.1.Z')
})

t.test('numbers and booleans', async (t) => {
  const parameters = read('a=-1&b=2147483647&c=2147483648&d=1.5&e=&f=TRUE&g=yes')
  t.equal(parameters.integer('a'), -1)
  t.equal(parameters.integer('b'), 2147483647)
  for (const name of ['c', 'd', 'e']) t.throws(() => parameters.integer(name), { code: 'InvalidParameterValue' }, name)
  t.equal(parameters.integer('none'), undefined)
  t.equal(parameters.boolean('f'), true)
  t.equal(parameters.boolean('none'), false)
  t.throws(() => parameters.boolean('g'), { code: 'InvalidParameterValue' })
  t.throws(() => parameters.required('e'), { code: 'MissingParameter', message: /parameter e$/ })
})

t.test('what URLSearchParams writes is read back', async () => {
  const xmlText = fc.string({ unit: 'grapheme' }).filter((text) => !/[\p{Cc}\ufffe\uffff]/u.test(text))
  fc.assert(
    fc.property(fc.dictionary(fc.stringMatching(/^[A-Za-z0-9]{1,8}$/), xmlText), (pairs) => {
      const parsed = parseQuery(Buffer.from(new URLSearchParams(pairs).toString()))
      deepEqual([...parsed], Object.entries(pairs))
    })
  )
})

t.test("any bytes are parsed, or refused with an error of EC2's", async () => {
  const byte = fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...Buffer.from('&=%.1')))
  fc.assert(
    fc.property(fc.array(byte, { maxLength: 200 }), (bytes) => {
      try {
        const parameters = createParameters(parseQuery(Uint8Array.from(bytes)))
        parameters.structures('1')
        parameters.unread()
      } catch (error) {
        if (!(error instanceof EC2Error)) throw error
      }
    }),
    { numRuns: 500 }
  )
})
