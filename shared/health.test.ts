import { subscribe } from 'node:diagnostics_channel'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { pino } from 'pino'
import { Counter, Gauge, Registry } from 'prom-client'
import t from 'tap'
import { serveHealth } from './health.ts'

t.test('tells what is wrong, and only then', async (t) => {
  const registry = new Registry()
  new Counter({ name: 'kube_sg_test_total', help: 'of a test', registers: [registry] }).inc()
  const troubles: string[] = []
  const server = await serveHealth({
    port: 0,
    live: {},
    ready: { pods: () => troubles[0], fine: () => undefined },
    registry,
    logger: pino({ level: 'silent' })
  })
  t.teardown(() => server.close())
  const get = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${String(server.port)}${path}`)
    return [answer.status, await answer.text()] as const
  }
  t.same(await get('/readyz'), [200, 'ok\n'])
  troubles.push('the watch is silent')
  t.same(await get('/readyz?verbose'), [503, '[-]pods failed: the watch is silent\n'])
  t.same(await get('/livez'), [200, 'ok\n'], 'what is not ready may live')
  t.match(await get('/metrics'), [200, 'kube_sg_test_total 1'])
  t.equal((await get('/'))[0], 404)
})

t.test('a port that is taken is an error at the start', async (t) => {
  const options = { live: {}, ready: {}, registry: new Registry(), logger: pino({ level: 'silent' }) }
  const first = await serveHealth({ port: 0, ...options })
  t.teardown(() => first.close())
  await t.rejects(serveHealth({ port: first.port, ...options }), { code: 'EADDRINUSE' })
})

t.test('who asks many times at once is cut, and what was asked is written once', async (t) => {
  const registry = new Registry()
  let written = 0
  new Gauge({
    name: 'kube_sg_test',
    help: 'of a test',
    registers: [registry],
    collect: () => {
      written++
    }
  })
  const options = { live: {}, ready: {}, registry, logger: pino({ level: 'silent' }) }
  const server = await serveHealth({ port: 0, ...options })
  t.teardown(() => server.close())
  const talk = (bytes: string): Promise<string> =>
    new Promise((resolve) => {
      let text = ''
      const socket = connect(server.port, '127.0.0.1', () => socket.write(bytes))
      socket.setEncoding('utf8').on('data', (part: string) => (text += part))
      socket.on('close', () => resolve(text)).on('error', () => undefined)
    })
  const one = 'GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n'
  t.match(await talk(one), /^HTTP\/1\.1 200 .*\r\nConnection: close\r\n.*kube_sg_test 0/is, 'one is answered, and ends')
  const [before, old] = [written, 'GET /metrics HTTP/1.0\r\nconnection: keep-alive\r\n\r\n']
  for (const request of [one, old]) {
    await talk(request.repeat(1000))
  }
  t.equal(written - before, 2)
  t.match(await talk(one), /^HTTP\/1\.1 200 /)
})

t.test('a connection that cannot be accepted is logged, and ends nothing', async (t) => {
  const lines: string[] = []
  const logger = pino({ level: 'error' }, { write: (line) => void lines.push(line) })
  const health = await serveHealth({ port: 0, live: {}, ready: {}, registry: new Registry(), logger })
  t.teardown(() => health.close())
  let server: Server | undefined
  subscribe('http.server.request.start', (message) => ({ server } = message as { server: Server }))
  const ask = async () => (await fetch(`http://127.0.0.1:${String(health.port)}/livez`)).status
  t.equal(await ask(), 200)
  for (let time = 0; time < 2; time++) server?.emit('error', new Error('accept EMFILE'))
  t.match(lines, [/connection could not be accepted.*accept EMFILE|accept EMFILE.*connection could not/, /EMFILE/])
  t.equal(await ask(), 200)
  t.equal(server?.maxConnections, 256)
})
