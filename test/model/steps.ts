/**
 * What pods, people, AWS and bad luck do, one step at a time.
 * Longer than most files here: a list of steps, each a few lines that know nothing of the others.
 */
import { OPT_IN_VALUE } from '../../shared/names.ts'
import { ruleKey } from '../../shared/rules.ts'
import type { Protocol, SecurityGroupId } from '../../shared/rules.ts'
import type { Action } from '../../worker/aws/ec2Client.ts'
import type { ObservedPod } from '../../worker/pods.ts'
import type { ObservedRule } from '../../worker/securityGroups.ts'
import { LAG } from '../../worker/worldFixture.ts'
import type { Fault, World } from '../../worker/worldFixture.ts'
import type { ClusterFault } from '../../worker/worldClusterFixture.ts'
import { declarationOf } from '../../worker/worldClusterFixture.ts'
import { CLUSTER_ID } from '../../worker/worldEc2Fixture.ts'
import type { Invariants } from './invariants.ts'
import { ACCOUNTS, ADDRESSES, ASKS, GROUPS, NAMES, NODES, RANGES } from './setting.ts'
import type { Setting } from './setting.ts'
import { endShown, placeOf } from './truth.ts'
import type { Truth } from './truth.ts'

/** Which one of those that it can be done to, in what way, and how long to wait afterwards in milliseconds. */
export interface Step {
  readonly do: StepName
  readonly which: number
  readonly how: number
  readonly wait: number
}

export interface Stage {
  readonly world: World
  readonly truth: Truth
  readonly invariants: Invariants
  readonly setting: Setting
}

/** @returns what was done, to be counted; undefined when there was nothing to do it to */
type Deed = (stage: Stage, which: number, how: number) => string | undefined

const pick = <T>(items: readonly T[], which: number): T | undefined => items[which % Math.max(1, items.length)]

const podsWhere = ({ world }: Stage, isFit: (pod: ObservedPod) => boolean): ObservedPod[] =>
  [...world.cluster.pods.values()].filter(isFit)

/** Does it to one of the pods that are fit for it. */
const toPod =
  (
    isFit: (pod: ObservedPod, stage: Stage) => boolean,
    change: (pod: ObservedPod, stage: Stage, how: number) => Partial<ObservedPod>
  ): Deed =>
  (stage, which, how) => {
    const pod = pick(
      podsWhere(stage, (pod) => isFit(pod, stage)),
      which
    )
    if (pod === undefined) return undefined
    const tweak = change(pod, stage, how)
    stage.world.cluster.put({ ...pod, ...tweak })
    return ''
  }

const askOf = ({ setting }: Stage, how: number): Record<string, string> =>
  pick(setting.editing ? RANGES : ASKS, how) ?? {}

const isTerminal = ({ phase }: ObservedPod): boolean => phase === 'Succeeded' || phase === 'Failed'
const runs = (pod: ObservedPod): boolean =>
  pod.phase === 'Running' && pod.containersTerminatedAt === undefined && pod.gracePeriodSeconds !== 0
const stays = (pod: ObservedPod): boolean => runs(pod) && pod.deletionTimestamp === undefined

const stamped = { annotated: true, labelled: true, finalized: true, heldByFinalizer: true }

/** The address given out next, and with it the one of the other family if the pod is dual stack. */
function addressesFrom(how: number): readonly string[] {
  const [four, six] = pick(ADDRESSES, how) ?? ADDRESSES[0]
  const stack = (how >> 2) % 4
  return stack === 0 ? [four, six] : stack === 1 ? [six] : [four]
}

