/** Pods that come and go all the time: from address to effect, and from end to revoked. */
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, startBed } from '../bed/bed.ts'
import type { Bed } from '../bed/bed.ts'
import { openYard } from '../test/cluster/pods.ts'
import { createBedPod, deleteBedPod, effectOf, inParallel, lastCall, sourceOf, watchBedPods } from './bedPods.ts'
import type { BedPods } from './bedPods.ts'
import { quantileOf, quantileRow } from './table.ts'
import type { BenchOptions, Row, Section } from './table.ts'

const GROUPS = 9
const PER_MINUTE = 150
/** Pods there are at any time, some 10 a group. */
const POPULATION = 90
const LATENCY_MS = 50

export const churnBench: Section = {
  name: 'churn',
  about: `${PER_MINUTE} creations and ${PER_MINUTE} deletions a minute in ${GROUPS} groups, EC2 answers after ${LATENCY_MS} ms`,
  async run(options) {
    const minutes = options.full ? 10 : 1
    const bed = await startBed({ name: `bench-churn-${process.pid}` })
    try {
      const yard = await openYard(bed)
      const groupIds: string[] = []
      for (let group = 0; group < GROUPS; group++) groupIds.push(await yard.group())
      const pods = await watchBedPods(bed)
      try {
        const turn = startTurns(bed, groupIds)
        options.tell(`${POPULATION} pods first`)
        await turn.fill()
        await eventually(
          'all to be served',
          () => (pods.count(({ toldAt }) => toldAt !== undefined) >= POPULATION ? true : undefined),
          { within: 120_000 }
        )
        await bed.settings({ latencyMs: LATENCY_MS, buckets: 'on' })
        const calm = await churn(bed, pods, turn, minutes, false, options)
        const throttled = await churn(bed, pods, turn, minutes, true, options)
        return [...rowsOf(calm, minutes), ...rowsOfThrottled(throttled, minutes)]
      } finally {
        await pods.stop()
      }
    } finally {
      await bed.stop()
    }
  }
}

/** Pods in the order of their making, the oldest of which goes whenever another comes. */
interface Turns {
  fill(): Promise<void>
  next(): void
  /** Names of those made, or deleted, since this was last asked. */
  taken(): { readonly made: readonly string[]; readonly deleted: readonly string[] }
}

function startTurns(bed: Bed, groupIds: readonly string[]): Turns {
  const living: string[] = []
  let count = 0
  let made: string[] = []
  let deleted: string[] = []
  const create = async (name: string): Promise<void> => {
    await createBedPod(bed, name, groupIds[Number(name.slice(4)) % GROUPS] ?? '')
    living.push(name)
  }
  const report = (error: unknown): void => void process.stderr.write(`  churn: ${String(error)}\n`)
  return {
    fill: () =>
      inParallel(
        Array.from({ length: POPULATION }, () => `pod-${++count}`),
        create
      ),
    next() {
      const name = `pod-${++count}`
      const oldest = living.shift()
      made.push(name)
      create(name).catch(report)
      if (oldest === undefined) return
      deleted.push(oldest)
      deleteBedPod(bed, oldest).catch(report)
    },
    taken() {
      const taken = { made, deleted }
      made = []
      deleted = []
      return taken
    }
  }
}

interface Lags {
  /** Milliseconds from address to effect, one for each rule. */
  readonly granted: readonly number[]
  /** Milliseconds from the end signal to the revocation, one for each rule. */
  readonly revoked: readonly number[]
  /** Rules of which no call was found: the address was handed on to another pod of the group. */
  readonly handedOn: number
  readonly calls: number
  readonly throttles: number
}

async function churn(
  bed: Bed,
  pods: BedPods,
  turn: Turns,
  minutes: number,
  throttling: boolean,
  { tell }: BenchOptions
): Promise<Lags> {
  tell(`${minutes} min${throttling ? ' with throttling' : ''}`)
  turn.taken()
  const before = await lastCall(bed)
  const timer = setInterval(() => turn.next(), 60_000 / PER_MINUTE)
  // One in some five calls that change something, and now and then a row of all kinds.
  const throttle = setInterval(() => {
    if (!throttling) return
    for (const action of ['AuthorizeSecurityGroupIngress', 'RevokeSecurityGroupIngress'])
      void bed.fault({ action, fault: 'throttle', times: 1 })
  }, 2000)
  const row = setInterval(() => {
    if (throttling) void bed.fault({ action: '*', fault: 'throttle', times: 5 })
  }, 15_000)
  await sleep(minutes * 60_000)
  for (const each of [timer, throttle, row]) clearInterval(each)
  await bed.clearFaults()
  const { deleted, made } = turn.taken()
  await eventually(
    'all that were deleted to be gone',
    () => (deleted.every((name) => pods.sightings.get(name)?.goneAt !== undefined) ? true : undefined),
    { within: 180_000 }
  )
  await eventually(
    'all that came to be served',
    () => (made.every((name) => pods.sightings.get(name)?.toldAt !== undefined) ? true : undefined),
    { within: 180_000 }
  )
  const calls = await bed.calls(before)
  const granted: number[] = []
  const revoked: number[] = []
  let handedOn = 0
  const note = (into: number[], from: number | undefined, action: 'Authorize' | 'Revoke', address: string): void => {
    const at = from === undefined ? undefined : effectOf(calls, action, sourceOf(address), from - 1000)
    if (from === undefined || at === undefined) handedOn++
    else into.push(at - from)
  }
  for (const name of made) {
    const sighting = pods.sightings.get(name)
    for (const address of sighting?.addresses ?? []) note(granted, sighting?.addressedAt, 'Authorize', address)
  }
  for (const name of deleted) {
    const sighting = pods.sightings.get(name)
    for (const address of sighting?.addresses ?? []) note(revoked, sighting?.endedAt, 'Revoke', address)
  }
  const throttles = calls.filter(({ code }) => code === 'RequestLimitExceeded').length
  return { granted, revoked, handedOn, calls: calls.length, throttles }
}

function rowsOf({ calls, granted, handedOn, revoked, throttles }: Lags, minutes: number): Row[] {
  const address = `${minutes} min: from address to effect in EC2`
  return [
    quantileRow(address, 0.5, 0.15, granted),
    quantileRow(address, 0.95, 0.3, granted),
    quantileRow(address, 0.99, 0.5, granted),
    told(`${minutes} min: from end signal to revoked`, revoked),
    {
      measure: 'calls to EC2 a minute; throttled by its buckets; rules handed on with an address',
      goal: '',
      value: `${Math.round(calls / minutes)}; ${throttles}; ${handedOn}`
    }
  ]
}

function rowsOfThrottled({ calls, granted, revoked, throttles }: Lags, minutes: number): Row[] {
  return [
    quantileRow(`${minutes} min with throttling: from end signal to revoked`, 0.999, 10, revoked),
    told(`${minutes} min with throttling: from end signal to revoked`, revoked),
    told(`${minutes} min with throttling: from address to effect`, granted),
    { measure: 'calls to EC2 a minute; throttled', goal: '', value: `${Math.round(calls / minutes)}; ${throttles}` }
  ]
}

const told = (measure: string, values: readonly number[]): Row => ({
  measure: `${measure}, P50 / P95 / P99`,
  goal: '',
  value: [0.5, 0.95, 0.99].map((quantile) => (quantileOf(values, quantile) / 1000).toFixed(2)).join(' / ') + ' s'
})
