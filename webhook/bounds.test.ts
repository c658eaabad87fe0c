/** What clients can make the server hold: so many reviews that wait, so many ahead of their turn, so many connections. */
import { on } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:tls'
import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import type { Permissions } from '../shared/permission.ts'
import { createMetrics } from './metrics.ts'
import { MOST_AHEAD } from './pipeline.ts'
import { review, stamped } from './reviewFixture.ts'
import { buildServer, TLS_OPTIONS } from './server.ts'
import { selfSigned } from './tlsFixture.ts'

const pair = await selfSigned('localhost')
const A = 'sg.amazonaws.com/sg-0123abcd'
const reviewOf = (annotations: Record<string, string>, filler = ''): string =>
  JSON.stringify(review({ object: stamped({ annotations, metadata: { filler } }) }))
const GOOD = reviewOf({ [A]: 'tcp:443' })

/** Permissions that nobody answers until they are opened, and then grants. */
function gated() {
  const gate = Promise.withResolvers<boolean>()
  let asked = 0
  const permissions: Permissions = {
    permits: () => {
      asked++
      return gate.promise
    }
  }
  return { permissions, open: () => gate.resolve(true), asked: () => asked }
}

function build(t: Test, permissions: Permissions) {
  const errors: string[] = []
  const logger = pino({ level: 'error' }, { write: (line) => void errors.push(line) })
  const server = buildServer({ permissions, mode: 'enforce', rulesPerGroup: 60, metrics: createMetrics(), logger })
  t.teardown(() => server.app.close())
  const headers = { 'content-type': 'application/json' }
  return {
    ...server,
    errors,
    // Not sent before somebody waits for it.
    post: async (payload: string) => await server.app.inject({ method: 'POST', url: '/validate', payload, headers })
  }
}

async function listen(t: Test, permissions: Permissions) {
  const server = build(t, permissions)
  server.tls.setSecureContext({ ...TLS_OPTIONS, ...pair })
  await server.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = server.tls.address() as AddressInfo
  return {
    ...server,
    port,
    talk: (bytes: string) => talk(port, bytes)
  }
}

/** All that comes back until the server ends the connection. */
function talk(port: number, bytes: string): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, ca: [pair.cert], servername: 'localhost' })
  return new Promise((resolve) => {
    let text = ''
    socket.setEncoding('utf8').on('data', (part: string) => (text += part))
    socket.on('close', () => resolve(text)).on('error', () => undefined)
    socket.write(bytes)
  })
}

const request = (body: string, ...more: string[]): string => {
  const length = `content-length: ${Buffer.byteLength(body)}`
  return ['POST /validate HTTP/1.1', 'host: x', 'content-type: application/json', length, ...more, '', body].join(
    '\r\n'
  )
}
const codes = (text: string): number[] => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code))

t.test('2,000 reviews wait for permission, and the next is asked to come again', async (t) => {
  const { permissions, open, asked } = gated()
  const { post } = build(t, permissions)
  const waiting = Array.from({ length: 2000 }, () => post(GOOD))
  const refused = await post(GOOD)
  t.equal(asked(), 2000)
  t.match(refused, { statusCode: 429, headers: { 'retry-after': '1', connection: 'close' } })
  t.match(refused.json(), {
    kind: 'Status',
    reason: 'TooManyRequests',
    message: 'kube-sg: too many reviews wait for an answer about permission: try again'
  })
  open()
  t.ok((await Promise.all(waiting)).every(({ statusCode }) => statusCode === 200))
  t.equal((await post(GOOD)).statusCode, 200, 'those who left made room')
})

t.test('large ones wait in smaller number, and what needs no permission never waits', async (t) => {
  const { permissions, open } = gated()
  const { post } = build(t, permissions)
  const large = reviewOf({ [A]: 'tcp:443' }, 'x'.repeat(6 * 2 ** 20))
  const waiting = Array.from({ length: 5 }, () => post(large))
  t.equal((await post(large)).statusCode, 429)
  t.equal((await post(reviewOf({}, 'x'.repeat(6 * 2 ** 20)))).statusCode, 200)
  open()
  t.ok((await Promise.all(waiting)).every(({ statusCode }) => statusCode === 200))
})

t.test('a connection that sends ahead while its review waits is cut, and another is answered', async (t) => {
  const { permissions, open } = gated()
  const { talk } = await listen(t, permissions)
  const others = [
    request(GOOD),
    request('{}'),
    'GET / HTTP/1.1\r\nhost: x\r\n\r\n',
    'GET / HTTP/1.1\r\n\r\n',
    'GET / HTTP/1.1\r\nhost: x\r\nexpect: y\r\n\r\n'
  ]
  for (const other of others) t.equal(await talk(request(GOOD) + other.repeat(MOST_AHEAD + 1)), '')
  const ahead = talk(request(GOOD).repeat(MOST_AHEAD) + request(GOOD, 'connection: close'))
  t.equal(await talk(request(GOOD).repeat(MOST_AHEAD + 2)), '')
  open()
  t.same(codes(await ahead), Array(MOST_AHEAD + 1).fill(200))
})

t.test('whose earlier requests are answered may send ahead again', async (t) => {
  const { port } = await listen(t, { permits: () => Promise.resolve(true) })
  const socket = connect({ host: '127.0.0.1', port, ca: [pair.cert], servername: 'localhost' })
  t.teardown(() => socket.destroy())
  for (let turn = 0; turn < 3; turn++) {
    let [text, answered] = ['', 0]
    socket.write(request(GOOD).repeat(MOST_AHEAD + 1))
    for await (const [part] of on(socket, 'data', { close: ['close'] }) as AsyncIterable<[Buffer]>) {
      text += part.toString('latin1')
      answered = codes(text).length
      if (answered > MOST_AHEAD) break
    }
    t.equal(answered, MOST_AHEAD + 1)
  }
})

t.test('after a large answer the connection ends, so that no review that follows is cut', async (t) => {
  const { talk, post } = await listen(t, { permits: () => Promise.resolve(true) })
  const small = await post(reviewOf({ [A]: 'tpc:1' }))
  t.equal(small.headers.connection, 'keep-alive')
  const items = Array.from({ length: 20 }, (_, index) => `${index}${'\u200b'.repeat(60)}`).join()
  const groups = Array.from({ length: 10 }, (_, index) => [`sg.amazonaws.com/sg-0000000${index}`, items])
  const annotations = Object.fromEntries(groups) as Record<string, string>
  const answer = await talk(request(reviewOf(annotations)))
  t.match(answer, /^HTTP\/1\.1 200 .*\r\nconnection: close\r\n/is)
  t.ok(answer.length > 64 * 2 ** 10, `${answer.length}`)
})

t.test('connections are bounded', async (t) => {
  const { tls } = build(t, gated().permissions)
  t.equal(tls.maxConnections, 2000)
})

t.test('a connection that cannot be accepted is logged, and ends nothing', async (t) => {
  const { tls, talk, errors } = await listen(t, { permits: () => Promise.resolve(true) })
  tls.emit('error', new Error('accept EMFILE'))
  tls.emit('error', new Error('accept EMFILE'))
  t.match(errors, [/connection could not be accepted/, /accept EMFILE/])
  t.same(codes(await talk(request(GOOD, 'connection: close'))), [200])
})
