import fc from 'fast-check'
import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import { ruleKey } from '../shared/rules.ts'
import type { Protocol } from '../shared/rules.ts'
import { GROUP, OTHER_GROUP } from './podFixture.ts'
import { endOf } from './pods.ts'
import { createWorld, LAG, wantedRules } from './worldFixture.ts'
import type { Fault, World } from './worldFixture.ts'

const PODS = ['a', 'b', 'c', 'd', 'e']
const ADDRESSES = ['10.64.0.1', '10.64.0.2', '10.64.0.3']
const ASKS: Record<string, string>[] = [
  {},
  { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' },
  { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443,tcp:5000-5050' },
  { [`sg.amazonaws.com/${GROUP}`]: 'tcp:80', [`sg.amazonaws.com/${OTHER_GROUP}`]: 'tcp:443' }
]

type Step =
  | { readonly do: 'create'; readonly pod: string; readonly ask: number }
  | { readonly do: 'address'; readonly pod: string; readonly address: string }
  | { readonly do: 'edit'; readonly pod: string; readonly ask: number }
  | { readonly do: 'delete' | 'drained' | 'complete' | 'force' | 'unlabel' | 'strip'; readonly pod: string }
  | { readonly do: 'fault'; readonly fault: Fault }
  | { readonly do: 'lag' | 'noLag' | 'kill' | 'start' | 'foreign' | 'revokedByHand' | 'apiDown' | 'apiUp' }
  | { readonly do: 'wait'; readonly ms: number }

/** What the kubelet, users and bad luck do. Impossible steps (an address for a pod that is gone) do nothing. */
function take(world: World, step: Step): void {
  const { clock, cluster, ec2 } = world
  const pod = 'pod' in step ? cluster.named(step.pod) : undefined
  const living = pod !== undefined && pod.phase !== 'Succeeded' && pod.phase !== 'Failed'
  switch (step.do) {
    case 'create':
      if (pod === undefined) cluster.create(step.pod, ASKS[step.ask] ?? {})
      break
    case 'address':
      // The CNI gives out an address once its last holder's containers are gone.
      if (
        living &&
        pod.addresses.length === 0 &&
        pod.deletionTimestamp === undefined &&
        !heldByLiving(world, step.address)
      ) {
        cluster.edit(step.pod, { addresses: [step.address], phase: 'Running', startedAt: clock.now() })
      }
      break
    case 'edit': {
      const annotations = ASKS[step.ask] ?? {}
      const annotated = Object.keys(annotations).length > 0
      if (!living || pod.deletionTimestamp !== undefined) break
      // The webhook stamps what becomes annotated.
      const marks = annotated ? { finalized: true, heldByFinalizer: true, labelled: true } : {}
      cluster.edit(step.pod, { annotated, declaration: parseAnnotations(annotations), ...marks })
      break
    }
    case 'delete':
      if (pod === undefined || pod.deletionTimestamp !== undefined) break
      cluster.edit(step.pod, {
        deletionTimestamp: clock.now(),
        gracePeriodSeconds: living && pod.addresses.length > 0 ? 30 : 0
      })
      break
    case 'drained':
      if (living && pod.deletionTimestamp !== undefined)
        cluster.edit(step.pod, { phase: 'Succeeded', containersTerminatedAt: clock.now(), gracePeriodSeconds: 0 })
      break
    case 'complete':
      if (living && pod.addresses.length > 0)
        cluster.edit(step.pod, { phase: 'Succeeded', containersTerminatedAt: clock.now() })
      break
    case 'force':
      if (pod !== undefined) cluster.edit(step.pod, { deletionTimestamp: clock.now(), gracePeriodSeconds: 0 })
      break
    case 'unlabel':
      cluster.edit(step.pod, { labelled: false })
      break
    case 'strip':
      cluster.edit(step.pod, { finalized: false, heldByFinalizer: false })
      break
    case 'fault':
      ec2.faults.push(step.fault)
      break
    case 'lag':
      ec2.readBehind = LAG - 100
      break
    case 'noLag':
      ec2.readBehind = 0
      break
    case 'kill':
      world.kill()
      break
    case 'start':
      break
    case 'foreign':
      ec2.byHand((rules, id) => {
        const taken = [...(rules.get(GROUP)?.values() ?? [])].some(
          (rule) => rule.cidr === '10.64.0.1/32' && rule.fromPort === 443
        )
        if (!taken)
          rules.get(GROUP)?.set(id, {
            id,
            owned: false,
            description: '',
            protocol: 'tcp' as Protocol,
            fromPort: 443,
            toPort: 443,
            cidr: '10.64.0.1/32'
          })
      })
      break
    case 'revokedByHand':
      ec2.byHand((rules) => {
        const [first] = rules.get(GROUP)?.keys() ?? []
        if (first !== undefined) rules.get(GROUP)?.delete(first)
      })
      break
    case 'apiDown':
      cluster.down = true
      break
    case 'apiUp':
      cluster.down = false
      break
    case 'wait':
      break
  }
}

function heldByLiving({ cluster }: World, address: string): boolean {
  return [...cluster.pods.values()].some(
    (pod) => pod.phase !== 'Succeeded' && pod.phase !== 'Failed' && pod.addresses.includes(address)
  )
}

const onPod = fc.constantFrom(...PODS)
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('create' as const), pod: onPod, ask: fc.integer({ min: 0, max: 3 }) })
  },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constant('address' as const), pod: onPod, address: fc.constantFrom(...ADDRESSES) })
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('edit' as const), pod: onPod, ask: fc.integer({ min: 0, max: 3 }) })
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constantFrom('delete' as const, 'drained', 'complete'), pod: onPod }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constantFrom('force' as const, 'unlabel', 'strip'), pod: onPod }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('fault' as const),
      fault: fc.constantFrom<Fault>('throttled', 'denied', 'lostBefore', 'lostAfter')
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('lag' as const, 'noLag', 'kill', 'start', 'foreign', 'revokedByHand', 'apiDown', 'apiUp')
    })
  },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.oneof(fc.integer({ min: 1, max: 300 }), fc.integer({ min: 300, max: 20_000 }))
    })
  }
)

