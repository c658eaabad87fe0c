/**
 * The webhook as it ships against a bare node:https server that reads and parses the same body and answers a constant:
 * both processes of their own, loaded in turns by a third, so that what the machine does otherwise meets both alike.
 */
import type { Round } from './admissionLoad.ts'
import { openArena } from './admissionServers.ts'
import type { Arena, MeasuredServer } from './admissionServers.ts'
import { largestReview, newReviews, reviewOf } from './admissionReviews.ts'
import type { SizedReview } from './admissionReviews.ts'
import { quantileOf } from './table.ts'
import type { BenchOptions, Row, Section } from './table.ts'

export const admissionBench: Section = {
  name: 'admission',
  about: 'the webhook against a bare HTTPS server (BENCH=full: a million reviews)',
  run
}

const CONNECTIONS = 8
const SECONDS = 0.5
/** Turns until neither is compiled any more, which costs as much CPU as the reviews themselves for some seconds. */
const WARMING = 20
const BYTES = 6000

async function run({ full, tell }: BenchOptions): Promise<readonly Row[]> {
  const arena = await openArena()
  try {
    tell('starts')
    const started = await measureStart(arena, 7)
    const [bare, webhook] = [await arena.bare(), await arena.webhook()]
    const rows: Row[] = []
    const rounds = full ? 60 : 24
    for (const [what, path, reviews, goal, awake] of [
      ['/mutate, a review of 6 KB', '/mutate', usual('/mutate'), '>= 0.85', true],
      ['/validate, a review of 6 KB', '/validate', usual('/validate'), '>= 0.85', true],
      ['/validate, annotations that were never met before', '/validate', newReviews(1000, BYTES), '', true],
      ['/mutate, from a client that sleeps while it waits', '/mutate', usual('/mutate'), '', false],
      ['/validate, from a client that sleeps while it waits', '/validate', usual('/validate'), '', false],
      ['/mutate, 16 annotations of 4 KiB', '/mutate', [largestReview('/mutate').body], '', true],
      ['/validate, 16 annotations of 4 KiB, 960 items', '/validate', [largestReview('/validate').body], '', true]
    ] as const) {
      tell(what)
      rows.push(...compare(what, goal, await playRounds(arena, { bare, webhook }, { path, reviews, awake }, rounds)))
    }
    tell('memory')
    return [...rows, ...(await measureMemory(arena, full ? 1_000_000 : 200_000)), started]
  } finally {
    await arena.close()
  }
}

/** Reviews of one path, sent in turn. */
type Load = Pick<Round, 'awake' | 'path'> & { readonly reviews: readonly Buffer[] }

const usual = (path: SizedReview['path']): Buffer[] => [reviewOf(path, BYTES).body]

interface Turn {
  /** Requests a second. */
  readonly rate: number
  /** Microseconds of CPU for a request, in all threads. */
  readonly cpu: number
}

interface Rounds {
  readonly bare: readonly Turn[]
  readonly webhook: readonly Turn[]
}

async function playRounds(
  arena: Arena,
  servers: { readonly bare: MeasuredServer; readonly webhook: MeasuredServer },
  review: Load,
  rounds: number
): Promise<Rounds> {
  const turns = { bare: [] as Turn[], webhook: [] as Turn[] }
  for (let round = -WARMING; round < rounds; round++) {
    const order = round % 2 === 0 ? (['bare', 'webhook'] as const) : (['webhook', 'bare'] as const)
    for (const name of order) {
      const turn = await playTurn(arena, servers[name], review)
      if (round >= 0) turns[name].push(turn)
    }
  }
  return turns
}

/** @throws Error when an answer is not 200 */
async function playTurn(arena: Arena, server: MeasuredServer, { awake, path, reviews }: Load): Promise<Turn> {
  const load = { port: server.port, path, bodies: reviews.map(String), connections: CONNECTIONS, awake }
  const before = await server.cpuSeconds()
  const counted = await arena.load({ ...load, seconds: SECONDS, requests: Number.MAX_SAFE_INTEGER })
  const cpu = (await server.cpuSeconds()) - before
  if (counted.failures > 0) throw new Error(`${counted.failures} of ${counted.answers} answers were not 200`)
  return { rate: counted.answers / counted.seconds, cpu: (cpu / counted.answers) * 1e6 }
}

/** Of each round the ratio, and of these the middle one. */
function compare(what: string, goal: string, { bare, webhook }: Rounds): Row[] {
  const middle = (pick: (ours: Turn, theirs: Turn) => number): number =>
    quantileOf(
      webhook.map((ours, round) => pick(ours, bare[round] ?? ours)),
      0.5
    )
  const rate = middle(({ rate }) => rate)
  const rates = middle((ours, theirs) => ours.rate / theirs.rate)
  const cpus = middle((ours, theirs) => theirs.cpu / ours.cpu)
  const [ours, theirs] = [middle(({ cpu }) => cpu), middle((_, { cpu }) => cpu)]
  return [
    {
      measure: `${what}: requests a second, of the bare server's`,
      goal,
      value: `${rates.toFixed(2)} (${rate.toFixed(0)}/s)`
    },
    {
      measure: `${what}: CPU of the bare server's request, of ours`,
      goal,
      value: `${cpus.toFixed(2)} (${theirs.toFixed(0)} of ${ours.toFixed(0)} µs)`
    }
  ]
}

/** After 10,000 reviews the process is a second old, and still compiles; after 100,000 it is what it will be. */
async function measureMemory(arena: Arena, most: number): Promise<Row[]> {
  const webhook = await arena.webhook()
  const { body, path } = reviewOf('/mutate', BYTES)
  const load = {
    port: webhook.port,
    path,
    bodies: [body.toString()],
    connections: CONNECTIONS,
    seconds: 3600,
    awake: false
  }
  let done = 0
  const residentAfter = async (reviews: number): Promise<number> => {
    await arena.load({ ...load, requests: reviews - done })
    done = reviews
    return (await webhook.memory()).resident
  }
  const [early, warm, last] = [await residentAfter(10_000), await residentAfter(100_000), await residentAfter(most)]
  const row = (first: number, than: string): Row => ({
    measure: `resident memory after ${most.toLocaleString('en')} reviews, of that after ${than}`,
    goal: '1.0',
    value: `${(last / first).toFixed(2)} (${last.toFixed(0)} of ${first.toFixed(0)} MiB)`
  })
  return [row(early, '10,000'), row(warm, '100,000')]
}

async function measureStart(arena: Arena, times: number): Promise<Row> {
  const starts: number[] = []
  for (let time = 0; time < times; time++) {
    const webhook = await arena.webhook()
    starts.push(webhook.startMs)
    webhook.end()
  }
  const value = `${quantileOf(starts, 0.5).toFixed(0)} ms (${Math.min(...starts).toFixed(0)} to ${Math.max(...starts).toFixed(0)})`
  return { measure: 'from the start of the bundle to ready, median', goal: '< 400 ms', value }
}
