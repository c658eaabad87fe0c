/** The real loop on a clock and a network of our own: hours pass in milliseconds, and every misfortune is drawn. */
import fc from 'fast-check'
import t from 'tap'
import { silentLogger } from '../../shared/kubernetes/connectionFixture.ts'
import { freeFrom, sight } from '../election.ts'
import type { LeaseRecord } from '../election.ts'
import { campaign } from './leaseCampaign.ts'
import type { Campaign } from './leaseCampaign.ts'
import type { LeaseStore, StoredLease } from './leaseStore.ts'

const timing = { leaseDuration: 10_000, renewDeadline: 7000, retryPeriod: 2000 }

interface World {
  now: number
  at(time: number, run: () => void): void
  /** Runs what is due until then, letting promises settle after each step. */
  runUntil(time: number, afterStep?: () => void): Promise<void>
}

function createWorld(): World {
  const due: { time: number; order: number; run: () => void }[] = []
  let order = 0
  return {
    now: 0,
    at(time, run) {
      due.push({ time: Math.max(time, this.now), order: order++, run })
    },
    async runUntil(time, afterStep) {
      for (;;) {
        due.sort((a, b) => a.time - b.time || a.order - b.order)
        if (due[0] === undefined || due[0].time > time) break
        const next = due.shift()
        this.now = next?.time ?? this.now
        next?.run()
        await new Promise((resolve) => setImmediate(resolve))
        afterStep?.()
      }
      this.now = time
    }
  }
}

/** What the network does to one message: arrives after so many milliseconds, or never. */
type Fate = number | 'lost'

interface Server {
  lease: { record: LeaseRecord; version: number } | undefined
  /** Connection refused until then. */
  downUntil: number
  /** Who watches for the lease being given back. */
  readonly watches: Set<() => void>
}

interface Process {
  readonly campaign: Campaign
  readonly identity: string
  /** This process's monotonic clock. */
  now(): number
  /** The process does nothing until then, then goes on as if nothing had been (SIGSTOP, a long pause). */
  pauseUntil(time: number): void
  crash(): void
  readonly crashed: boolean
  readonly events: string[]
}

let versions = 0

function start(world: World, server: Server, identity: string, drawFate: () => Fate, offset = 0): Process {
  let pausedUntil = 0
  let crashed = false
  const events: string[] = []
  const now = (): number => world.now + offset
  /** Runs in this process: later while it is paused, never once it crashed. */
  const inside = (time: number, run: () => void): void =>
    world.at(time, () => {
      if (crashed) return
      if (world.now < pausedUntil) inside(pausedUntil, run)
      else run()
    })

  function call<T>(act: () => T, timeout: number, signal: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error))
      if (signal.aborted) return reject(signal.reason as Error)
      inside(world.now + timeout, () => reject(new Error('timed out')))
      if (world.now < server.downUntil) return inside(world.now + 1, () => reject(new Error('refused')))
      const there = drawFate()
      const back = drawFate()
      if (there === 'lost') return
      world.at(world.now + there, () => {
        if (world.now < server.downUntil) return
        const result = act()
        if (back !== 'lost') inside(world.now + back, () => resolve(result))
      })
    })
  }

  const store: LeaseStore = {
    read: (timeout, signal) => call(() => server.lease && { ...server.lease }, timeout, signal),
    write: (previous, record, timeout, signal) =>
      call(
        (): StoredLease | 'conflict' => {
          if (previous?.version !== server.lease?.version) return 'conflict'
          server.lease = { record, version: ++versions }
          if (record.holderIdentity === '') for (const tell of server.watches) tell()
          return { ...server.lease }
        },
        timeout,
        signal
      )
  }
  const running = campaign({
    store,
    identity,
    timing,
    logger: silentLogger,
    clock: {
      now,
      wallTime: () => String(versions + world.now),
      random: () => 0.5,
      sleep: (ms, signal) =>
        new Promise((resolve, reject) => {
          if (signal.aborted) return reject(signal.reason as Error)
          signal.addEventListener('abort', () => reject(signal.reason as Error))
          inside(world.now + ms, resolve)
        })
    },
    watchReleases(onRelease, signal) {
      const tell = (): void => {
        const late = drawFate()
        if (late !== 'lost') inside(world.now + late, onRelease)
      }
      server.watches.add(tell)
      signal.addEventListener('abort', () => server.watches.delete(tell))
    },
    onLead: () => events.push('lead'),
    onLost: (reason) => events.push(`lost: ${reason}`)
  })
  return {
    campaign: running,
    identity,
    now,
    events,
    pauseUntil: (time) => (pausedUntil = time),
    crash: () => (crashed = true),
    get crashed() {
      return crashed
    }
  }
}