const lives = {
  create(stage, which, how) {
    const { world } = stage
    const name = pick(
      NAMES.filter((name) => world.cluster.named(name) === undefined),
      which
    )
    if (name === undefined) return undefined
    const tweak = { serviceAccountName: pick(ACCOUNTS, how >> 4) ?? '', nodeName: undefined }
    world.cluster.create(name, askOf(stage, how), tweak)
    return ''
  },
  run: toPod(
    (pod, { world }) => pod.phase === 'Pending' && pod.deletionTimestamp === undefined && world.cluster.nodes.size > 0,
    (_pod, { truth, world }, how) => {
      // The CNI gives out an address once its last holder's containers are gone.
      const free = ADDRESSES.map((_, index) => addressesFrom(how + index)).find(
        (addresses) => !addresses.some((address) => truth.isTaken(address))
      )
      const nodeName =
        pick(
          NODES.filter((name) => world.cluster.nodes.has(name)),
          how
        ) ?? 'node-0'
      return { addresses: free ?? [], phase: 'Running', startedAt: world.clock.now(), nodeName }
    }
  ),
  /** Its node was lost and its address given to another: two living pods report it. */
  conflict: toPod(
    (pod, { world }) => pod.phase === 'Pending' && pod.deletionTimestamp === undefined && world.cluster.nodes.size > 0,
    (_pod, stage, how) => {
      const { world } = stage
      const taken = pick(
        podsWhere(stage, (other) => stays(other) && other.addresses.length > 0),
        how
      )
      const nodeName =
        pick(
          NODES.filter((name) => world.cluster.nodes.has(name)),
          how
        ) ?? 'node-0'
      return { addresses: taken?.addresses ?? [], phase: 'Running', startedAt: world.clock.now(), nodeName }
    }
  ),
  edit: toPod(
    (pod) => !isTerminal(pod) && pod.deletionTimestamp === undefined,
    (_pod, stage, how) => {
      const annotations = askOf(stage, how)
      const annotated = Object.keys(annotations).length > 0
      // The webhook stamps what becomes annotated.
      return { annotated, declaration: declarationOf(annotations), ...(annotated ? stamped : {}) }
    }
  ),
  blank: toPod(
    (pod) => stays(pod) && pod.addresses.length > 0,
    () => ({ addresses: [] })
  ),
  unblank: toPod(
    (pod, { truth }) => stays(pod) && pod.addresses.length === 0 && truth.addressesOf(pod).size > 0,
    (pod, { truth }) => ({ addresses: [...truth.addressesOf(pod)] })
  ),
  renumber: toPod(
    (pod) => stays(pod),
    (pod, { truth }, how) => {
      const free = ADDRESSES.map((_, index) => addressesFrom(how + index)).find(
        (addresses) => !addresses.some((address) => truth.isTaken(address))
      )
      return { addresses: free ?? pod.addresses }
    }
  ),
  delete: toPod(
    (pod) => pod.deletionTimestamp === undefined,
    (pod, { world }) => {
      const drains = pod.phase === 'Running'
      return {
        deletionTimestamp: world.clock.now() + (drains ? 30_000 : 0),
        gracePeriodSeconds: drains ? 30 : 0
      }
    }
  ),
  /** Its only container ends by itself; the kubelet starts it again, also when the pod is deleted in that moment. */
  crash: toPod(stays, (_pod, { world }) => ({ containersTerminatedAt: world.clock.now() })),
  startAgain: toPod(
    (pod, { world }) =>
      pod.phase === 'Running' &&
      pod.containersTerminatedAt !== undefined &&
      endShown(pod, world.clock.now()) === undefined,
    () => ({ containersTerminatedAt: undefined })
  ),
  terminated: toPod(
    (pod) => runs(pod) && pod.deletionTimestamp !== undefined,
    (_pod, { world }) => ({ containersTerminatedAt: world.clock.now() })
  ),
  drained: toPod(
    (pod) => pod.deletionTimestamp !== undefined && pod.gracePeriodSeconds !== 0,
    (pod, { world }) => ({
      phase: 'Succeeded',
      containersTerminatedAt: pod.containersTerminatedAt ?? world.clock.now(),
      deletionTimestamp: world.clock.now(),
      gracePeriodSeconds: 0
    })
  ),
  complete: toPod(stays, (_pod, { world }) => ({ phase: 'Succeeded', containersTerminatedAt: world.clock.now() })),
  /** Evicted: some kubelets report no address then. */
  fail: toPod(
    (pod) => !isTerminal(pod) && pod.deletionTimestamp === undefined,
    (pod, { world }, how) => ({
      phase: 'Failed',
      addresses: how % 2 === 0 ? [] : pod.addresses,
      ...(how % 3 === 0 ? {} : { containersTerminatedAt: world.clock.now() })
    })
  ),
  force: toPod(
    (pod) => pod.gracePeriodSeconds !== 0,
    (_pod, { world }) => ({ deletionTimestamp: world.clock.now(), gracePeriodSeconds: 0 })
  )
} satisfies Record<string, Deed>

