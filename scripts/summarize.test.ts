import t from 'tap'
import { createFilter, summarize } from './summarize.ts'

t.test('counts what passed', async (t) => {
  t.same(summarize('x\n# { total: 15, pass: 15 }\n', 0), { line: '15 passed, 0 failed', exitCode: 0 })
})
t.test('a skipped or todo test is not green', async (t) => {
  const { line, exitCode } = summarize('# { total: 20, pass: 15, fail: 1, todo: 1, skip: 3 }\n', 1)
  t.same({ line, exitCode }, { line: '15 passed, 5 failed', exitCode: 1 })
  t.equal(summarize('# { total: 2, pass: 1, skip: 1 }\n', 0).exitCode, 1)
})
t.test('takes the last closing line, coloured or not', async (t) => {
  t.equal(
    summarize('# { total: 1, pass: 1 }\n\u001b[1m# { total: 2, pass: 2 }\u001b[0m\n', 0).line,
    '2 passed, 0 failed'
  )
})
t.test('an exit code without a failed assertion is a failure all the same', async (t) => {
  t.equal(summarize('# { total: 2, pass: 2 }\n', 1).line, '2 passed, 1 failed')
  t.equal(summarize('', 0).exitCode, 1)
})

t.test('prints a line for each file, and failures with their details', async (t) => {
  const tap = [
    'TAP version 14',
    'ok 1 - a.test.ts # time=12ms {',
    '    ok 1 - fine',
    '}',
    'not ok 2 - b.test.ts # time=9ms {',
    '    ok 1 - fine too',
    '    not ok 2 - should be equal',
    '      ---',
    '      diff: |',
    '        -1',
    '      ...',
    '    1..2',
    '}'
  ]
  t.same(
    tap.filter(createFilter()),
    [1, 4, 6, 7, 8, 9, 10].map((index) => tap[index])
  )
})
