/** Plays kube-proxy before the webhook's replicas: spreads TCP connections over those that are ready. */
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { answersOk } from './kubeApi.ts'

export interface Replica {
  readonly port: number
  /** URL of its readiness. */
  readonly readyUrl: string
}

export interface Balancer {
  readonly port: number
  /** Ports that new connections go to now. */
  ready(): readonly number[]
  close(): Promise<void>
}

export interface BalancerOptions {
  readonly port: number
  readonly replicas: readonly Replica[]
  /** Milliseconds between a change of a replica's readiness and this balancer heeding it. */
  readonly delay: number
  /** Milliseconds between two looks at the readiness. */
  readonly period?: number
}

/**
 * Starts the balancer on 127.0.0.1. As with kube-proxy, a connection that stands is left alone when its replica stops
 * being ready, and a connection is refused (reset) when no replica is.
 */
export async function startBalancer(options: BalancerOptions): Promise<Balancer> {
  const watch = watchReadiness(options)
  const sockets = new Set<Socket>()
  let turn = 0
  const server = createServer((client) => {
    const serving = watch.ready()
    const replica = serving[turn++ % Math.max(1, serving.length)]
    if (replica === undefined) {
      client.resetAndDestroy()
      return
    }
    const upstream = connect({ host: '127.0.0.1', port: replica.port, noDelay: true })
    client.setNoDelay(true)
    join(client, upstream, sockets)
    join(upstream, client, sockets)
    client.pipe(upstream).pipe(client)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // The API server dials `localhost`, which may mean ::1 first; it then tries 127.0.0.1.
    server.listen(options.port, '127.0.0.1', resolve)
  })
  return {
    port: (server.address() as AddressInfo).port,
    ready: () => watch.ready().map(({ port }) => port),
    async close() {
      await watch.close()
      for (const socket of sockets) socket.destroy()
      await new Promise<void>((resolve) => {
        server.close(() => resolve())
      })
    }
  }
}

/** The replicas that are ready, as known `delay` milliseconds later. */
function watchReadiness({ replicas, delay, period = 100 }: BalancerOptions): {
  ready: () => readonly Replica[]
  close: () => Promise<void>
} {
  let serving: readonly Replica[] = []
  const timers = new Set<NodeJS.Timeout>()
  async function look(): Promise<void> {
    const answers = await Promise.all(replicas.map(({ readyUrl }) => answersOk(readyUrl)))
    const heed = setTimeout(() => {
      timers.delete(heed)
      serving = replicas.filter((_, index) => answers[index] === true)
    }, delay)
    timers.add(heed)
  }
  // One look after the other: a replica that hangs must not let an older answer come after a newer one.
  let looking = look()
  let busy = false
  const poll = setInterval(() => {
    if (busy) return
    busy = true
    looking = look().finally(() => {
      busy = false
    })
  }, period)
  return {
    ready: () => serving,
    async close() {
      clearInterval(poll)
      await looking
      for (const timer of timers) clearTimeout(timer)
    }
  }
}

/** An end that breaks, a reset included, breaks the other too. */
function join(socket: Socket, other: Socket, sockets: Set<Socket>): void {
  sockets.add(socket)
  socket.on('error', () => other.resetAndDestroy())
  socket.on('close', () => {
    sockets.delete(socket)
    if (!other.writableEnded) other.end()
  })
}
