/** How long nobody works when the leader dies, and when it is stopped. */
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, startBed } from '../bed/bed.ts'
import type { Bed } from '../bed/bed.ts'
import { openYard } from '../test/cluster/pods.ts'
import { createBedPod, lastCall } from './bedPods.ts'
import { inSeconds } from './table.ts'
import type { BenchOptions, Row, Section } from './table.ts'

const WORKERS = ['worker-0', 'worker-1'] as const
const ROUNDS = 3

export const failoverBench: Section = {
  name: 'failover',
  about: 'from the end of the leader to the first rule that the other makes, with default leases',
  async run(options) {
    const bed = await startBed({ name: `bench-failover-${process.pid}` })
    try {
      const yard = await openYard(bed)
      const groupId = await yard.group()
      await tellApart(bed)
      const killed = await handOver(bed, groupId, 'kill', options)
      const stopped = await handOver(bed, groupId, 'stop', options)
      return [
        rowOf('the leader is killed: first write of the other', '< 15 s', killed),
        rowOf('the leader is stopped: first write of the other', '< 1 s', stopped)
      ]
    } finally {
      await bed.stop()
    }
  }
}

const rowOf = (measure: string, goal: string, lags: readonly number[]): Row => ({
  measure: `${measure}, worst of ${lags.length}`,
  goal,
  value: `${inSeconds(Math.max(...lags))} (${lags.map(inSeconds).join(', ')})`
})

/** Each worker gets an access key of its own, so that EC2's log tells whose call it was. */
async function tellApart(bed: Bed): Promise<void> {
  for (const name of WORKERS) {
    await bed.ctl('stop', name)
    await bed.ctl('start', name, { AWS_ACCESS_KEY_ID: name })
  }
}

/** @returns milliseconds, one for each round */
async function handOver(bed: Bed, groupId: string, how: 'kill' | 'stop', { tell }: BenchOptions): Promise<number[]> {
  const lags: number[] = []
  for (let round = 1; round <= ROUNDS; round++) {
    const leading = await leader(bed)
    const other = WORKERS.find((name) => name !== leading) ?? leading
    // Into a phase of its renewals that nobody chose.
    await sleep(3000 + 700 * round)
    const before = await lastCall(bed)
    const endedAt = Date.now()
    const ending = bed.ctl(how, leading)
    let made = 0
    const timer = setInterval(() => {
      createBedPod(bed, `${how}-${round}-${++made}`, groupId).catch(() => undefined)
    }, 100)
    const first = await eventually(
      `a write of ${other}`,
      async () =>
        (await bed.calls(before)).find(
          ({ accessKey, action, code }) =>
            accessKey === other && code === '' && action === 'AuthorizeSecurityGroupIngress'
        ),
      { within: 60_000 }
    )
    clearInterval(timer)
    await ending
    lags.push(first.endedAt - endedAt)
    tell(`${how} of ${leading}: ${inSeconds(first.endedAt - endedAt)}`)
    await bed.ctl('start', leading)
    await bed.kubectl(['delete', 'pods', '--all', '--grace-period=0', '--force', '--wait=false'])
    await eventually('no rules', async () => ((await bed.rules(groupId)).length === 0 ? true : undefined), {
      within: 120_000
    })
  }
  return lags
}

async function leader(bed: Bed): Promise<string> {
  return eventually('one worker to lead', async () => {
    for (const name of WORKERS) {
      const url = bed.env[`METRICS_${name.toUpperCase().replace('-', '_')}`] ?? ''
      const text = await fetch(url).then(
        (answer) => answer.text(),
        () => ''
      )
      if (/^leader_election_master_status\{[^}]*\} 1$/m.test(text)) return name
    }
    return undefined
  })
}
