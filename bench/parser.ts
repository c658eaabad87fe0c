/** The grammar of the annotations against JSON.parse, which is native code. */
import { parseAnnotations } from '../shared/annotation.ts'
import type { Row, Section } from './table.ts'

export const parserBench: Section = {
  name: 'parser',
  about: 'reading annotations',
  run: () => Promise.resolve([measure()])
}

function measure(): Row {
  const items = Array.from({ length: 60 }, (_, index) => `tcp:${String(1000 + 7 * index)}-${String(1003 + 7 * index)}`)
  const value = items.join(',')
  const json = JSON.stringify(items)
  const annotations = { 'sg.amazonaws.com/sg-0123456789abcdef0': value }
  const ours = perCall(() => parseAnnotations(annotations).requests.length)
  const theirs = perCall(() => (JSON.parse(json) as string[]).length)
  return {
    measure: `annotation of 60 items (${value.length} bytes) against JSON.parse of the same items`,
    goal: '',
    value: `${ours.toFixed(1)} µs, ${(ours / theirs).toFixed(1)}x`
  }
}

/** Microseconds of one call, the best of five rounds. */
function perCall(run: () => number): number {
  const rounds = Array.from({ length: 5 }, () => {
    const startedAt = performance.now()
    let sum = 0
    for (let call = 0; call < 2000; call++) sum += run()
    return sum > 0 ? ((performance.now() - startedAt) * 1000) / 2000 : Infinity
  })
  return Math.min(...rounds)
}
