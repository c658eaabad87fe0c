/**
 * The model test: the real queues, reconcile, plan, settle, sweep and EC2 adapter in a small world, through random histories (test/model).
 *
 * HISTORIES=1000000 runs that many, new ones each time; HISTORY='<json>' runs the one that a failure printed, with LOG_LEVEL=debug to see it.
 */
import { spawn } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Report } from '../test/model/main.ts'

const RUNS = Number(process.env.HISTORIES ?? 10_000)
// A run of the whole suite meets the same histories each time; `make soak` meets new ones.
const SEED = process.env.HISTORIES === undefined ? 15 : Date.now() % 1_000_000_000
/** Histories of one process: what it has learned to run fast is worth more than a fresh start (half the time of shares of 500), and memory is bounded. */
const SHARE = 2500
const MAIN = new URL('../test/model/main.ts', import.meta.url).pathname

async function share(seed: number, runs: number): Promise<Report> {
  const child = spawn(process.execPath, [MAIN, String(seed), String(runs)], { stdio: ['ignore', 'pipe', 'inherit'] })
  return JSON.parse(await text(child.stdout)) as Report
}

/** Several at a time, until all have run or one has failed. */
async function runAll(): Promise<Report[]> {
  const reports: Report[] = []
  const shares = Math.ceil(RUNS / SHARE)
  let next = 0
  const lane = async (): Promise<void> => {
    while (next < shares && reports.every(({ failure }) => failure === undefined)) {
      const index = next++
      reports.push(await share(SEED + index, Math.min(SHARE, RUNS - index * SHARE)))
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), shares) }, lane))
  return reports
}

/** `10-19: 12, 20-29: 34 ...` */
function histogram(lengths: readonly number[]): string {
  const bins = new Map<number, number>()
  for (const length of lengths) bins.set(Math.floor(length / 10), (bins.get(Math.floor(length / 10)) ?? 0) + 1)
  const sorted = [...bins].sort(([one], [other]) => one - other)
  return sorted.map(([bin, count]) => `${String(bin * 10)}-${String(bin * 10 + 9)}: ${String(count)}`).join(', ')
}

t.setTimeout(24 * 3_600_000)
t.test('whatever happens: rules for all who claim and for none else, nobody held, nobody released early', async (t) => {
  const reports = await runAll()
  const lengths = reports.flatMap((report) => report.lengths).sort((one, other) => one - other)
  const median = lengths[lengths.length >> 1] ?? 0
  const seconds = reports.reduce((sum, report) => sum + report.seconds, 0)
  t.comment(
    `${String(lengths.length)} histories of a median of ${String(median)} steps that did something, seed ${String(SEED)}`
  )
  t.comment(`${seconds.toFixed(0)} s of processor time; lengths ${histogram(lengths)}`)
  const deeds = new Map<string, number>()
  for (const report of reports)
    for (const [deed, count] of Object.entries(report.deeds)) deeds.set(deed, (deeds.get(deed) ?? 0) + count)
  const told = [...deeds]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([deed, count]) => `${deed} ${String(count)}`)
  for (let start = 0; start < told.length; start += 10) t.comment(told.slice(start, start + 10).join(', '))
  for (const { failure, seed } of reports) {
    if (failure === undefined) continue
    t.comment(`HISTORY='${JSON.stringify(failure.history)}' LOG_LEVEL=debug node test/model/main.ts`)
    t.fail(`seed ${String(seed)}: ${failure.wrongs.map((wrong) => wrong.text).join('; ')}`)
  }
  t.ok(median >= 30, `a median of ${String(median)} steps`)
  t.equal(lengths.length, RUNS)
})
