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
  try {
    await cluster.ec2.settings({ buckets: 'off' })
    const events = await costOfEvents(cluster)
    tell(
      `${(events.beat * 1000).toFixed(0)} µs a status change, ${(events.life * 1000).toFixed(0)} µs a life; now sweeps`
    )
    return { ...events, sweep: await costOfSweep(cluster) }
  } finally {
    await cluster.close()
  }
}

async function costOfEvents(cluster: LargeCluster): Promise<Omit<Cost, 'sweep'>> {
  // No sweep but the first two while events are counted.
  const worker = await cluster.startWorker({ settings: { SWEEP_INTERVAL: '1h', EC2_READ_LAG: '3s' } })
  try {
    await untilSwept(worker, 2)
    await idle(worker)
    const busy = cluster.pods.slice(0, BUSY_GROUPS * PODS_PER_GROUP)
    await beat(cluster, worker, busy, BEATS / 4)
    const beats = await beat(cluster, worker, busy, BEATS)
    const lives = await live(cluster, worker, [...busy], LIVES)
    return { beat: beats / BEATS, life: lives / LIVES }
  } finally {
    await worker.stop()
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
      within: 600_000
    }
  )
  await idle(worker)
  return (await cpu(worker)) - before
}

/** @returns milliseconds of CPU */
async function costOfSweep(cluster: LargeCluster): Promise<number> {
  const worker = await cluster.startWorker({ settings: { SWEEP_INTERVAL: '5s', EC2_READ_LAG: '1s' } })
  try {
    const first = await untilSwept(worker, 3)
    const before = await cpu(worker)
    const last = await untilSwept(worker, first + 3)
    return ((await cpu(worker)) - before) / (last - first)
  } finally {
    await worker.stop()
  }
}

/** @returns how many sweeps there were in fact */
async function untilSwept(worker: BenchedWorker, times: number): Promise<number> {
  return eventually(
    `${times} sweeps`,
    async () => {
      const swept = await worker.metric('kube_sg_sweeps_total')
      return swept >= times ? swept : undefined
    },
    { within: 900_000, every: 250 }
  )
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
    { within: 900_000 }
  )
}