/** What people should not do, and do. */
const meddling = {
  unlabel: toPod(
    ({ labelled }) => labelled,
    () => ({ labelled: false })
  ),
  strip: toPod(
    ({ finalized }) => finalized,
    () => ({ finalized: false, heldByFinalizer: false })
  ),
  /** Both marks and the object at once, as somebody who cannot wait does. */
  vanish: toPod(
    ({ finalized }) => finalized,
    (_pod, { world }) => ({
      finalized: false,
      heldByFinalizer: false,
      deletionTimestamp: world.clock.now(),
      gracePeriodSeconds: 0
    })
  ),
  nodeGone({ world }, which) {
    const name = pick([...world.cluster.nodes], which)
    if (name === undefined) return undefined
    world.cluster.removeNode(name)
    return ''
  },
  nodeBack({ world }, which) {
    const name = pick(
      NODES.filter((name) => !world.cluster.nodes.has(name)),
      which
    )
    if (name === undefined) return undefined
    world.cluster.addNode(name)
    return ''
  },
  /** PodGC takes the pods of nodes that are gone. */
  podGC: toPod(
    (pod, { world }) =>
      pod.nodeName !== undefined && !world.cluster.nodes.has(pod.nodeName) && pod.gracePeriodSeconds !== 0,
    (_pod, { world }) => ({ phase: 'Failed', deletionTimestamp: world.clock.now(), gracePeriodSeconds: 0 })
  ),
  permission({ truth }, which) {
    return truth.turn(truth.permissions, pick([...truth.permissions.keys()], which) ?? '') ? '' : undefined
  },
  optIn({ truth, world }, which) {
    const groupId = pick(GROUPS, which) ?? GROUPS[0]
    if (groupId === undefined || !truth.turn(truth.optIns, groupId)) return undefined
    world.ec2.optIn(groupId, truth.optIns.get(groupId)?.on ?? false)
    return OPT_IN_VALUE
  },
  /** One of the groups goes, with all its rules. */
  groupGone({ world }, which) {
    const [groupId, ...others] = [...world.ec2.rules.keys()].slice(which % 2)
    if (groupId === undefined || world.ec2.rules.size + others.length < 2) return undefined
    world.ec2.deleteGroup(groupId)
    return ''
  },
  /** Somebody else's rule, as one of ours would be or already is wanted. */
  foreign: byHand((rules, id, stage, how) => {
    const wanted = [...stage.truth.asked().keys()]
    const [groupId, ...key] = (pick(wanted, how) ?? '').split(' ')
    const group = rules.get((groupId ?? '') as SecurityGroupId)
    const [protocol, ports, cidr] = key
    const [fromPort, toPort] =
      /^(-?\d+)-(-?\d+)$/
        .exec(ports ?? '')
        ?.slice(1)
        .map(Number) ?? []
    if (
      group === undefined ||
      protocol === undefined ||
      cidr === undefined ||
      [...group.values()].some((rule) => ruleKey(rule) === key.join(' '))
    )
      return false
    const owner = how % 3 === 0 ? { owner: `${CLUSTER_ID}/another-uid` } : how % 3 === 1 ? { owner: 'other/uid' } : {}
    const description = how % 2 === 0 ? '' : `${CLUSTER_ID}/web/${pick(NAMES, how) ?? ''}`
    group.set(id, {
      id,
      owned: false,
      ...owner,
      description,
      protocol: protocol as Protocol,
      fromPort: fromPort ?? -1,
      toPort: toPort ?? -1,
      cidr
    })
    return true
  }),
  foreignGone: byHand((rules, _id, _stage, how) => remove(rules, how, ({ owned }) => !owned)),
  revokedByHand: byHand((rules, _id, _stage, how) => remove(rules, how, ({ owned }) => owned)),
  untag: byHand((rules, _id, { invariants, world }, how) => {
    const owned = [...rules.values()].flatMap((group) => [...group.values()].map((rule) => ({ group, rule })))
    const chosen = pick(
      owned.filter(({ rule }) => rule.owned),
      how
    )
    if (chosen === undefined) return false
    chosen.group.set(chosen.rule.id, { ...chosen.rule, owned: false })
    invariants.untaggedAt.set(chosen.rule.id, world.clock.now())
    return true
  })
} satisfies Record<string, Deed>

