/** What the worker keeps of 20,000 annotated pods among 100,000, and whether that stays so while pods come and go. */
import { readFile, stat } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../bed/bed.ts'
import { startLargeCluster, workerCalls } from './largeCluster.ts'
import type { LargeCluster } from './largeCluster.ts'
import type { StandInPod } from './standInPods.ts'
import { inMebibytes } from './table.ts'
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

interface Sample {
  readonly heap: number
  readonly rss: number
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
  await sleep(5000)
  const rssAtRest = await worker.metric('process_resident_memory_bytes')
  const atRest = await worker.heap()
  tell(`at rest: heap ${inMebibytes(atRest)}, RSS ${inMebibytes(rssAtRest)}`)
  const stopChurn = churn(cluster)
  const samples: Sample[] = []
  const cpuBefore = await worker.metric('process_cpu_seconds_total')
  const callsBefore = (await workerCalls(cluster)).length
  const until = Date.now() + minutes * 60_000
  while (Date.now() < until) {
    await sleep(Math.max(10_000, minutes * 1000))
    // The RSS first: a collection that nobody asked for tells nothing.
    const rss = await worker.metric('process_resident_memory_bytes')
    samples.push({ rss, heap: await worker.heap() })
    const last = samples.at(-1)
    if (last !== undefined) tell(`heap ${inMebibytes(last.heap)}, RSS ${inMebibytes(last.rss)}`)
  }
  const cpu = (await worker.metric('process_cpu_seconds_total')) - cpuBefore
  const calls = (await workerCalls(cluster)).length - callsBefore
  stopChurn()
  const quarter = Math.max(1, Math.floor(samples.length / 4))
  const early = samples.slice(0, quarter)
  const late = samples.slice(-quarter)
  const over = `over ${minutes} min of churn`
  return [
    { measure: 'heap after a collection, at rest', goal: '< 60 MB', value: inMebibytes(atRest) },
    { measure: `heap after a collection, most ${over}`, goal: '< 60 MB', value: inMebibytes(most(samples, 'heap')) },
    {
      measure: `heap, mean of the last quarter ${over} against the first`,
      goal: 'flat',
      value: `${inMebibytes(mean(late, 'heap'))} against ${inMebibytes(mean(early, 'heap'))}`
    },
    { measure: `RSS, most ${over}`, goal: '< 200 MB', value: inMebibytes(most(samples, 'rss')) },
    {
      measure: `RSS, mean of the last quarter ${over} against the first`,
      goal: 'flat',
      value: `${inMebibytes(mean(late, 'rss'))} against ${inMebibytes(mean(early, 'rss'))}`
    },
    { measure: 'RSS, most since its start', goal: '', value: inMebibytes(await peakRss(worker.pid)) },
    {
      measure: 'pods replaced, status changes beside, CPU, calls to EC2, each a minute',
      goal: '',
      value: `${60_000 / REPLACE_EVERY}, ${(50 * 60_000) / BEAT_EVERY}, ${(cpu / minutes).toFixed(1)} s, ${Math.round(calls / minutes)}`
    }
  ]
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

const mean = (samples: readonly Sample[], what: keyof Sample): number =>
  samples.reduce((sum, sample) => sum + sample[what], 0) / samples.length

const most = (samples: readonly Sample[], what: keyof Sample): number =>
  Math.max(...samples.map((sample) => sample[what]))

/** NaN where there is no /proc. */
async function peakRss(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) * 1024
}
