/** What one event costs the worker, in CPU time, among many pods and among few. */
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../bed/bed.ts'
import { startLargeCluster } from './largeCluster.ts'
import type { LargeCluster } from './largeCluster.ts'
import type { StandInPod } from './standInPods.ts'
import type { BenchOptions, Row, Section } from './table.ts'
import type { BenchedWorker } from './workerProcess.ts'

const PODS_PER_GROUP = 50
/** The same few groups see all events, however many others there are. */
const BUSY_GROUPS = 4
const BEATS = 10_000
const LIVES = 400

export const eventBench: Section = {
  name: 'event',
  about: 'CPU time of the bundled worker for one event, among 20,000 annotated pods against 200',
  async run(options) {
    const few = await costAmong(BUSY_GROUPS, options)
    const many = await costAmong(400, options)
    return [
      compare('a status change that decides nothing', few.beat, many.beat),
      compare(
        'a whole life: two pods told of, one of them served, the other revoked and released',
        few.life,
        many.life
      ),
      {
        measure: 'a sweep where nothing differs',
        goal: '',
        value: `${few.sweep.toFixed(0)} ms among 200 pods, ${many.sweep.toFixed(0)} ms among 20,000`
      }
    ]
  }
}

interface Cost {
  /** Milliseconds. */
  readonly beat: number
  readonly life: number
  readonly sweep: number
}

function compare(measure: string, few: number, many: number): Row {
  const value = `${(many / few).toFixed(2)} (${(many * 1000).toFixed(0)} µs against ${(few * 1000).toFixed(0)} µs)`
  return { measure: `CPU of ${measure}, among 20,000 against 200`, goal: '<= 1.2', value }
}

async function costAmong(groups: number, { tell }: BenchOptions): Promise<Cost> {
  tell(`${groups * PODS_PER_GROUP} pods`)
  const cluster = await startLargeCluster({ groups, podsPerGroup: PODS_PER_GROUP, others: 0 })
  await cluster.ec2.settings({ buckets: 'off' })
  // No sweep but the first two while events are counted.
  const worker = await cluster.startWorker({
    settings: { SWEEP_INTERVAL: '1h', LOG_LEVEL: 'warn', EC2_READ_LAG: '3s' }
  })
  try {
    await eventually(
      'two sweeps',
      async () => ((await worker.metric('kube_sg_sweeps_total')) >= 2 ? true : undefined),
      {
        within: 180_000,
        every: 250
      }
    )
    await idle(worker)
    const busy = cluster.pods.slice(0, BUSY_GROUPS * PODS_PER_GROUP)
    await beat(cluster, worker, busy, BEATS / 4)
    const beats = await beat(cluster, worker, busy, BEATS)
    const lives = await live(cluster, worker, [...busy], LIVES)
    return { beat: beats / BEATS, life: lives / LIVES, sweep: await sweep(cluster) }
  } finally {
    await worker.stop()
    await cluster.close()
  }
}

/** @returns milliseconds of CPU for all of them */
async function beat(
  cluster: LargeCluster,
  worker: BenchedWorker,
  pods: readonly StandInPod[],
  times: number
): Promise<number> {
  const before = await cpu(worker)
  for (let n = 0; n < times; n++) {
    const pod = pods[n % pods.length]
    if (pod !== undefined) cluster.standIn.tell(pod, `beat ${n}`)
    if (n % 20 === 19) await sleep(10)
  }
  await idle(worker)
  return (await cpu(worker)) - before
}

async function live(cluster: LargeCluster, worker: BenchedWorker, pods: StandInPod[], times: number): Promise<number> {
  const before = await cpu(worker)
  for (let n = 0; n < times; n++) {
    const at = n % pods.length
    const old = pods[at]
    if (old === undefined) continue
    cluster.standIn.end(old)
    const young: StandInPod = {
      ...cluster.newPod(Math.floor(at / PODS_PER_GROUP)),
      phase: 'Pending',
      condition: undefined
    }
    pods[at] = young
    cluster.standIn.add(young)
    young.phase = 'Running'
    cluster.standIn.tell(young)
    await sleep(25)
  }
  await eventually(
    'all pods to be served',
    () => (pods.every(({ condition }) => condition?.status === 'True') ? true : undefined),
    {
      within: 120_000
    }
  )
  await idle(worker)
  return (await cpu(worker)) - before
}

/** A worker that only sweeps, once a second. */
async function sweep(cluster: LargeCluster): Promise<number> {
  const worker = await cluster.startWorker({
    settings: { SWEEP_INTERVAL: '5s', LOG_LEVEL: 'warn', EC2_READ_LAG: '1s' }
  })
  try {
    const swept = (): Promise<number> => worker.metric('kube_sg_sweeps_total')
    const first = await eventually('three sweeps', async () => ((await swept()) >= 3 ? swept() : undefined), {
      within: 180_000
    })
    const before = await cpu(worker)
    const last = await eventually('three more', async () => ((await swept()) >= first + 3 ? swept() : undefined), {
      within: 180_000
    })
    return ((await cpu(worker)) - before) / (last - first)
  } finally {
    await worker.stop()
  }
}

/** Milliseconds. */
const cpu = async (worker: BenchedWorker): Promise<number> => 1000 * (await worker.metric('process_cpu_seconds_total'))

/** Until it hardly uses any CPU. */
async function idle(worker: BenchedWorker): Promise<void> {
  await eventually(
    'the worker to be idle',
    async () => {
      const before = await cpu(worker)
      await sleep(1000)
      return (await cpu(worker)) - before < 30 ? true : undefined
    },
    { within: 180_000 }
  )
}
