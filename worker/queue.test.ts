import fc from 'fast-check'
import t from 'tap'
import { createQueue } from './queue.ts'
import type { Outcome, QueueObserver, Timers } from './queue.ts'

/** A clock that moves only when told, with the timers that fall due on the way. */
function manualClock() {
  let now = 0
  const timers: { at: number; run: () => void }[] = []
  const clock: Timers = {
    now: () => now,
    chance: () => 0.5,
    after(delay, run) {
      const timer = { at: now + delay, run }
      timers.push(timer)
      return () => {
        const index = timers.indexOf(timer)
        if (index >= 0) timers.splice(index, 1)
      }
    }
  }
  return {
    clock,
    async advance(by: number) {
      const until = now + by
      for (;;) {
        await settled()
        const next = timers.filter(({ at }) => at <= until).sort((one, other) => one.at - other.at)[0]
        if (next === undefined) break
        timers.splice(timers.indexOf(next), 1)
        now = next.at
        next.run()
      }
      now = until
      await settled()
    }
  }
}
const settled = async () => {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

function queueOf(run: (key: string) => Promise<Outcome>, concurrency = 4, observer?: QueueObserver) {
  const { clock, ...manual } = manualClock()
  const advance = (by: number) => manual.advance(by)
  const errors: [string, number][] = []
  const queue = createQueue({
    run,
    timers: clock,
    concurrency,
    coalesce: 100,
    retryAfter: (_error, failures) => 1000 * failures,
    onError: (key, _error, failures) => errors.push([key, failures]),
    ...(observer === undefined ? {} : { observer })
  })
  return { queue, advance, clock, errors }
}

t.test('the first event runs at once, a burst becomes one more run', async (t) => {
  const starts: number[] = []
  const { advance, clock, queue } = queueOf(async () => {
    starts.push(clock.now())
    return {}
  })
  queue.add('g')
  await advance(0)
  for (let event = 0; event < 50; event++) queue.add('g')
  await advance(1000)
  t.same(starts, [0, 100])
})

t.test('what pours in after a run is waited for until it ceases for a moment', async (t) => {
  const starts: number[] = []
  const { advance, clock, queue } = queueOf(async () => {
    starts.push(clock.now())
    return {}
  })
  for (let event = 0; event < 60; event++) {
    queue.add('g')
    await advance(5)
  }
  await advance(1000)
  t.same(starts, [0, 305], 'the first at once, the others together')
  queue.add('g')
  await advance(50)
  queue.add('g')
  await advance(1000)
  t.same(starts.slice(2), [1300, 1400], 'and sparse events wait for no others')
})

t.test('what never ceases to pour in is not waited for beyond a second', async (t) => {
  const starts: number[] = []
  const { advance, clock, queue } = queueOf(async () => {
    starts.push(clock.now())
    return {}
  })
  for (let event = 0; event < 1000; event++) {
    queue.add('g')
    queue.add('other')
    await advance(5)
  }
  const gaps = starts.slice(2).map((at, index) => at - (starts[index] ?? NaN))
  t.same(starts.slice(0, 2), [0, 0])
  t.ok(gaps.length >= 6)
  t.strictSame(
    gaps.filter((gap) => gap < 1000 || gap > 1020),
    []
  )
})

t.test('a process that is too busy to keep an appointment has not heard of everything', async (t) => {
  const starts: number[] = []
  let behind = 0
  const { clock, ...manual } = manualClock()
  const queue = createQueue({
    run: async (_key: string): Promise<Outcome> => {
      starts.push(clock.now())
      return {}
    },
    // Timers fall due, and nobody has time for them.
    timers: { ...clock, after: (delay, run) => clock.after(delay + behind, run) },
    concurrency: 4,
    coalesce: 100,
    retryAfter: () => 1000,
    onError: () => undefined
  })
  queue.add('g')
  await manual.advance(50)
  behind = 40
  queue.add('g')
  await manual.advance(150)
  t.same(starts, [0], 'it was to be run at 100, and was put off')
  behind = 0
  await manual.advance(1000)
  t.same(starts, [0, 250], 'once it had time to listen')
})

t.test('after a run that called nobody the next event waits for a moment only', async (t) => {
  const starts: number[] = []
  const idle = [true, true, false, true, false, false]
  const { advance, clock, queue } = queueOf(async () => {
    starts.push(clock.now())
    return { idle: idle[starts.length - 1] ?? false }
  })
  queue.add('g')
  await advance(1)
  for (let event = 0; event < 5; event++) queue.add('g')
  await advance(29)
  queue.add('g')
  await advance(5)
  queue.add('g')
  await advance(500)
  t.same(starts, [0, 10, 30, 130])
  queue.add('g')
  await advance(0)
  t.same(starts.slice(4), [635 - 100], 'and what was said during or before a run counts no more than once')
})

t.test('an event during a run that turns out to have called somebody waits like any other', async (t) => {
  const starts: number[] = []
  let end = (): void => undefined
  const { advance, clock, queue } = queueOf(async () => {
    starts.push(clock.now())
    await new Promise<void>((resolve) => (end = resolve))
    return { idle: starts.length === 2 }
  })
  queue.add('g')
  await advance(5)
  queue.add('g')
  end()
  await advance(200)
  t.same(starts, [0, 100])
  queue.add('g')
  await advance(2)
  end()
  await advance(200)
  t.same(starts, [0, 100, 207])
})

t.test('an event during a run is not lost', async (t) => {
  const open: (() => void)[] = []
  let runs = 0
  const { advance, queue } = queueOf(async () => {
    runs += 1
    if (runs === 1) await new Promise<void>((resolve) => open.push(resolve))
    return {}
  })
  queue.add('g')
  await advance(500)
  queue.add('g')
  await advance(500)
  t.equal(runs, 1, 'one run a key at a time')
  open[0]?.()
  await advance(500)
  t.equal(runs, 2)
})

t.test('a failed run comes back by itself, later each time; an event brings it back after a second', async (t) => {
  const starts: number[] = []
  const { advance, clock, errors, queue } = queueOf(async () => {
    starts.push(clock.now())
    throw new Error('no')
  })
  queue.add('g')
  await advance(3500)
  t.same(starts, [0, 1000, 3000])
  queue.add('g')
  await advance(600)
  t.same(starts, [0, 1000, 3000, 4000])
  t.same(errors.at(-1), ['g', 4])
})

t.test('a run may ask to come back; an event comes first', async (t) => {
  const starts: number[] = []
  const { advance, clock, queue } = queueOf(async () => {
    starts.push(clock.now())
    return starts.length < 3 ? { againAfter: 5000 } : {}
  })
  queue.add('g')
  await advance(1000)
  queue.add('g')
  await advance(20_000)
  t.same(starts, [0, 1000, 6000])
})

t.test('an observer is told of every run: what an event added, and what a timer did, by their own times', async (t) => {
  const told: string[] = []
  const observer: QueueObserver = {
    added: () => told.push('added'),
    started: (waited) => told.push(`started after ${String(waited)}`),
    ended: (worked) => told.push(`ended after ${String(worked)}`),
    retried: () => told.push('retried')
  }
  let run = 0
  const { advance, clock, queue } = queueOf(
    async () => {
      run += 1
      if (run > 3) return {}
      await new Promise<void>((resolve) => clock.after(30, resolve))
      if (run === 2) throw new Error('no')
      return { againAfter: 5000 }
    },
    1,
    observer
  )
  queue.add('g')
  queue.add('g')
  await advance(10)
  t.same([queue.depth, queue.startedAt()], [0, [0]])
  queue.add('g')
  await advance(50)
  t.same([queue.depth, queue.waiting], [1, 1], 'the event waits for the end of coalescing')
  await advance(100)
  t.same([queue.depth, queue.waiting], [0, 1], 'a retry waits for its time, and is not counted until then')
  t.same(told, ['added', 'started after 0', 'added', 'ended after 30', 'started after 90', 'retried', 'ended after 30'])
  told.length = 0
  await advance(10_000)
  t.same(told, ['added', 'started after 0', 'ended after 30', 'added', 'started after 0', 'ended after 0'])
})

t.test('stop starts nothing new and waits for what runs', async (t) => {
  let release: () => void = () => undefined
  const ran: string[] = []
  const { advance, queue } = queueOf(async (key) => {
    ran.push(key)
    await new Promise<void>((resolve) => (release = resolve))
    return {}
  }, 1)
  queue.add('a')
  queue.add('b')
  await advance(0)
  let stopped = false
  const stopping = queue.stop().then(() => (stopped = true))
  await advance(1000)
  t.equal(stopped, false)
  release()
  await stopping
  queue.add('c')
  await advance(1000)
  t.same(ran, ['a'])
})

t.test(
  'every event is followed by a run that began after it, two runs of a key never overlap, and concurrency holds',
  async () => {
    const step = fc.oneof(
      fc.record({ add: fc.constantFrom('a', 'b', 'c', 'd') }),
      fc.record({ advance: fc.integer({ min: 1, max: 400 }) })
    )
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 60 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1 }),
        async (steps, fates) => {
          const last = new Map<string, { event: number; start: number }>()
          const running = new Set<string>()
          let tick = 0
          const faults: string[] = []
          let run = 0
          const { advance, clock, queue } = queueOf(async (key) => {
            if (running.has(key)) faults.push(`${key} overlaps`)
            if (running.size >= 2) faults.push('too many at once')
            running.add(key)
            last.set(key, { event: last.get(key)?.event ?? 0, start: ++tick })
            const fate = fates[run++ % fates.length] ?? 0
            if (fate > 0) await new Promise<void>((resolve) => clock.after(fate * 70, resolve))
            running.delete(key)
            if (fate === 3) throw new Error('failed')
            return {}
          }, 2)
          for (const what of steps) {
            if ('add' in what) {
              last.set(what.add, { event: ++tick, start: last.get(what.add)?.start ?? 0 })
              queue.add(what.add)
            } else await advance(what.advance)
          }
          await advance(60_000)
          return faults.length === 0 && [...last.values()].every(({ event, start }) => start > event)
        }
      ),
      { numRuns: 300 }
    )
  }
)