type Rules = Map<SecurityGroupId, Map<string, ObservedRule>>

function byHand(change: (rules: Rules, id: string, stage: Stage, how: number) => boolean): Deed {
  return (stage, which) => {
    const { invariants, world } = stage
    const places = (): string[] =>
      [...world.ec2.rules].flatMap(([groupId, rules]) =>
        [...rules.values()].map((rule) => placeOf(groupId, ruleKey(rule)))
      )
    const before = places()
    const done: boolean[] = []
    world.ec2.byHand((rules, id) => {
      done.push(change(rules, id, stage, which))
    })
    const after = new Set(places())
    for (const place of before) if (!after.has(place)) invariants.goneByHandAt.set(place, world.clock.now())
    return done.includes(true) ? '' : undefined
  }
}

function remove(rules: Rules, how: number, isFit: (rule: ObservedRule) => boolean): boolean {
  const fit = [...rules.values()].flatMap((group) => [...group.values()].filter(isFit).map((rule) => ({ group, rule })))
  const chosen = pick(fit, how)
  return chosen?.group.delete(chosen.rule.id) ?? false
}

const FAULTS: readonly Fault[] = [
  'throttled',
  'denied',
  'expired',
  'internalBefore',
  'internalAfter',
  'lostBefore',
  'lostAfter',
  'lostAfter',
  'hangBefore',
  'hangAfter',
  'hangLate'
]
const CLUSTER_FAULTS: readonly ClusterFault[] = ['before', 'after']
const ACTIONS: readonly Action[] = [
  'AuthorizeSecurityGroupIngress',
  'RevokeSecurityGroupIngress',
  'ModifySecurityGroupRules',
  'DescribeSecurityGroupRules',
  'DescribeSecurityGroups'
]

export const AT_ONCE = (): number => 0

const trouble = {
  fault({ world }, which, how) {
    const fault = pick(FAULTS, which) ?? 'throttled'
    // One call, or one of the calls that follow it.
    for (let skipped = 0; skipped < how % 3; skipped++) world.ec2.faults.push('none')
    world.ec2.faults.push(fault)
    return fault
  },
  clusterFault({ world }, which) {
    const fault = pick(CLUSTER_FAULTS, which) ?? 'before'
    world.cluster.faults.push(fault)
    return fault
  },
  deny({ setting, world }, which) {
    const action = pick(ACTIONS, which) ?? 'DescribeSecurityGroups'
    if (action === 'ModifySecurityGroupRules' && !setting.mayModify) return undefined
    if (world.ec2.denied.delete(action)) return 'lifted'
    world.ec2.denied.add(action)
    return action
  },
  expire({ world }) {
    world.ec2.expired = !world.ec2.expired
    return world.ec2.expired ? '' : 'renewed'
  },
  quota({ setting, world }, which) {
    world.ec2.quota = pick([setting.quota, 2, 3, 5, 60], which) ?? setting.quota
    return ''
  },
  apiDown({ world }) {
    if (world.cluster.down) return undefined
    world.cluster.down = true
    return ''
  },
  apiUp({ world }) {
    if (!world.cluster.down) return undefined
    world.cluster.down = false
    return ''
  },
  /** Answers about permissions are late, or never come. */
  reviews({ world }, which, how) {
    const { clock, cluster } = world
    const name = pick(['late', 'late', 'none'] as const, which)
    if (cluster.reviewLatency !== AT_ONCE) cluster.reviewLatency = AT_ONCE
    else if (name === 'none') cluster.reviewLatency = () => Infinity
    else cluster.reviewLatency = () => Math.floor(clock.chance() * 1000 * (1 + (how % 7)))
    return cluster.reviewLatency === AT_ONCE ? 'at once' : name
  },
  watchBreak({ world }) {
    if (world.cluster.broken) return undefined
    world.cluster.breakWatches()
    return ''
  },
  relist({ world }) {
    if (world.cluster.down) return undefined
    world.cluster.relist()
    return ''
  },
  clockJump({ world }, which) {
    world.wallOff = pick([0, -5000, 5000, -60_000, 60_000, -600_000, 600_000], which) ?? 0
    return ''
  },
  /** The lease could not be renewed for a while; not for long, else another leads. */
  lease({ world }, which) {
    const leader = world.leader()
    if (leader === undefined || world.leaseInDoubt) return undefined
    world.leaseInDoubt = true
    const at = world.clock.now()
    world.clock.after(pick([200, 1000, 4000], which) ?? 200, () => {
      if (world.leader() === leader && world.pausedUntil() <= at) world.leaseInDoubt = false
    })
    return ''
  },
  pause({ world }, which) {
    if (!world.alive()) return undefined
    world.pause(pick([500, 3000, 8000, 20_000], which) ?? 500)
    return ''
  },
  kill({ world }) {
    if (!world.alive()) return undefined
    world.kill()
    return ''
  },
  /** At one of the next awaits of an answer, before what was asked is done or after it. */
  killAt({ world }, which) {
    if (!world.alive()) return undefined
    world.killAt(1 + (which % 24))
    return ''
  },
  start({ world }) {
    if (world.cluster.down) return undefined
    world.restart()
    return ''
  },
  takeOver({ setting, world }) {
    if (!setting.standby || world.cluster.down) return undefined
    world.takeOver()
    world.standby()
    return ''
  }
} satisfies Record<string, Deed>