const holds = (process: Process): boolean => !process.crashed && process.now() < process.campaign.validUntil()
const leads = (process: Process): boolean => !process.crashed && process.campaign.isLeading(process.now())

type Misfortune =
  | { at: number; kind: 'crash'; who: number }
  | { at: number; kind: 'pause'; who: number; lasts: number }
  | { at: number; kind: 'down'; lasts: number }

const instant = fc.integer({ min: 0, max: 100_000 })
const lasts = fc.integer({ min: 1, max: 25_000 })
const who = fc.integer({ min: 0, max: 2 })
const misfortune: fc.Arbitrary<Misfortune> = fc.oneof(
  fc.record({ at: instant, kind: fc.constant('crash' as const), who }),
  fc.record({ at: instant, kind: fc.constant('pause' as const), who, lasts }),
  fc.record({ at: instant, kind: fc.constant('down' as const), lasts })
)
const fate: fc.Arbitrary<Fate> = fc.oneof(
  { weight: 20, arbitrary: fc.integer({ min: 1, max: 50 }) },
  { weight: 5, arbitrary: fc.integer({ min: 1, max: 15_000 }) },
  { weight: 2, arbitrary: fc.constant<Fate>('lost') }
)

t.test('never two holders, whatever is lost, late, paused or crashed; and always one again', async (t) => {
  let takeovers = 0
  const property = fc.asyncProperty(
    fc.array(misfortune, { maxLength: 8 }),
    fc.infiniteStream(fate),
    fc.array(fc.integer({ min: -1_000_000, max: 1_000_000 }), { minLength: 3, maxLength: 3 }),
    async (misfortunes, fates, offsets) => {
      const world = createWorld()
      const server: Server = { lease: undefined, downUntil: 0, watches: new Set() }
      let calm = false
      const drawFate = (): Fate => {
        const next = fates.next()
        return calm || next.done === true ? 5 : next.value
      }
      let born = 0
      const bear = (slot: number): Process => start(world, server, `process-${String(born++)}`, drawFate, offsets[slot])
      const alive = [bear(0), bear(1), bear(2)]
      const all = [...alive]
      const replace = (slot: number): void => {
        const next = bear(slot)
        alive[slot] = next
        all.push(next)
      }
      for (const one of misfortunes)
        world.at(one.at, () => {
          if (one.kind === 'down') server.downUntil = Math.max(server.downUntil, world.now + one.lasts)
          else if (one.kind === 'pause') alive[one.who]?.pauseUntil(world.now + one.lasts)
          else {
            alive[one.who]?.crash()
            world.at(world.now + 500, () => replace(one.who))
          }
        })
      let last: string | undefined
      const check = (): void => {
        const holders = all.filter(holds)
        if (holders.length > 1) throw new Error(`two hold it: ${holders.map((one) => one.identity).join(', ')}`)
        for (const one of all) if (leads(one) && !holds(one)) throw new Error(`${one.identity} leads without holding`)
        if (holders[0] !== undefined && holders[0].identity !== last) {
          if (last !== undefined) takeovers++
          last = holders[0].identity
        }
        alive.forEach((one, slot) => {
          if (one.events.some((event) => event.startsWith('lost'))) replace(slot)
        })
      }
      await world.runUntil(125_000, check)
      calm = true
      // A message may be under way for 15 s and renew the lease of one long gone.
      await world.runUntil(125_000 + 15_000 + timing.leaseDuration + 3 * timing.retryPeriod, check)
      if (!all.some(leads)) throw new Error('nobody leads')
      for (const one of alive) one.crash()
    }
  )
  await fc.assert(property, { numRuns: 120 })
  t.ok(takeovers > 50, `the lease changed hands ${String(takeovers)} times`)
})

