/** What the worker keeps of 20,000 annotated pods among 100,000, and whether that stays so while pods come and go. */
import { readFile, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../bed/bed.ts'
import { startLargeCluster, workerCalls } from './largeCluster.ts'
import type { LargeCluster } from './largeCluster.ts'
import type { StandInPod } from './standInPods.ts'
import { inMegabytes } from './table.ts'
import type { BenchOptions, Row, Section } from './table.ts'
import type { BenchedWorker } from './workerProcess.ts'

const GROUPS = 400
const PODS_PER_GROUP = 50
const OTHERS = 80_000
/** Milliseconds between two pods that each replace another: 120 a minute. */
const REPLACE_EVERY = 500
/** Milliseconds between two rounds of status changes that decide nothing, of 50 pods each. */
const BEAT_EVERY = 500

export const memoryBench: Section = {
  name: 'memory',
  about: 'the bundled worker with 20,000 annotated pods of 100,000, 40,000 rules in 400 groups, while pods come and go',
  async run(options) {
    const minutes = options.full ? 60 : 2
    options.tell(`${GROUPS * PODS_PER_GROUP} pods; then ${minutes} min of churn`)
    const cluster = await startLargeCluster({ groups: GROUPS, podsPerGroup: PODS_PER_GROUP, others: OTHERS })
    try {
      const { size } = await stat(cluster.bundleFile)
      const worker = await cluster.startWorker()
      try {
        return [
          { measure: 'bundle', goal: '<= 8.5 MB', value: `${(size / 1e6).toFixed(2)} MB` },
          ...(await measure(cluster, worker, minutes, options))
        ]
      } finally {
        await worker.stop()
      }
    } finally {
      await cluster.close()
    }
  }
}

/** Milliseconds between two looks at the RSS. */
const LOOK_EVERY = 5000
/** Collections that nobody else asked for, which measure the heap and make the RSS look smaller than it is: so few that they do not. */
const COLLECTIONS = 6

interface Measured {
  /** Bytes, by /proc, from the second on: the worker does nothing for it. */
  readonly rss: number[]
  /** Bytes right after a collection. */
  readonly heap: number[]
}

async function measure(
  cluster: LargeCluster,
  worker: BenchedWorker,
  minutes: number,
  { tell }: BenchOptions
): Promise<readonly Row[]> {
  await worker.logged('leading')
  // Two sweeps, so that nothing that a later one brings is missed.
  await eventually('two sweeps', async () => ((await worker.metric('kube_sg_sweeps_total')) >= 2 ? true : undefined), {
    within: 900_000,
    every: 500
  })
  const sinceStart = await rssOf(worker.pid, 'VmHWM')
  const stopChurn = churn(cluster)
  const cpuBefore = await worker.metric('process_cpu_seconds_total')
  const callsBefore = (await workerCalls(cluster)).length
  const { heap, rss } = await sample(worker, minutes, tell)
  const cpu = (await worker.metric('process_cpu_seconds_total')) - cpuBefore
  const calls = (await workerCalls(cluster)).length - callsBefore
  stopChurn()
  const quarter = Math.max(1, Math.floor(rss.length / 4))
  const over = `over ${minutes} min of churn`
  const goals = { heap: '< 60 MB', rss: '< 200 MB' }
  return [
    { measure: `heap after a collection, most ${over}`, goal: goals.heap, value: inMegabytes(Math.max(...heap)) },
    {
      measure: `heap after a collection, one after the other ${over}`,
      goal: 'flat',
      value: heap.map(inMegabytes).join(', ')
    },
    { measure: `RSS, mean ${over}`, goal: goals.rss, value: inMegabytes(mean(rss)) },
    { measure: `RSS, most ${over}`, goal: goals.rss, value: inMegabytes(Math.max(...rss)) },
    {
      measure: `RSS, mean of the last quarter ${over} against the first`,
      goal: 'flat',
      value: `${inMegabytes(mean(rss.slice(-quarter)))} against ${inMegabytes(mean(rss.slice(0, quarter)))}`
    },
    { measure: 'RSS, most from the start through two sweeps', goal: '', value: inMegabytes(sinceStart) },
    {
      measure: 'pods replaced, status changes beside, CPU, calls to EC2, each a minute',
      goal: '',
      value: `${60_000 / REPLACE_EVERY}, ${(50 * 60_000) / BEAT_EVERY}, ${(cpu / minutes).toFixed(1)} s, ${Math.round(calls / minutes)}`
    }
  ]
}

async function sample(worker: BenchedWorker, minutes: number, tell: (line: string) => void): Promise<Measured> {
  const measured: Measured = { rss: [], heap: [] }
  const startedAt = Date.now()
  const each = (minutes * 60_000) / COLLECTIONS
  for (let at = startedAt; Date.now() < startedAt + minutes * 60_000; at += LOOK_EVERY) {
    await sleep(Math.max(0, at + LOOK_EVERY - Date.now()))
    measured.rss.push(await rssOf(worker.pid, 'VmRSS'))
    if (Date.now() < startedAt + (measured.heap.length + 1) * each) continue
    measured.heap.push(await worker.heap())
    tell(`heap ${inMegabytes(measured.heap.at(-1) ?? NaN)}, RSS before ${inMegabytes(measured.rss.at(-1) ?? NaN)}`)
  }
  return measured
}

/** Pods come and go, and thousands more change in ways that do not matter. @returns ends it */
function churn(cluster: LargeCluster): () => void {
  const living = [...cluster.pods]
  let turn = 0
  const replace = setInterval(() => {
    const group = turn++ % GROUPS
    const old = living[group * PODS_PER_GROUP + (Math.floor(turn / GROUPS) % PODS_PER_GROUP)]
    if (old === undefined || old.deleted) return
    cluster.standIn.end(old)
    const young: StandInPod = { ...cluster.newPod(group), condition: undefined }
    living[living.indexOf(old)] = young
    cluster.standIn.add(young)
  }, REPLACE_EVERY)
  const beat = setInterval(() => {
    for (let n = 0; n < 50; n++) {
      const pod = living[Math.floor(Math.random() * living.length)]
      if (pod !== undefined && !pod.deleted) cluster.standIn.tell(pod, `beat ${turn}`)
    }
  }, BEAT_EVERY)
  return () => {
    clearInterval(replace)
    clearInterval(beat)
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** Bytes; NaN where there is no /proc. */
async function rssOf(pid: number, which: 'VmRSS' | 'VmHWM'): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(new RegExp(`${which}:\\s+(\\d+) kB`).exec(status)?.[1]) * 1024
}