/** Nothing goes wrong by these, and whoever does his work must not notice. */
const lag = {
  lag({ world }, which) {
    world.ec2.readBehind = pick([LAG - 100, LAG / 2, 0], which) ?? 0
    return ''
  },
  wait: () => ''
} satisfies Record<string, Deed>

const DEEDS = { ...lives, ...meddling, ...trouble, ...lag }
export type StepName = keyof typeof DEEDS

/** How often each is drawn. */
export const WEIGHTS: Readonly<Record<StepName, number>> = {
  create: 14,
  run: 16,
  conflict: 2,
  edit: 6,
  blank: 2,
  unblank: 2,
  renumber: 2,
  delete: 6,
  crash: 2,
  startAgain: 4,
  terminated: 2,
  drained: 4,
  complete: 4,
  fail: 2,
  force: 2,
  unlabel: 1,
  strip: 1,
  vanish: 1,
  nodeGone: 1,
  nodeBack: 2,
  podGC: 2,
  permission: 4,
  optIn: 2,
  groupGone: 1,
  foreign: 2,
  foreignGone: 2,
  revokedByHand: 1,
  untag: 1,
  fault: 8,
  clusterFault: 3,
  deny: 2,
  expire: 1,
  quota: 2,
  apiDown: 1,
  apiUp: 2,
  reviews: 3,
  watchBreak: 1,
  relist: 2,
  clockJump: 1,
  kill: 1,
  lease: 1,
  pause: 2,
  killAt: 3,
  start: 3,
  takeOver: 2,
  lag: 3,
  wait: 8
}

/** Where one pod's declaration is changed again and again. */
export const EDITING: Readonly<Partial<Record<StepName, number>>> = {
  create: 6,
  run: 8,
  edit: 24,
  renumber: 2,
  blank: 1,
  unblank: 1,
  complete: 2,
  delete: 1,
  drained: 2,
  startAgain: 1,
  crash: 1,
  permission: 2,
  optIn: 1,
  foreign: 1,
  foreignGone: 1,
  revokedByHand: 1,
  untag: 1,
  fault: 8,
  clusterFault: 1,
  deny: 3,
  quota: 2,
  reviews: 2,
  relist: 1,
  lease: 1,
  pause: 1,
  killAt: 2,
  start: 3,
  takeOver: 2,
  lag: 3,
  wait: 6
}

export const isTrouble = (name: StepName): boolean => name in trouble || name in meddling

/** @returns what is to be counted, undefined when the step did nothing */
export function take(stage: Stage, step: Step): string | undefined {
  const deeds: Readonly<Record<StepName, Deed>> = DEEDS
  const done = deeds[step.do](stage, step.which, step.how)
  if (done === undefined) return undefined
  if (isTrouble(step.do)) stage.invariants.ill()
  return done === '' ? step.do : `${step.do} ${done}`
}
