/** A thousand pods of one group: how many calls they cost, and how soon all have what they ask for. */
import { eventually, startBed } from '../bed/bed.ts'
import type { Bed } from '../bed/bed.ts'
import type { SimulatedCall } from '../bed/simulator.ts'
import { openYard } from '../test/cluster/pods.ts'
import { createBedPod, deleteBedPod, inParallel, lastCall, watchBedPods } from './bedPods.ts'
import type { BedPods } from './bedPods.ts'
import { inSeconds } from './table.ts'
import type { BenchOptions, Row, Section } from './table.ts'

const PODS = 1000
/** An address of each family. */
const RULES = 2 * PODS
const COALESCE = 100
const WITHIN = { within: 300_000 }

export const burstBench: Section = {
  name: 'burst',
  about: `${PODS} pods on one group, ${RULES} rules (quota lifted, AWS's buckets)`,
  async run(options) {
    // One worker, whose lease outlasts the time that it is paused.
    const worker = { RULES_PER_GROUP: '1000', LEASE_DURATION: '5m', RENEW_DEADLINE: '4m' }
    const bed = await startBed({ name: `bench-burst-${process.pid}`, workers: 1, settings: { worker } })
    try {
      await bed.settings({ rulesPerGroup: 1000, buckets: 'on' })
      const yard = await openYard(bed)
      const pods = await watchBedPods(bed)
      try {
        const paused = await benchResumed(bed, pods, await yard.group(), options)
        return [...paused, ...(await benchAsTheyCome(bed, pods, await yard.group(), options))]
      } finally {
        await pods.stop()
      }
    } finally {
      await bed.stop()
    }
  }
}

const namesOf = (prefix: string): string[] => Array.from({ length: PODS }, (_, n) => `${prefix}-${n}`)

/** The worker is paused until all pods have their addresses. */
async function benchResumed(bed: Bed, pods: BedPods, groupId: string, { tell }: BenchOptions): Promise<Row[]> {
  tell(`${PODS} pods while the worker is paused`)
  await bed.ctl('pause', 'worker-0')
  const names = namesOf('paused')
  await inParallel(names, (name) => createBedPod(bed, name, groupId))
  await untilAll(names, pods, 'addressedAt')
  tell('resuming')
  const before = await lastCall(bed)
  const resumedAt = Date.now()
  await bed.ctl('resume', 'worker-0')
  const calls = await untilRules(bed, before, 'Authorize')
  const toldAt = await untilAll(names, pods, 'toldAt')
  tell('deleting all of them')
  const deleted = await benchDeletion(bed, pods, names)
  return [
    { measure: 'resumed with all addresses there: Authorize calls', goal: '<= 3', value: String(calls.length) },
    {
      measure: 'from resuming until all rules are in EC2',
      goal: '< 2 s',
      value: inSeconds(lastEnd(calls) - resumedAt)
    },
    {
      measure: 'from resuming until the conditions of all pods say so',
      goal: '',
      value: inSeconds(toldAt - resumedAt)
    },
    ...deleted
  ]
}

async function benchDeletion(bed: Bed, pods: BedPods, names: readonly string[]): Promise<Row[]> {
  const before = await lastCall(bed)
  await inParallel(names, (name) => deleteBedPod(bed, name))
  const calls = await untilRules(bed, before, 'Revoke')
  const goneAt = await untilAll(names, pods, 'goneAt')
  const endedAt = Math.max(...names.map((name) => pods.sightings.get(name)?.endedAt ?? NaN))
  return [
    { measure: 'all of them deleted: Revoke calls', goal: '', value: String(calls.length) },
    { measure: 'from the last end until all rules are revoked', goal: '', value: inSeconds(lastEnd(calls) - endedAt) },
    { measure: 'from the last end until all pods are released', goal: '', value: inSeconds(goneAt - endedAt) }
  ]
}

async function benchAsTheyCome(bed: Bed, pods: BedPods, groupId: string, { tell }: BenchOptions): Promise<Row[]> {
  tell(`${PODS} pods as fast as the bed makes them`)
  const before = await lastCall(bed)
  const names = namesOf('fast')
  await inParallel(names, (name) => createBedPod(bed, name, groupId))
  const addressedAt = await untilAll(names, pods, 'addressedAt')
  const calls = await untilRules(bed, before, 'Authorize')
  const toldAt = await untilAll(names, pods, 'toldAt')
  const firstAt = Math.min(...names.map((name) => pods.sightings.get(name)?.addressedAt ?? NaN))
  const seconds = (addressedAt - firstAt) / 1000
  const goal = Math.floor(2 + (seconds * 1000) / COALESCE)
  return [
    {
      measure: `pods coming as fast as the bed makes them, in ${seconds.toFixed(1)} s: Authorize calls`,
      goal: `<= 2 + ${seconds.toFixed(1)} s / ${COALESCE} ms = ${goal}`,
      value: String(calls.length)
    },
    {
      measure: 'from the last address until all rules are in EC2',
      goal: '',
      value: inSeconds(lastEnd(calls) - addressedAt)
    },
    { measure: 'from the last address until all conditions say so', goal: '', value: inSeconds(toldAt - addressedAt) }
  ]
}

const lastEnd = (calls: readonly SimulatedCall[]): number => Math.max(...calls.map(({ endedAt }) => endedAt))

/** @returns when the last of them was seen so */
async function untilAll(
  names: readonly string[],
  { sightings }: BedPods,
  moment: 'addressedAt' | 'toldAt' | 'goneAt'
): Promise<number> {
  return eventually(
    `${moment} of all pods`,
    () => {
      const times = names.map((name) => sightings.get(name)?.[moment])
      return times.every((at) => at !== undefined) ? Math.max(...times) : undefined
    },
    WITHIN
  )
}

/** @returns the calls that did it; refused ones count too */
async function untilRules(bed: Bed, since: number, what: 'Authorize' | 'Revoke'): Promise<readonly SimulatedCall[]> {
  return eventually(
    `all rules by ${what}`,
    async () => {
      const calls = (await bed.calls(since)).filter(({ action }) => action === `${what}SecurityGroupIngress`)
      const done = calls.filter(({ code }) => code === '').reduce((sum, { rules }) => sum + rules.length, 0)
      return done >= RULES ? calls : undefined
    },
    WITHIN
  )
}
