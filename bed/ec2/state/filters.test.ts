import { equal } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { compileFilters } from './filters.ts'

const matches = (pattern: string, value: string): boolean =>
  compileFilters<string>([{ name: 'v', values: [pattern] }], { v: (item) => [item] }, () => new Map())(value)

/** The slow truth: * any text, ? one character, \ takes the next character as it is. */
function naive(pattern: string, value: string): boolean {
  if (pattern === '') return value === ''
  const [first = '', rest] = [pattern[0], pattern.slice(1)]
  if (first === '*') return naive(rest, value) || (value !== '' && naive(pattern, value.slice(1)))
  if (first === '\\' && rest !== '') return value.startsWith(rest.charAt(0)) && naive(rest.slice(1), value.slice(1))
  return value !== '' && (first === '?' || first === value[0]) && naive(rest, value.slice(1))
}

t.test('wildcards match as the slow truth says', async () => {
  const text = (alphabet: string) => fc.string({ unit: fc.constantFrom(...alphabet.split('')), maxLength: 7 })
  fc.assert(
    fc.property(text('ab*?\\.+(['), text('ab*?\\.+(['), (pattern, value) => {
      equal(matches(pattern, value), naive(pattern, value))
    }),
    { numRuns: 1000 }
  )
})