t.test('a silence of the API server shorter than the deadline less a retry period costs nothing', async (t) => {
  const losses: string[] = []
  const lasting = timing.renewDeadline - timing.retryPeriod - 700
  for (let from = 3000; from < 9000; from += 100) {
    const world = createWorld()
    const server: Server = { lease: undefined, downUntil: 0, watches: new Set() }
    const one = start(world, server, 'one', () => 5)
    world.at(from, () => (server.downUntil = from + lasting))
    await world.runUntil(from + 20_000)
    if (one.events.length > 1) losses.push(`silent from ${String(from)}: ${one.events.join(', ')}`)
    one.crash()
  }
  t.same(losses, [])
})

t.test('a process that slept over the answer to its write does not lead when it wakes', async (t) => {
  for (const [slept, at, told] of [
    ['while taking', 10, []],
    ['while renewing', 2020, ['lead', 'lost: not renewed for 7000 ms']]
  ] as const) {
    const world = createWorld()
    const server: Server = { lease: undefined, downUntil: 0, watches: new Set() }
    const one = start(world, server, 'one', () => 5)
    await world.runUntil(at)
    const written = server.lease?.version
    while (server.lease?.version === written) await world.runUntil(world.now + 1)
    one.pauseUntil(world.now + 30_000)
    const two = start(world, server, 'two', () => 5)
    await world.runUntil(world.now + 40_000, () => {
      if (holds(one) && holds(two)) t.fail('both')
    })
    t.same([one.events, two.events], [told, ['lead']], slept)
  }
})

t.test('a lease that comes in the moment of the stop is given back, not led', async (t) => {
  const world = createWorld()
  const written: LeaseRecord[] = []
  let deliver = (): void => undefined
  const events: string[] = []
  const running = campaign({
    identity: 'one',
    timing,
    logger: silentLogger,
    clock: { now: () => world.now, wallTime: () => '', random: () => 0, sleep: () => new Promise(() => undefined) },
    store: {
      read: () => Promise.resolve(undefined),
      write: (_previous, record) =>
        new Promise((resolve) => {
          written.push(record)
          deliver = () => resolve({ record, version: written.length })
          if (written.length > 1) deliver()
        })
    },
    onLead: () => events.push('lead'),
    onLost: () => events.push('lost')
  })
  await new Promise((resolve) => setImmediate(resolve))
  deliver()
  await running.stop()
  t.same(
    written.map((record) => record.holderIdentity),
    ['one', '']
  )
  t.same(events, [])
})

t.test('who cannot begin to work does not keep the lease from others', async (t) => {
  const lost: string[] = []
  const running = campaign({
    identity: 'one',
    timing,
    logger: silentLogger,
    clock: { now: () => 0, wallTime: () => '', random: () => 0, sleep: () => new Promise(() => undefined) },
    store: {
      read: () => Promise.resolve(undefined),
      write: (_previous, record) => Promise.resolve({ record, version: 1 })
    },
    onLead() {
      throw new Error('made to fail')
    },
    onLost: (reason) => lost.push(reason)
  })
  await new Promise((resolve) => setImmediate(resolve))
  t.same(lost, ['the work of the leader could not be begun'])
  t.equal(running.validUntil(), -Infinity)
  await running.stop()
})

