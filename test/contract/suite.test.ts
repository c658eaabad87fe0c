import t from 'tap'
import type { Case, Subject } from './case.ts'
import { Difference } from './case.ts'
import { renewDocument, renderText, summarizeRun } from './report.ts'
import type { Outcome, Target } from './suite.ts'
import { count, runSuite, unexpected } from './suite.ts'
import { readSettled } from './targets/settled.ts'

const target: Target = {
  name: 'nothing',
  capabilities: new Set(['a default VPC']),
  withSubject: (run) => run({} as Subject)
}
const make = (name: string, run: Case['run'], needs: Case['needs'] = []): Case => ({
  name,
  basis: 'undocumented',
  sources: [],
  needs,
  run
})
const cases = [
  make('good', () => Promise.resolve(), ['a default VPC']),
  make('other', () => Promise.reject(new Difference('sg-0123456789abcdef0 | is there')), []),
  make('broken', () => Promise.reject(Object.assign(new TypeError('no such thing\nat'), {})), []),
  make('elsewhere', () => Promise.reject(new Error('it was run')), ['a default VPC', 'faults', 'policies'])
]

t.test('a case passes, fails with a reason that does not change from run to run, or is not applicable', async (t) => {
  const outcomes = await runSuite(target, cases)
  t.strictSame(outcomes, [
    { name: 'good', result: { kind: 'passed' } },
    { name: 'other', result: { kind: 'failed', why: 'sg-… | is there' } },
    { name: 'broken', result: { kind: 'failed', why: 'TypeError: no such thing' } },
    { name: 'elsewhere', result: { kind: 'not applicable', lacking: ['faults', 'policies'] } }
  ])
  t.strictSame(count(outcomes), { passed: 1, failed: 2, notApplicable: 1 })
  t.equal(summarizeRun(outcomes), '1 passed, 2 failed, 1 not applicable')
})

t.test('a difference that is new, changed, gone, or of no case is told', async (t) => {
  const outcomes = await runSuite(target, cases)
  const known = { other: 'sg-… | is there', broken: 'TypeError: no such thing' }
  t.strictSame(unexpected(outcomes, known), [])
  t.strictSame(unexpected(outcomes, { ...known, other: 'as it was' }), [
    'other: sg-… | is there (but it is known for: as it was)'
  ])
  t.strictSame(unexpected(outcomes, { other: known.other }), ['broken: TypeError: no such thing'])
  t.strictSame(unexpected(outcomes, { ...known, good: 'bad', elsewhere: 'bad', nobody: 'bad' }), [
    'good: a known difference is gone; it passed',
    'elsewhere: a known difference is gone; it is not applicable',
    'nobody: a known difference of a case that there is not'
  ])
})

t.test('when it is stopped, the case that runs tells nothing and no other begins', async (t) => {
  const stop = new AbortController()
  const begun: string[] = []
  const stopping = ['one', 'two', 'three'].map((name) =>
    make(name, () => {
      begun.push(name)
      if (name === 'two') stop.abort()
      return Promise.resolve()
    })
  )
  const outcomes = await runSuite(target, stopping, { until: stop.signal })
  t.strictSame([begun, outcomes.map(({ name }) => name)], [['one', 'two'], ['one']])
})

t.test('the report: a column for each target, what differs, and a document renewed in place', async (t) => {
  const outcomes = await runSuite(target, cases)
  const runs = new Map<string, readonly Outcome[]>([
    ['first', outcomes],
    ['second', []]
  ])
  const text = renderText([{ title: 'Topic', cases }], runs)
  t.match(
    text,
    /first {11}second {10}Topic\npassed {10}not run {9}good\ndiffers {9}not run {9}other\n {34}first: sg-… \| is there/
  )
  t.match(text, 'first: it lacks faults, policies')
  const page =
    'before\n<!-- written by `make contract-accept` -->\nformer text\n<!-- end of what is written by `make contract-accept` -->\nafter\n'
  const renewed = renewDocument(page, [{ title: 'Topic', cases }], runs)
  t.match(renewed, /^before\n[^]*\| other \| undocumented \| differs: sg-… \\\| is there \| not run \|\n[^]*\nafter\n$/)
  t.notMatch(renewed, 'former text')
  t.equal(renewDocument(renewed, [{ title: 'Topic', cases }], runs), renewed)
  t.throws(() => renewDocument('', [], runs), { message: /has no part between/ })
})

t.test('a read that lags is repeated until it shows the change, or made late when there must be none', async (t) => {
  let reads = 0
  let time = 0
  const clock = { now: () => time, wait: (duration: number) => Promise.resolve((time += duration)) }
  const read = () => Promise.resolve(++reads)
  t.equal(await readSettled(0, read, (n) => n > 5, clock), 1)
  t.equal(time, 0, 'at once')
  t.equal(await readSettled(10, read, (n) => n > 3, clock), 4)
  t.equal(time, 20)
  t.equal(await readSettled(10, read, undefined, clock), 5)
  t.equal(time, 30, 'a lag later')
  t.equal(await readSettled(10, read, () => false, clock), 10, 'it ends')
  t.equal(time, 70, 'after four lags')
})