/** MAX_HOLD as shipped. */
const HOLD = 120_000

/** @returns what went wrong; nothing, if all is well */
async function live(steps: readonly Step[]): Promise<string[]> {
  const world = createWorld([GROUP, OTHER_GROUP])
  const { clock, cluster, ec2 } = world
  const wrongs: string[] = []
  let startedAt = clock.now()
  /** Since when each wanted rule has been wanted without a break. */
  const wantedSince = new Map<string, number>()
  const wantedNow = (): Set<string> => {
    const groups = [...ec2.rules.keys()]
    return new Set(
      groups.flatMap((groupId) =>
        wantedRules(cluster, groupId, clock.now(), true).map((rule) => `${groupId} ${ruleKey(rule)}`)
      )
    )
  }
  cluster.onRelease = (pod) => {
    const end = endOf(pod, false, clock.now())
    // What a lagging read hides from a worker that has just started, its next sweep finds: a stated bound.
    if ((end !== undefined && clock.now() >= end.at + HOLD) || clock.now() < startedAt + LAG) return
    // Another pod at the address that we hold answers for the rule: its release is looked at just so.
    const others = [...cluster.pods.values()].filter((other) => other.uid !== pod.uid && other.finalized)
    const alone = pod.addresses.filter((address) => !others.some(({ addresses }) => addresses.includes(address)))
    for (const [groupId, rules] of ec2.rules) {
      const wanted = new Set(wantedRules(cluster, groupId, clock.now()).map(ruleKey))
      for (const rule of rules.values()) {
        const left = rule.owned && !wanted.has(ruleKey(rule)) && alone.some((address) => rule.cidr === `${address}/32`)
        if (left) wrongs.push(`${pod.uid} was released before its rule ${ruleKey(rule)} was gone`)
      }
    }
  }
  const look = (): void => {
    const wanted = wantedNow()
    for (const key of wantedSince.keys()) if (!wanted.has(key)) wantedSince.delete(key)
    for (const key of wanted) if (!wantedSince.has(key)) wantedSince.set(key, clock.now())
    for (const { at, groupId, rule } of ec2.revokes.splice(0)) {
      if (!rule.owned) wrongs.push(`a foreign rule was revoked: ${ruleKey(rule)}`)
      const since = wantedSince.get(`${groupId} ${ruleKey(rule)}`)
      if (since !== undefined && since + 1000 < at)
        wrongs.push(`a rule wanted for ${String(at - since)} ms was revoked: ${ruleKey(rule)}`)
    }
  }
  const start = (): void => {
    startedAt = clock.now()
    world.restart()
  }
  start()
  for (const taken of steps) {
    if (taken.do === 'start') start()
    else take(world, taken)
    look()
    await clock.advance(taken.do === 'wait' ? taken.ms : 10)
    look()
  }
  await comeToRest(world, start, look)
  return [...wrongs, ...world.wrongs()]
}

/** No more faults, somebody works, and everybody who drains gets there. */
async function comeToRest(world: World, start: () => void, look: () => void): Promise<void> {
  const { clock, cluster, ec2 } = world
  cluster.down = false
  ec2.faults = []
  ec2.readBehind = 0
  // A restart would hide what only a long-lived worker gets wrong.
  if (!world.alive()) start()
  for (const pod of [...cluster.pods.values()])
    if (pod.deletionTimestamp !== undefined) take(world, { do: 'drained', pod: pod.name })
  // Longer than the pass over all pods takes to come round.
  for (let minute = 0; minute < 13; minute++) {
    await clock.advance(60_000)
    look()
  }
}

const RUNS = Number(process.env.HISTORIES ?? 400)
// A run of the whole suite meets the same histories each time; `make soak` meets new ones.
const SEED = process.env.HISTORIES === undefined ? { seed: 20261121 } : {}

t.test('whatever happens: rules for all who claim and for none else, nobody held, nobody released early', async (t) => {
  const lengths: number[] = []
  const result = await fc.check(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 80, size: 'max' }), async (steps) => {
      lengths.push(steps.length)
      const wrongs = await live(steps)
      if (wrongs.length > 0) throw new Error(wrongs.join('; '))
    }),
    { numRuns: RUNS, ...SEED }
  )
  const median = lengths.toSorted((one, other) => one - other)[lengths.length >> 1]
  t.comment(`${String(lengths.length)} histories of a median of ${String(median)} steps, seed ${String(result.seed)}`)
  if (result.failed) {
    const history = JSON.stringify(result.counterexample?.[0])
    t.fail(
      `${String(result.errorInstance)}; seed ${String(result.seed)}, path ${result.counterexamplePath ?? ''}: ${history}`
    )
  } else t.equal(result.numRuns, RUNS)
})
