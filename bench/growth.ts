/** Whether reading annotations takes time in proportion to their length, whoever wrote them. */
import { parseAnnotations } from '../shared/annotation.ts'
import { quantileOf } from './table.ts'
import type { Row, Section } from './table.ts'

export const growthBench: Section = {
  name: 'growth',
  about: 'the longest inputs that are read, against those half and a quarter as long',
  run: ({ tell }) => Promise.resolve(measureAll(tell))
}

const KEY = 'sg.amazonaws.com/sg-0123456789abcdef0'
const value =
  (piece: string, end = '') =>
  (size: number): Record<string, string> => ({ [KEY]: piece.repeat(size).slice(0, size - end.length) + end })

/** What a regular expression or a list would be slow with, at a length in bytes of one value. */
const VALUES: Readonly<Record<string, (size: number) => Record<string, string>>> = {
  'legal items': value('tcp:443,', 'udp:53'),
  'wrong items': value('tpc:443,'),
  'empty items': value(','),
  blanks: value(' ', 'x'),
  'blanks in between': value('x' + ' '.repeat(100)),
  digits: value('1'),
  colons: value(':'),
  dashes: value('tcp:1-', '1'),
  'one long word': value('a'),
  'group ids': (size) => ({ 'sg.amazonaws.com': 'sg-0123abcd:tcp:1,'.repeat(size).slice(0, size) }),
  'wide characters': (size) => ({ [KEY]: '😀'.repeat(size / 4) })
}

/** At a number of keys, each with the longest value. */
const KEYS: Readonly<Record<string, (count: number) => Record<string, string>>> = {
  'keys of groups': (count) => keys(count, (index) => `sg-${index.toString(16).padStart(8, '0')}`),
  'keys of nothing': (count) => keys(count, (index) => `readiness-gat${'x'.repeat(index)}`)
}

const keys = (count: number, name: (index: number) => string): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`sg.amazonaws.com/${name(index)}`, 'tpc:1,'.repeat(682)])
  )

function measureAll(tell: (line: string) => void): Row[] {
  const measure = (what: string, sizes: readonly number[], make: (size: number) => Record<string, string>) => {
    tell(what)
    const times = quickest(sizes.map(make))
    return {
      what,
      last: times.at(-1) ?? NaN,
      growths: times.slice(1).map((time, index) => time / (times[index] ?? NaN))
    }
  }
  const grown = [
    ...Object.entries(VALUES).map(([what, make]) => measure(what, [1024, 2048, 4096], make)),
    ...Object.entries(KEYS).map(([what, make]) => measure(what, [25, 50, 100], make))
  ]
  const worst = grown.toSorted((one, other) => Math.max(...other.growths) - Math.max(...one.growths))[0]
  const slowest = grown.toSorted((one, other) => other.last - one.last)[0]
  return [
    {
      measure: `annotations twice as long or as many, of ${grown.length} hostile kinds the worst: times the time`,
      goal: '< 3',
      value: `${Math.max(...(worst?.growths ?? [])).toFixed(1)} (${worst?.what ?? ''})`
    },
    {
      measure: 'the slowest of them at its longest',
      goal: '',
      value: `${((slowest?.last ?? NaN) / 1000).toFixed(2)} ms (${slowest?.what ?? ''})`
    }
  ]
}

/** Microseconds of a reading of each: of many rounds, in each of which all have their turn, the quickest. */
function quickest(inputs: readonly Readonly<Record<string, string>>[]): number[] {
  const rounds = Array.from({ length: 60 }, () => inputs.map(microseconds))
  return inputs.map((_, index) =>
    quantileOf(
      rounds.map((round) => round[index] ?? NaN),
      0
    )
  )
}

function microseconds(annotations: Readonly<Record<string, string>>): number {
  const startedAt = performance.now()
  let calls = 0
  do {
    parseAnnotations(annotations)
    calls++
  } while (performance.now() - startedAt < 2)
  return ((performance.now() - startedAt) * 1000) / calls
}
