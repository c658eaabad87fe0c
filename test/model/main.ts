/** Runs histories and tells how it went, as JSON: outside of the test runner, whose hooks on promises cost more than the histories. */
import fc from 'fast-check'
import { edits, history } from './draw.ts'
import { live } from './history.ts'
import type { History } from './history.ts'
import type { Invariant, Wrong } from './invariants.ts'
import { minimize } from './minimize.ts'

/** What one process has to tell. */
export interface Report {
  readonly seed: number
  readonly runs: number
  readonly seconds: number
  readonly lengths: readonly number[]
  readonly deeds: Readonly<Record<string, number>>
  readonly failure?: { readonly wrongs: readonly Wrong[]; readonly history: History }
}

/**
 * @param only look for this one, and do not shorten the history; undefined: for all
 * @param drawn which histories
 */
async function check(
  seed: number,
  numRuns: number,
  only: Invariant | undefined,
  drawn: fc.Arbitrary<History>
): Promise<Report> {
  const lengths: number[] = []
  const deeds: Record<string, number> = {}
  const property = fc.asyncProperty(drawn, async (history) => {
    const told = await live(history)
    lengths.push(told.length)
    for (const [deed, count] of told.deeds) deeds[deed] = (deeds[deed] ?? 0) + count
    return !told.wrongs.some(({ invariant }) => only === undefined || invariant === only)
  })
  const result = await fc.check(property, { seed, numRuns, endOnFailure: true })
  const [found] = result.counterexample ?? []
  const failure = found === undefined ? undefined : { history: found, wrongs: (await live(found)).wrongs }
  const smallest =
    failure !== undefined && only === undefined ? await minimize(failure.history, failure.wrongs) : failure
  const { user, system } = process.cpuUsage()
  const report = { seed, runs: result.numRuns, seconds: (user + system) / 1e6, lengths, deeds }
  return smallest === undefined ? report : { ...report, failure: smallest }
}

const { HISTORY } = process.env
if (HISTORY !== undefined) {
  const told = await live(JSON.parse(HISTORY) as History, process.env.LOG_LEVEL)
  console.log(told.wrongs.map(({ text }) => text).join('\n') || 'nothing was wrong')
} else
  console.log(
    JSON.stringify(
      await check(
        Number(process.argv[2]),
        Number(process.argv[3]),
        process.argv[4] as Invariant | undefined,
        process.argv[5] === 'edits' ? edits : history
      )
    )
  )
