/** Clients that do not speak as an API server does: each is answered or cut, and the next review is answered as ever. */
import { connect as connectTcp } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:tls'
import type { ConnectionOptions } from 'node:tls'
import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import { createMetrics } from './metrics.ts'
import { review, stamped } from './reviewFixture.ts'
import { buildServer, TLS_OPTIONS } from './server.ts'
import { selfSigned } from './tlsFixture.ts'

t.setTimeout(600_000)
const pair = await selfSigned('localhost')
const GOOD = JSON.stringify(review({ object: stamped({ annotations: { 'sg.amazonaws.com/sg-0123abcd': 'tcp:443' } }) }))
const head = (...lines: string[]): string => [...lines, 'host: localhost', '', ''].join('\r\n')
const JSON_TYPE = 'content-type: application/json'
const POST = 'POST /validate HTTP/1.1'
const LENGTH = `content-length: ${GOOD.length}`
const LAST = head(POST, JSON_TYPE, LENGTH, 'connection: close') + GOOD
/** One piece of a body in chunks. */
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`

/** A port, and that all is well there afterwards. */
async function serve(t: Test): Promise<{ port: number; staysWell: () => Promise<void> }> {
  const metrics = createMetrics()
  const options = { permissions: { permits: () => Promise.resolve(true) }, mode: 'enforce' as const, rulesPerGroup: 60 }
  const server = buildServer({ ...options, metrics, logger: pino({ level: 'silent' }) })
  server.tls.setSecureContext({ ...TLS_OPTIONS, ...pair })
  await server.app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.app.close())
  const { port } = server.tls.address() as AddressInfo
  return {
    port,
    async staysWell() {
      t.match(await talk(port, LAST), /^HTTP\/1\.1 200 .*"allowed":true/s, 'a review is answered afterwards')
      const left = [...(await metrics.registry.metrics()).matchAll(/requests_in_flight\{.*\} (\d+)/g)]
      t.same(
        left.map(([, count]) => count),
        ['0', '0'],
        'no request is left behind'
      )
    }
  }
}

const open = (port: number, options: ConnectionOptions = {}): ReturnType<typeof connect> =>
  connect({ host: '127.0.0.1', port, ca: [pair.cert], servername: 'localhost', ...options })

/** All that comes back until the server ends the connection. */
function heard(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    let text = ''
    socket.setEncoding('utf8').on('data', (part: string) => (text += part))
    socket.on('close', () => resolve(text))
    socket.on('error', () => undefined)
  })
}

function talk(port: number, bytes: string | Buffer): Promise<string> {
  const socket = open(port)
  socket.write(bytes)
  return heard(socket)
}

/** The codes of all answers in it. */
const codes = (text: string): number[] => [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map(([, code]) => Number(code))

t.test('what is not HTTP, or not quite, is refused', async (t) => {
  const { port, staysWell } = await serve(t)
  const cases: [why: string, bytes: string, codes: number[]][] = [
    ['noise', '\0\x01\xff\r\n\r\n', [400]],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', [400]],
    ['an unknown method', head('FETCH /validate HTTP/1.1'), [400]],
    ['no host', 'POST /validate HTTP/1.1\r\n\r\n', [400]],
    ['another version', head('POST /validate HTTP/3.7'), [400]],
    ['a NUL in a header', head(POST, 'x: a\0b'), [400]],
    ['a header without a name', head(POST, ': x'), [400]],
    ['a header of 20 KB', head(POST, `x: ${'y'.repeat(20_000)}`), [431]],
    ['5,000 headers', head(POST, ...Array.from({ length: 5000 }, (_, index) => `x${index}: y`)), [431]],
    ['a path of 100 KB', head(`POST /${'x'.repeat(100_000)} HTTP/1.1`), [431]],
    ['a path that does not decode', head('POST /%zz HTTP/1.1', 'connection: close'), [400]],
    ['an expectation that nobody knows', head(POST, 'expect: a miracle', 'connection: close'), [417]],
    ['GET', head('GET /validate HTTP/1.1', 'connection: close'), [404]],
    ['DELETE', head('DELETE /validate HTTP/1.1', 'connection: close'), [404]],
    ['CONNECT', head('CONNECT localhost:443 HTTP/1.1'), []]
  ]
  for (const [why, bytes, expected] of cases) t.same(codes(await talk(port, bytes)), expected, why)
  await staysWell()
})

t.test('one body, one length: what two readers could take for two requests is refused', async (t) => {
  const { port, staysWell } = await serve(t)
  const inner = head('POST /mutate HTTP/1.1', JSON_TYPE, 'content-length: 2') + '{}'
  const chunked = `0\r\n\r\n${inner}`
  const cases: [why: string, bytes: string][] = [
    ['a length and chunks', head(POST, JSON_TYPE, 'content-length: 5', 'transfer-encoding: chunked') + chunked],
    ['chunks and a length', head(POST, JSON_TYPE, 'transfer-encoding: chunked', 'content-length: 5') + chunked],
    ['two lengths', head(POST, JSON_TYPE, 'content-length: 2', 'content-length: 30') + '{}' + inner],
    ['a length with a sign', head(POST, JSON_TYPE, 'content-length: +2') + '{}' + inner],
    ['a length of two numbers', head(POST, JSON_TYPE, 'content-length: 2, 2') + '{}' + inner],
    ['an encoding that nobody knows', head(POST, JSON_TYPE, 'transfer-encoding: chunked, identity') + chunked],
    ['a blank before the colon', head(POST, JSON_TYPE, 'transfer-encoding : chunked') + chunked],
    ['a folded header', head(POST, JSON_TYPE, 'x: y', ' transfer-encoding: chunked', 'content-length: 0') + chunked],
    [
      'a chunk whose length is no number',
      head(POST, JSON_TYPE, 'transfer-encoding: chunked') + `0x2\r\n{}\r\n${chunked}`
    ],
    ['a chunk longer than it says', head(POST, JSON_TYPE, 'transfer-encoding: chunked') + `1\r\n{}\r\n${chunked}`],
    ['a line that ends in LF', `${POST}\nhost: localhost\n${JSON_TYPE}\ncontent-length: 2\n\n{}${inner}`]
  ]
  for (const [why, bytes] of cases) {
    const answers = codes(await talk(port, bytes))
    t.same(answers, [400], why)
  }
  await staysWell()
})

t.test('what is unusual but right is answered', async (t) => {
  const { port, staysWell } = await serve(t)
  const request = head(POST, JSON_TYPE, LENGTH) + GOOD
  t.same(codes(await talk(port, request + request + LAST)), [200, 200, 200], 'three requests at once, three answers')
  const expecting = head(POST, JSON_TYPE, LENGTH, 'expect: 100-continue', 'connection: close')
  t.same(codes(await talk(port, expecting + GOOD)), [100, 200])
  const chunked = head(POST, JSON_TYPE, 'transfer-encoding: chunked', 'connection: close')
  t.same(codes(await talk(port, chunked + chunk(GOOD) + chunk(''))), [200])
  const single = Array.from(GOOD, chunk).join('')
  t.same(codes(await talk(port, `${chunked}${single}0\r\ntrailer: x\r\n\r\n`)), [200], 'a byte to a chunk')
  t.same(
    codes(await talk(port, head(POST, JSON_TYPE, LENGTH, 'upgrade: websocket', 'connection: close') + GOOD)),
    [200]
  )
  t.same(
    codes(
      await talk(port, head(POST, 'content-type: Application/JSON; charset=utf-8', LENGTH, 'connection: close') + GOOD)
    ),
    [200]
  )
  t.same(
    codes(await talk(port, head(POST, 'content-type: application/jsonp', LENGTH, 'connection: close') + GOOD)),
    [415]
  )
  t.match(
    await talk(port, `POST /validate HTTP/1.0\r\n${JSON_TYPE}\r\n${LENGTH}\r\n\r\n${GOOD}`),
    /connection: close\r\n/
  )
  await staysWell()
})

t.test('a body in 100,000 pieces of one byte is put together', async (t) => {
  const { port, staysWell } = await serve(t)
  const socket = open(port)
  const answer = heard(socket)
  socket.write(head(POST, JSON_TYPE, 'transfer-encoding: chunked', 'connection: close'))
  const pieces = chunk('[').repeat(1000)
  for (let sent = 0; sent < 100; sent++) await new Promise((resolve) => socket.write(pieces, resolve))
  socket.write(chunk(''))
  t.match(await answer, /^HTTP\/1\.1 400 .*body must be JSON/s)
  await staysWell()
})

t.test('who sends more than 7 MiB learns so, also when the rest is sent first; who never ends is cut', async (t) => {
  const { port, staysWell } = await serve(t)
  const piece = Buffer.alloc(2 ** 20, ' ')
  const send = async (socket: Socket, mebibytes: number): Promise<void> => {
    for (let sent = 0; sent < mebibytes && !socket.destroyed; sent++)
      await new Promise((resolve) => socket.write(piece, resolve))
  }
  const socket = open(port)
  const answer = heard(socket)
  socket.write(head(POST, JSON_TYPE, `content-length: ${27 * 2 ** 20}`))
  let broken: Error | undefined
  socket.on('error', (error: Error) => (broken = error))
  await send(socket, 27)
  t.match(await answer, /^HTTP\/1\.1 413 .*the review is larger than 7 MiB: make the object smaller/s)
  t.equal(broken, undefined, 'not cut while it sends')
  const endless = open(port)
  const cut = heard(endless)
  endless.write(head(POST, JSON_TYPE, 'content-length: 99999999999'))
  await send(endless, 200)
  t.same(codes(await cut), [413])
  await staysWell()
})

t.test('TLS: plain HTTP is no handshake, and renegotiation is refused', async (t) => {
  const { port, staysWell } = await serve(t)
  const plain = connectTcp(port, '127.0.0.1')
  plain.write(LAST)
  t.same(codes(await heard(plain)), [])
  const socket = open(port, { maxVersion: 'TLSv1.2' })
  await new Promise((resolve) => socket.once('secureConnect', resolve))
  const renegotiated = await new Promise<string>((resolve) => {
    socket.on('error', (error) => resolve(String(error)))
    socket.renegotiate({}, (error) => resolve(error === null ? 'renegotiated' : String(error)))
  })
  t.not(renegotiated, 'renegotiated')
  socket.destroy()
  await staysWell()
})

t.test('who stops half-way is cut after ten seconds, wherever it stops', async (t) => {
  const { port, staysWell } = await serve(t)
  const beginnings: [why: string, bytes: string][] = [
    ['before the request', ''],
    ['in the first line', 'POST /val'],
    ['in the headers', `${POST}\r\nhost: localhost\r\n`],
    ['in the body', head(POST, JSON_TYPE, LENGTH) + GOOD.slice(0, 50)],
    ['in a chunk', `${head(POST, JSON_TYPE, 'transfer-encoding: chunked')}ff\r\n{`]
  ]
  const silent = connectTcp(port, '127.0.0.1')
  const ends = [heard(silent), ...beginnings.map(([, bytes]) => talk(port, bytes))]
  const [hello, ...texts] = await Promise.all(ends)
  t.equal(hello, '', 'before the handshake')
  for (const [index, [why]] of beginnings.entries()) t.same(codes(texts[index] ?? ''), [408], why)
  await staysWell()
})

/** Longer than Node keeps an idle connection by itself; IDLE_SECONDS=95 outlasts the API server, which keeps it for 90. */
const IDLE_SECONDS = Number(process.env.IDLE_SECONDS ?? 6)

t.test(`a connection that was idle for ${IDLE_SECONDS} s is used again`, async (t) => {
  const { port, staysWell } = await serve(t)
  const socket = open(port)
  const answers = heard(socket)
  socket.write(head(POST, JSON_TYPE, LENGTH) + GOOD)
  await new Promise((resolve) => setTimeout(resolve, IDLE_SECONDS * 1000))
  socket.write(LAST)
  t.same(codes(await answers), [200, 200])
  await staysWell()
})