t.test('a lease that is given back is taken at once, not at the next look', async (t) => {
  for (let stopAt = 3000; stopAt < 5000; stopAt += 300) {
    const world = createWorld()
    const server: Server = { lease: undefined, downUntil: 0, watches: new Set() }
    const one = start(world, server, 'one', () => 5)
    await world.runUntil(1000)
    const two = start(world, server, 'two', () => 5)
    await world.runUntil(stopAt)
    t.same([one.events, two.events, server.watches.size], [['lead'], [], 1])
    const stopped = one.campaign.stop()
    await new Promise((resolve) => setImmediate(resolve))
    await world.runUntil(stopAt + 100)
    await stopped
    t.same(two.events, ['lead'], `stopped at ${stopAt}`)
    t.equal(server.watches.size, 0, 'who leads watches no more')
    two.crash()
  }
})

t.test('a holder that is cut off says so before another takes over', async (t) => {
  const world = createWorld()
  const server: Server = { lease: undefined, downUntil: 0, watches: new Set() }
  let cut = false
  const one = start(world, server, 'one', () => (cut ? 'lost' : 5))
  await world.runUntil(1000)
  const two = start(world, server, 'two', () => 5)
  await world.runUntil(4000)
  t.same([one.events, two.events], [['lead'], []])
  cut = true
  let order: string[] = []
  await world.runUntil(30_000, () => {
    order = [...one.events.slice(1).map(() => 'lost'), ...two.events]
    if (two.events.length > 0 && one.events.length < 2) throw new Error('taken before it was lost')
  })
  t.same(order, ['lost', 'lead'])
  t.match(one.events[1], /not renewed for 7000 ms/)
})

t.test('a crash is followed after the lease ran out; a stop at once', async (t) => {
  const world = createWorld()
  const server: Server = { lease: undefined, downUntil: 0, watches: new Set() }
  const one = start(world, server, 'one', () => 5)
  await world.runUntil(1000)
  const two = start(world, server, 'two', () => 5)
  await world.runUntil(4000)
  one.crash()
  await world.runUntil(4000 + timing.leaseDuration - timing.retryPeriod - 100)
  t.same(two.events, [])
  await world.runUntil(4000 + timing.leaseDuration + timing.retryPeriod)
  t.same(two.events, ['lead'])
  const three = start(world, server, 'three', () => 5)
  await world.runUntil(world.now + 3000)
  const stopped = two.campaign.stop()
  t.notOk(leads(two), 'at once')
  await world.runUntil(world.now + 1.2 * timing.retryPeriod + 50)
  await stopped
  t.same([two.events, three.events], [['lead'], ['lead']], 'stop is no loss')
  t.match(server.lease, { record: { holderIdentity: 'three', leaseTransitions: 2 } })
})

t.test('a lease given to another by hand is lost at once; one deleted is written again', async (t) => {
  const world = createWorld()
  const server: Server = { lease: undefined, downUntil: 0, watches: new Set() }
  const one = start(world, server, 'one', () => 5)
  await world.runUntil(1000)
  const two = start(world, server, 'two', () => 5)
  await world.runUntil(3000)
  server.lease = undefined
  await world.runUntil(9000)
  t.same([one.events, two.events], [['lead'], []])
  t.match(server.lease, { record: { holderIdentity: 'one' } })
  const taken: LeaseRecord = { holderIdentity: 'thief', leaseDurationSeconds: 10, leaseTransitions: 1 }
  server.lease = { record: taken, version: ++versions }
  await world.runUntil(world.now + timing.retryPeriod + 50)
  t.match(one.events[1], /lost: taken by 'thief'/)
  const free = freeFrom(sight(undefined, taken, world.now), 'two')
  await world.runUntil(free + timing.retryPeriod)
  t.same(two.events, ['lead'])
})

t.test('stopped before it was ever held', async (t) => {
  const world = createWorld()
  const server: Server = { lease: undefined, downUntil: Infinity, watches: new Set() }
  const one = start(world, server, 'one', () => 5)
  await world.runUntil(5000)
  await one.campaign.stop()
  t.same(one.events, [])
  t.equal(server.lease, undefined)
})
