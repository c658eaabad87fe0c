import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import t from 'tap'
import { startBalancer, type Replica } from './balancer.ts'
import { eventually } from './kubeApi.ts'

interface Stub extends Replica {
  ready: boolean
}

/** A replica that says its name to whoever connects. */
async function replica(t: Tap, name: string): Promise<Stub> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined)
    socket.write(name)
  })
  const health = createHttpServer((_, response) => response.writeHead(stub.ready ? 200 : 503).end())
  const stub: Stub = {
    port: await listen(server),
    readyUrl: `http://127.0.0.1:${await listen(health)}/readyz`,
    ready: true
  }
  t.teardown(() => {
    server.close()
    health.close()
    health.closeAllConnections()
  })
  return stub
}

interface Tap {
  readonly teardown: (end: () => void) => void
}

async function listen(server: Server | ReturnType<typeof createHttpServer>): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** The name of the replica that a new connection reaches, and the connection; `none` when it is cut. */
async function dial(port: number): Promise<{ name: string; socket: Socket }> {
  const socket = connect({ host: '127.0.0.1', port })
  const name = await new Promise<string>((resolve) => {
    socket.once('data', (data) => resolve(data.toString()))
    socket.once('error', () => resolve('none'))
    socket.once('close', () => resolve('none'))
  })
  return { name, socket }
}

t.test('the balancer follows the readiness of its replicas', async (t) => {
  const a = await replica(t, 'a')
  const b = await replica(t, 'b')
  const balancer = await startBalancer({ port: 0, replicas: [a, b], delay: 5, period: 5 })
  t.teardown(() => balancer.close())
  const serving = (...ports: number[]): Promise<true> =>
    eventually('the balancer to follow', () => (String(balancer.ready()) === String(ports) ? true : undefined))

  await serving(a.port, b.port)
  const both = await Promise.all([dial(balancer.port), dial(balancer.port)])
  t.same(both.map(({ name }) => name).sort(), ['a', 'b'], 'connections are spread')
  const toA = both.find(({ name }) => name === 'a')!.socket

  a.ready = false
  await serving(b.port)
  t.same(await Promise.all([1, 2, 3].map(async () => (await dial(balancer.port)).name)), ['b', 'b', 'b'])
  t.equal(toA.destroyed, false, 'a connection that stands is left alone')

  b.ready = false
  await serving()
  t.equal((await dial(balancer.port)).name, 'none', 'without a ready replica a connection is cut')

  a.ready = true
  await serving(a.port)
  t.equal((await dial(balancer.port)).name, 'a')
})

t.test('a replica that has gone cuts its connections, and the balancer serves on', async (t) => {
  const health = createHttpServer((_, response) => response.end())
  const readyUrl = `http://127.0.0.1:${await listen(health)}/readyz`
  const upstream = createServer((socket) => {
    socket.write('hello')
    socket.on('data', () => socket.resetAndDestroy())
  })
  const balancer = await startBalancer({ port: 0, replicas: [{ port: await listen(upstream), readyUrl }], delay: 0 })
  t.teardown(async () => {
    await balancer.close()
    health.close()
    health.closeAllConnections()
    upstream.close()
  })
  await eventually('the replica to be ready', () => (balancer.ready().length === 1 ? true : undefined))
  const { name, socket } = await dial(balancer.port)
  t.equal(name, 'hello')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.on('error', () => undefined)
  socket.write('now break')
  await closed
  t.equal((await dial(balancer.port)).name, 'hello')
})
