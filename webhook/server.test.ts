import { Agent, request as send } from 'node:https'
import type { IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:tls'
import fc from 'fast-check'
import { pino } from 'pino'
import t from 'tap'
import type { Test } from 'tap'
import type { Permissions } from '../shared/permission.ts'
import { createMetrics } from './metrics.ts'
import { pod, review, stamped } from './reviewFixture.ts'
import { readTimeout } from './exchange.ts'
import { buildServer, TLS_OPTIONS } from './server.ts'
import type { ServerOptions } from './server.ts'
import { selfSigned, until } from './tlsFixture.ts'

const [one, two] = [await selfSigned('one'), await selfSigned('two')]
const annotations = { 'sg.amazonaws.com/sg-0123abcd': 'tcp:443' }
const permitted: Permissions = { permits: () => Promise.resolve(true) }

function build(options: Partial<ServerOptions> = {}) {
  const metrics = createMetrics()
  const logger = pino({ level: 'silent' })
  const server = buildServer({
    permissions: permitted,
    mode: 'enforce',
    rulesPerGroup: 60,
    metrics,
    logger,
    ...options
  })
  return { ...server, metrics }
}

/** A server on a real socket with a certificate. */
async function listening(t: Test, options: Partial<ServerOptions> = {}) {
  const server = build(options)
  server.tls.setSecureContext({ ...TLS_OPTIONS, ...one })
  await server.app.listen({ port: 0, host: '127.0.0.1' })
  // A resumed session shows no certificate.
  const tls = { ca: [one.cert, two.cert], servername: 'localhost', maxCachedSessions: 0 }
  const agent = new Agent({ keepAlive: true, ...tls })
  t.teardown(async () => {
    agent.destroy()
    await server.app.close()
  })
  const { port } = server.tls.address() as AddressInfo
  return { ...server, port, agent }
}

interface Answer {
  readonly code: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
  /** Of the certificate served; undefined once the server has cut the connection. */
  readonly subject: string | undefined
}

/** Posts to a real socket and reads the whole answer. */
function post(
  { port, agent }: { port: number; agent: Agent },
  path: string,
  body: string | Buffer,
  headers: Record<string, string> = { 'content-type': 'application/json' }
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const request = send({ host: '127.0.0.1', port, path, method: 'POST', agent, headers }, (response) => {
      let text = ''
      const socket = response.socket as unknown as { getPeerCertificate(): { subject?: { CN: string } } }
      const subject = socket.getPeerCertificate().subject?.CN
      response.setEncoding('utf8').on('data', (part: string) => (text += part))
      response.on('end', () => resolve({ code: response.statusCode ?? 0, headers: response.headers, text, subject }))
      response.on('error', reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}

const json = (parts: Parameters<typeof review>[0]): string => JSON.stringify(review(parts))
const responseOf = ({ text }: { text: string }) =>
  (JSON.parse(text) as { response: { uid: string; allowed: boolean; patch?: string; status?: { code: number } } })
    .response

t.test('answers reviews over TLS', async (t) => {
  const server = await listening(t)
  const mutated = await post(server, '/mutate?timeout=5s', json({ object: pod({ annotations }), uid: 'm' }))
  t.equal(mutated.code, 200)
  t.match(mutated.headers['content-type'], /^application\/json/)
  t.match(responseOf(mutated), { uid: 'm', allowed: true, patchType: 'JSONPatch' })
  const good = await post(server, '/validate?timeout=5s', json({ object: stamped({ annotations }), uid: 'v' }))
  t.match(responseOf(good), { uid: 'v', allowed: true })
  t.equal(responseOf(good).patch, undefined, 'a validating answer with a patch would fail')
  const bad = await post(server, '/validate', json({ object: pod({ annotations: { 'sg.amazonaws.com/x': '' } }) }))
  t.equal(bad.code, 200)
  t.match(responseOf(bad), { allowed: false, status: { code: 422, reason: 'Invalid' } })
  await post(server, '/validate', json({ object: pod(), resource: 'made-up' }))
  const text = await server.metrics.registry.metrics()
  t.match(text, 'controller_runtime_webhook_requests_total{webhook="/validate",code="200"} 3')
  t.match(text, 'kube_sg_webhook_decisions_total{resource="other",outcome="allowed"} 1')
  t.notMatch(text, 'made-up')
  t.match(text, 'kube_sg_webhook_decisions_total{resource="pods",outcome="invalid"} 1')
  t.match(text, 'controller_runtime_webhook_requests_in_flight{webhook="/validate"} 0')
})

t.test('annotations that were met before are answered as the first time', async (t) => {
  const server = await listening(t)
  const ports = Array.from({ length: 16 }, (_, index) => `tcp:${1 + 2 * index}`).join(',')
  const crowded = { annotations: { 'sg.amazonaws.com/sg-0123abcd': ports } }
  const ask = async (uid: string) =>
    responseOf(await post(server, '/validate', json({ object: stamped(crowded), uid })))
  const first = await ask('first')
  t.match(first, { allowed: true, auditAnnotations: { rules: '16' }, warnings: [/16 of the 60 rules/] })
  t.same(await ask('second'), { ...first, uid: 'second' })
})

t.test('not permitted is 403 inside the answer; not knowing is 500, for the failurePolicy', async (t) => {
  const parts = json({ object: stamped({ annotations }) })
  const refusing = await listening(t, { permissions: { permits: () => Promise.resolve(false) } })
  t.match(responseOf(await post(refusing, '/validate', parts)), { allowed: false, status: { code: 403 } })
  const down = await listening(t, { permissions: { permits: () => Promise.reject(new Error('API server is away')) } })
  const answer = await post(down, '/validate', parts)
  t.match(answer, { code: 500, text: 'kube-sg: API server is away\n' })
  const never: Permissions = {
    permits: (_use, signal) =>
      new Promise((_resolve, reject) => signal?.addEventListener('abort', () => reject(signal.reason as Error)))
  }
  const hanging = await listening(t, { permissions: never })
  t.equal((await post(hanging, '/validate?timeout=1s', parts)).code, 500)
  t.equal(responseOf(await post(hanging, '/mutate?timeout=1s', parts)).allowed, true, 'mutation asks nobody')
})

t.test('hostile bodies get a clean answer, and the next review is answered', async (t) => {
  const server = await listening(t)
  const deep = '['.repeat(200_000)
  const proto = json({ object: stamped({ annotations }) }).replace(
    '"spec":{',
    '"spec":{"__proto__":{"hostNetwork":true},'
  )
  const cases: [why: string, body: string | Buffer, code: number, says: RegExp][] = [
    ['empty', '', 400, /^kube-sg: body must be JSON/],
    ['not JSON', 'pod', 400, /^kube-sg: body must be JSON/],
    ['half JSON', '{"request":', 400, /^kube-sg: body must be JSON/],
    ['null', 'null', 400, /^kube-sg: body must be an AdmissionReview/],
    ['deep', deep, 400, /^kube-sg: body must be JSON/],
    ['deep and closed', deep + ']'.repeat(200_000), 400, /^kube-sg: body must be an object/],
    ['not UTF-8', Buffer.from([0xff, 0xfe, 0x22]), 400, /^kube-sg: body must be JSON/],
    ['another kind', JSON.stringify(pod()), 400, /^kube-sg: body must be an AdmissionReview/],
    [
      'wrong types',
      json({ object: { metadata: { annotations: { a: 1 } } } }),
      400,
      /^kube-sg: request\.object\.metadata\.annotations must be a map of strings/
    ],
    ['object is a list', json({ object: [] }), 400, /^kube-sg: request\.object must be an object/],
    ['__proto__', proto, 200, /"allowed":true/],
    [
      'lone surrogate',
      json({ object: stamped({ annotations: { 'sg.amazonaws.com/\ud800': '\udfff' } }) }),
      200,
      /"code":422/
    ],
    [
      'a service account of megabytes',
      json({ object: stamped({ annotations, spec: { serviceAccountName: 'x'.repeat(2_900_000) } }) }),
      400,
      /^kube-sg: serviceAccountName must be at most 253 characters long/
    ],
    ['7 MiB and more', `"${'x'.repeat(7 * 1024 * 1024)}"`, 413, /"message":"kube-sg: the review is larger than 7 MiB: /]
  ]
  for (const path of ['/validate', '/mutate'])
    for (const [why, body, code, says] of cases) {
      const answer = await post(server, path, body).catch((error: unknown) => ({ code: 0, text: String(error) }))
      if (path === '/mutate' && (code === 200 || why.startsWith('a service account'))) t.equal(answer.code, 200, why)
      else t.match(answer, { code, text: says }, `${path} ${why}`)
    }
  const big = json({ object: stamped({ annotations, metadata: { filler: 'x'.repeat(6 * 1024 * 1024) } }) })
  t.equal(responseOf(await post(server, '/validate', big)).allowed, true, '6 MiB are fine')
  t.equal((await post(server, '/validate', 'x=1', { 'content-type': 'text/plain' })).code, 415)
  t.equal((await post(server, '/validate', '{}', {})).code, 415)
  t.equal((await post(server, '/elsewhere', '{}')).code, 404)
  t.equal(({} as { hostNetwork?: boolean }).hostNetwork, undefined, 'nothing was polluted')
})

t.test('serves what it is given, and swaps without dropping anybody', async (t) => {
  const server = await listening(t)
  const body = json({ object: stamped({ annotations }) })
  t.equal((await post(server, '/validate', body)).subject, 'one')
  server.tls.setSecureContext({ ...TLS_OPTIONS, ...two })
  t.equal((await post(server, '/validate', body)).subject, 'one', 'an open connection stays as it is')
  server.agent.destroy()
  t.equal((await post(server, '/validate', body)).subject, 'two')
  t.throws(() => server.tls.setSecureContext({ ...TLS_OPTIONS, cert: one.cert, key: two.key }))
  server.agent.destroy()
  t.equal((await post(server, '/validate', body)).subject, 'two')
})

t.test('speaks TLS 1.2 and later only, and HTTP/1.1', async (t) => {
  const { port } = await listening(t)
  const handshake = (options: object) =>
    new Promise<string>((resolve) => {
      const socket = connect({ host: '127.0.0.1', port, ca: [one.cert], servername: 'localhost', ...options }, () => {
        resolve(`${String(socket.getProtocol())} ${String(socket.alpnProtocol)}`)
        socket.destroy()
      })
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(`refused: ${String(error.code)}`))
    })
  t.equal(await handshake({ minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' }), 'TLSv1.2 false')
  t.equal(await handshake({ ALPNProtocols: ['h2', 'http/1.1'] }), 'TLSv1.3 http/1.1')
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }
  t.match(await handshake(old), /^refused: /)
})

t.test('without a certificate every handshake fails, and nothing else', async (t) => {
  const server = build()
  await server.app.listen({ port: 0, host: '127.0.0.1' })
  t.teardown(() => server.app.close())
  const agent = new Agent({ ca: one.cert, servername: 'localhost' })
  const { port } = server.tls.address() as AddressInfo
  await t.rejects(post({ port, agent }, '/validate', '{}'))
  server.tls.setSecureContext({ ...TLS_OPTIONS, ...one })
  t.equal((await post({ port, agent }, '/validate', '{}')).code, 400)
})

t.test('drains: serves on, sends clients elsewhere, and closes when the last has its answer', async (t) => {
  const gate = Promise.withResolvers<boolean>()
  const asked = Promise.withResolvers<undefined>()
  const permissions: Permissions = {
    permits: () => {
      asked.resolve(undefined)
      return gate.promise
    }
  }
  const server = await listening(t, { permissions })
  const before = await post(server, '/mutate', json({ object: pod() }))
  t.equal(before.headers.connection, 'keep-alive')
  const slow = post(server, '/validate', json({ object: stamped({ annotations }) }))
  await asked.promise
  server.drain()
  const during = await post(server, '/mutate', json({ object: pod() }))
  t.match(during, { code: 200, headers: { connection: 'close' } })
  const late = halfSent(server.port)
  await late.sent
  const closed = server.app.close()
  await new Promise((resolve) => setTimeout(resolve, 100))
  late.finish()
  gate.resolve(true)
  t.match(await late.answer, /^HTTP\/1\.1 200 /, 'a request that had begun is answered')
  t.match(await slow, { code: 200, headers: { connection: 'close' } })
  await closed
  await t.rejects(post(server, '/mutate', json({ object: pod() })), { code: 'ECONNREFUSED' })
})

t.test('a client that goes away, in its body or before its answer, is counted once', async (t) => {
  const gate = Promise.withResolvers<boolean>()
  const asked = Promise.withResolvers<undefined>()
  const permissions: Permissions = {
    permits: () => {
      asked.resolve(undefined)
      return gate.promise
    }
  }
  const server = await listening(t, { permissions })
  const gone = async (): Promise<string | undefined> =>
    /requests_total\{webhook="\/validate",code="499"\} (\d+)/.exec(await server.metrics.registry.metrics())?.[1]
  const body = json({ object: stamped({ annotations }) })
  const head = `POST /validate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`
  const begin = (bytes: string) => {
    const socket = connect({ host: '127.0.0.1', port: server.port, ca: [one.cert], servername: 'localhost' })
    socket.on('error', () => undefined)
    socket.write(bytes)
    return socket
  }
  const half = begin(head + body.slice(0, 20))
  const inFlight = async (): Promise<string | undefined> =>
    /in_flight\{webhook="\/validate"\} (\d+)/.exec(await server.metrics.registry.metrics())?.[1]
  await until(async () => (await inFlight()) === '1')
  half.destroy()
  await until(async () => (await gone()) === '1')
  const whole = begin(head + body)
  await asked.promise
  whole.destroy()
  await until(() => new Promise((resolve) => server.tls.getConnections((_, count) => resolve(count === 0))))
  gate.resolve(true)
  await until(async () => (await gone()) === '2')
  t.equal(await inFlight(), '0')
})

/** A review of which only the first header is sent until `finish` is called. */
function halfSent(port: number) {
  const body = json({ object: pod() })
  const socket = connect({ host: '127.0.0.1', port, ca: [one.cert], servername: 'localhost' })
  const sent = new Promise<void>((resolve) => {
    socket.once('secureConnect', () => socket.write('POST /mutate HTTP/1.1\r\nhost: localhost\r\n', () => resolve()))
  })
  let text = ''
  const answer = new Promise<string>((resolve, reject) => {
    socket.setEncoding('utf8').on('data', (part: string) => (text += part))
    socket.on('end', () => resolve(text)).on('error', reject)
  })
  const rest = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  return { sent, answer, finish: () => socket.write(rest) }
}

t.test('reads the patience of the API server from the query', async (t) => {
  const cases: [url: string, milliseconds: number][] = [
    ['/validate?timeout=5s', 4500],
    ['/validate?timeout=30s', 29_500],
    ['/validate?timeout=31s', 29_500],
    ['/validate?timeout=1m0s', 29_500],
    ['/validate?timeout=999m999s', 29_500],
    ['/validate?timeout=1.5s', 500],
    ['/validate?timeout=0s', 500],
    ['/validate?a=b&timeout=5s&c=d', 4500],
    ['/validate?timeout=soon', 9500],
    ['/validate?timeout=5sec', 9500],
    ['/validate?mytimeout=5s', 9500],
    ['/validate', 9500],
    ['', 9500]
  ]
  for (const [url, milliseconds] of cases) t.equal(readTimeout(url), milliseconds, url)
})

t.test('property: a review mutated anywhere is an answer or a clean 4xx', async (t) => {
  const { app } = build()
  t.teardown(() => app.close())
  const bases = [
    review({ object: stamped({ annotations }), oldObject: stamped() }),
    review({ object: { spec: { template: pod({ annotations }) } }, kind: 'Deployment', resource: 'deployments' }),
    review({ object: { metadata: { annotations } }, kind: 'Binding', subResource: 'binding' })
  ]
  const paths = bases.map((base) => placesOf(base))
  const mutated = fc.nat(bases.length - 1).chain((index) =>
    fc.tuple(fc.constantFrom(...paths[index]!), fc.json({ maxDepth: 2 }), fc.boolean()).map(([place, text, remove]) => {
      const copy = structuredClone(bases[index]!)
      const parent = place.slice(0, -1).reduce((at, key) => at[key] as Record<string, unknown>, copy)
      if (remove) Reflect.deleteProperty(parent, place.at(-1)!)
      else parent[place.at(-1)!] = JSON.parse(text)
      return JSON.stringify(copy)
    })
  )
  await fc.assert(
    fc.asyncProperty(mutated, fc.constantFrom('/mutate', '/validate'), async (payload, url) => {
      const answer = await app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json' } })
      if (answer.statusCode === 200) return typeof responseOf({ text: answer.body }).allowed === 'boolean'
      return answer.statusCode === 400 && answer.body.startsWith('kube-sg: ')
    }),
    { numRuns: 1000 }
  )
  t.pass('held')
})

function placesOf(value: unknown, at: string[] = []): string[][] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, child]) => [[...at, key], ...placesOf(child, [...at, key])])
}
