/** One history: a small world, what happens in it, and what was wrong on the way and at rest. */
import { createWorld } from '../../worker/worldFixture.ts'
import type { World } from '../../worker/worldFixture.ts'
import { Invariants, PROBED, REPAIRED, WITHDRAWN } from './invariants.ts'
import type { Wrong } from './invariants.ts'
import { ACCOUNTS, chanceOf, ENVIRONMENT, GROUPS, NODES, SWEEP, TIGHT, TIGHT_EC2 } from './setting.ts'
import type { Setting } from './setting.ts'
import { AT_ONCE, take } from './steps.ts'
import type { Stage, Step } from './steps.ts'
import { Truth } from './truth.ts'

export interface History {
  readonly setting: Setting
  readonly steps: readonly Step[]
}

export interface Told {
  readonly wrongs: readonly Wrong[]
  /** Steps that did something. */
  readonly length: number
  /** What happened, as often as it did. */
  readonly deeds: ReadonlyMap<string, number>
}

/** Between two looks, in milliseconds. */
const LOOK = 5000
/** Longer than the pass over all pods takes to come round, which finds what nobody watches. */
const OVERLOOKED = 600_000 + 30_000

export async function live({ setting, steps }: History, level = 'silent'): Promise<Told> {
  const stage = stageOf(setting, level)
  const { invariants, world } = stage
  const deeds = new Map<string, number>()
  let length = 0
  world.restart()
  if (setting.standby) world.standby()
  for (const step of steps) {
    if (invariants.wrongs.length > 0) break
    const at = world.clock.now()
    const done = take(stage, step)
    if (level !== 'silent') console.log(`${String(at)} ${done ?? `nothing (${step.do})`}, then ${String(step.wait)} ms`)
    if (done !== undefined) {
      length += 1
      deeds.set(done, (deeds.get(done) ?? 0) + 1)
    }
    invariants.look()
    await pass(stage, step.wait)
  }
  if (invariants.wrongs.length === 0) await comeToRest(stage)
  return { wrongs: invariants.wrongs, length, deeds }
}

function stageOf(setting: Setting, level: string): Stage {
  const world = createWorld(GROUPS, ENVIRONMENT, level, setting.tight ? TIGHT : undefined, setting.rulesPerCall)
  const { clock, cluster, ec2 } = world
  const chance = chanceOf(setting.seed)
  clock.random = chance
  for (const node of NODES) cluster.nodes.add(node)
  cluster.watchDelay = setting.watchDelay
  cluster.reviewLatency = AT_ONCE
  cluster.latency = () => 2 + Math.floor(chance() * 10)
  ec2.latency = () => 5 + Math.floor(chance() * 60)
  ec2.staleness = () => {
    const which = chance()
    return which < 0.3 ? 0 : which < 0.6 ? ec2.readBehind : Math.floor(chance() * ec2.readBehind)
  }
  ec2.pageSize = setting.pageSize
  ec2.quota = setting.quota
  if (setting.tight) ec2.limits = TIGHT_EC2
  denyForGood(world, setting)
  const truth = new Truth(world, ACCOUNTS, GROUPS)
  return { world, truth, setting, invariants: new Invariants(world, truth, setting) }
}

async function pass({ invariants, world }: Stage, time: number): Promise<void> {
  for (let left = time; left > 0 && invariants.wrongs.length === 0; left -= LOOK) {
    await world.clock
      .advance(Math.min(LOOK, left))
      .catch((error: unknown) => invariants.wrong('restless', String(error)))
    invariants.look()
  }
}

/** No more trouble, somebody works, and everybody who drains gets there: then all is soon as it should be, and stays so. */
async function comeToRest(stage: Stage): Promise<void> {
  const { invariants, setting, truth, world } = stage
  heal(world)
  denyForGood(world, setting)
  // In half of the histories all is permitted at last, and whoever was refused must get what he asks for.
  if (setting.seed % 2 === 0) truth.permitAll()
  invariants.look()
  const start = world.clock.now()
  const soon = start + Math.max(REPAIRED, WITHDRAWN) + LOOK + (invariants.lowQuota ? PROBED : 0)
  const settle = async (): Promise<void> => {
    while (invariants.wrongs.length === 0 && invariants.atRest().length > 0) {
      // Only what nobody watches may take longer.
      if (world.clock.now() >= (hasUnwatched(world) ? soon + OVERLOOKED : soon)) break
      await pass(stage, 4 * LOOK)
    }
  }
  await settle()
  // A permission that was withdrawn just before is believed until it is asked for again, and our mark on a rule until the rule is read.
  const untaggedAt = invariants.untaggedAt.size === 0 ? -Infinity : Math.max(start, ...invariants.untaggedAt.values())
  await pass(
    stage,
    Math.max(2 * LOOK, truth.turnedAt + WITHDRAWN - world.clock.now(), untaggedAt + REPAIRED - world.clock.now())
  )
  await settle()
  for (const wrong of invariants.atRest()) invariants.wrong(wrong.invariant, wrong.text)
  if (invariants.wrongs.length > 0) return
  const before = invariants.effects
  await pass(stage, SWEEP + LOOK)
  for (const wrong of invariants.atRest()) invariants.wrong(wrong.invariant, wrong.text)
  const { effects } = invariants
  // A low quota is tried again now and then, and what finds room then is a change; so is the rule of a pod that hides its address, or
  // whose address a pod without our label reports too: it may be made late, for nobody can tell that it should be there.
  const hidden = [...world.cluster.pods.values()].some(
    (pod) =>
      truth.isLiving(pod) &&
      (truth.hasLost(pod.uid) || [...truth.addressesOf(pod)].some((address) => !pod.addresses.includes(address)))
  )
  const disputed = [...truth.asked().values()].some((askings) => askings.some((asking) => asking.disputed))
  if (effects > before && !invariants.lowQuota && !hidden && !disputed)
    invariants.wrong('restless', `${String(effects - before)} changes though all was as it should be`)
}

function denyForGood({ ec2 }: World, { mayModify }: Setting): void {
  if (!mayModify) ec2.denied.add('ModifySecurityGroupRules')
}

function heal(world: World): void {
  const { cluster, ec2 } = world
  cluster.down = false
  cluster.faults = []
  cluster.reviewLatency = AT_ONCE
  ec2.faults = []
  ec2.denied.clear()
  ec2.expired = false
  ec2.readBehind = 0
  world.killAt(undefined)
  if (cluster.broken) cluster.relist()
  // A restart would hide what only a long-lived worker gets wrong.
  if (!world.alive() || world.leaseInDoubt) world.restart()
  for (const pod of [...cluster.pods.values()]) {
    if (pod.deletionTimestamp === undefined || pod.gracePeriodSeconds === 0) continue
    const ended = { phase: 'Succeeded', containersTerminatedAt: pod.containersTerminatedAt ?? world.clock.now() }
    cluster.put({ ...pod, ...ended, deletionTimestamp: world.clock.now(), gracePeriodSeconds: 0 })
  }
}

const hasUnwatched = ({ cluster }: World): boolean =>
  [...cluster.pods.values()].some(({ annotated, finalized, labelled }) => !labelled && (annotated || finalized))
