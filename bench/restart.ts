/** A worker that starts where thousands of pods are served already: what it asks EC2, and when it has caught up. */
import { eventually } from '../bed/bed.ts'
import type { SimulatedCall } from '../bed/simulator.ts'
import { startLargeCluster, workerCalls } from './largeCluster.ts'
import type { LargeCluster } from './largeCluster.ts'
import { inSeconds } from './table.ts'
import type { Row, Section } from './table.ts'

const GROUPS = 200
const PODS_PER_GROUP = 25
/** Pods that came, and as many that ended and are held by the finalizer, while no worker was there; each in a group of its own. */
const MISSED = 10
const RULES_PER_PAGE = 1000

export const restartBench: Section = {
  name: 'restart',
  about:
    'a worker that starts with 5,000 annotated pods in 200 groups, their rules in EC2, 10 pods come and 10 ended meanwhile',
  async run({ tell }) {
    tell(`${GROUPS} groups, ${GROUPS * PODS_PER_GROUP} pods`)
    const cluster = await startLargeCluster({ groups: GROUPS, podsPerGroup: PODS_PER_GROUP, others: 20_000 })
    try {
      return await measure(cluster)
    } finally {
      await cluster.close()
    }
  }
}

async function measure(cluster: LargeCluster): Promise<readonly Row[]> {
  // Spread over all groups, so that it matters when the last one has its turn.
  for (let n = 0; n < 2 * MISSED; n++) {
    const group = Math.floor(((n + 1) * GROUPS) / (2 * MISSED)) - 1
    const ended = cluster.pods[group * PODS_PER_GROUP]
    if (n % 2 === 0) cluster.standIn.add({ ...cluster.newPod(group), condition: undefined })
    else if (ended !== undefined) cluster.standIn.end(ended)
  }
  const rules = 2 * GROUPS * PODS_PER_GROUP
  const worker = await cluster.startWorker()
  try {
    const writes = await eventually(
      'what differs to be mended',
      async () => {
        const writes = (await workerCalls(cluster)).filter(isWrite)
        return writes.length >= 2 * MISSED ? writes : undefined
      },
      { within: 600_000, every: 20 }
    )
    const caughtUpAt = Math.max(...writes.map(({ endedAt }) => endedAt))
    const calls = (await workerCalls(cluster)).filter(({ startedAt }) => startedAt <= caughtUpAt)
    // Our rules everywhere, and the rules of all groups that pods ask for.
    const pages = 2 * Math.ceil(rules / RULES_PER_PAGE)
    const goal = 5 + pages + 2 * MISSED
    const asked = [...cluster.standIn.requests].map(([what, times]) => `${times} ${what}`).join(', ')
    return [
      {
        measure: 'calls to EC2 until it has caught up',
        goal: `<= 5 + ${pages} pages + ${2 * MISSED} that differ = ${goal}`,
        value: `${calls.length} (${countActions(calls)})`
      },
      {
        measure: 'from the start of the process until it has caught up',
        goal: '< 5 s',
        value: inSeconds(caughtUpAt - worker.startedAt)
      },
      { measure: 'requests to the API server meanwhile', goal: '', value: asked }
    ]
  } finally {
    await worker.stop()
  }
}

const isWrite = ({ action, code }: SimulatedCall): boolean => code === '' && !action.startsWith('Describe')

function countActions(calls: readonly SimulatedCall[]): string {
  const counts = Map.groupBy(calls, ({ action }) => action)
  return [...counts].map(([action, made]) => `${made.length} ${action}`).join(', ')
}
