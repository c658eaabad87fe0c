import t from 'tap'
import { findSurprises, readDifferences, runBoth } from './compare.ts'
import { summarizeRun } from './report.ts'
import { casesOf } from './suite.ts'
import { TOPICS } from './topics.ts'

const runs = await runBoth(process.env, (line) => t.comment(line))
const known = await readDifferences()

// In the outer run comments of a file are not shown; this is.
for (const [target, outcomes] of runs)
  console.error(`contract of EC2 on ${target}: ${summarizeRun(outcomes, 'differ')}`)

for (const [target, outcomes] of runs) {
  t.test(`every case on ${target}`, async (t) => {
    for (const { name, result } of outcomes) {
      // Not applicable is not passed: it is told, and counts for nothing.
      if (result.kind === 'not applicable') t.comment(`not applicable: ${name}: it lacks ${result.lacking.join(', ')}`)
      else {
        const expected = target === 'moto' && Object.hasOwn(known, name) ? known[name] : 'passed'
        t.equal(result.kind === 'passed' ? 'passed' : result.why, expected, name)
      }
    }
    t.equal(outcomes.length, casesOf(TOPICS).length)
  })
}

t.test('nothing differs from what is committed: known differences of moto, and the table in docs/ec2.md', async (t) => {
  t.strictSame(await findSurprises(runs), [], 'make contract-accept, and read the diff')
})

t.test('every case has a name of its own, and a documented one says where', async (t) => {
  const cases = casesOf(TOPICS)
  t.equal(new Set(cases.map(({ name }) => name)).size, cases.length)
  for (const { name, basis, sources } of cases) {
    if (basis === 'documented')
      t.ok(
        sources.some((source) => /^(https:\/\/docs\.aws\.amazon\.com\/|botocore model: )/.test(source)),
        name
      )
    for (const source of sources) t.match(source, /^(https:\/\/\S+|botocore model: \S+)$/)
  }
})
