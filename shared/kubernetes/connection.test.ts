import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { queryObjects } from 'node:v8'
import { generate } from 'selfsigned'
import t from 'tap'
import { connect } from './connection.ts'
import type { RequestReport } from './connection.ts'
import {
  answerJson,
  connectTo,
  kubeconfigText,
  readBody,
  serve,
  silentLogger,
  statusBody,
  temporaryFolder
} from './connectionFixture.ts'
import { isNotFound, isTooManyRequests, isUnauthorized, NoAnswer } from './status.ts'

const pod = (name: string): object => ({ kind: 'Pod', apiVersion: 'v1', metadata: { name, uid: `uid-of-${name}` } })

t.test('calls carry token, user agent, query and content type, and come back as JSON', async (t) => {
  const seen: unknown[] = []
  const server = await serve((request, response) => {
    void readBody(request).then((body) => {
      const { authorization, 'content-type': type, 'user-agent': agent } = request.headers
      seen.push({ method: request.method, url: request.url, authorization, type, agent, body })
      answerJson(response, 200, pod('p'))
    })
  })
  const connection = await connectTo(server.url)
  t.teardown(async () => Promise.all([connection.close(), server.close()]))
  const path = '/api/v1/namespaces/n/pods/p'
  t.match(await connection.request({ path }), { metadata: { uid: 'uid-of-p' } })
  const contentType = 'application/strategic-merge-patch+json'
  await connection.request({ method: 'PATCH', path, contentType, body: { metadata: { uid: 'u' } } })
  await connection.request({ method: 'POST', path: '/x', query: { a: 'b c', none: undefined }, body: { y: 1 } })
  const common = { authorization: 'Bearer a-token', agent: 'kube-sg-test' }
  t.match(seen, [
    { ...common, method: 'GET', url: path, body: undefined },
    { ...common, method: 'PATCH', type: 'application/strategic-merge-patch+json', body: { metadata: { uid: 'u' } } },
    { ...common, method: 'POST', url: '/x?a=b+c', type: 'application/json', body: { y: 1 } }
  ])
})

t.test('a refusal is an ApiError in calls and in streams, 401 with its words too', async (t) => {
  const server = await serve((_request, response) => answerJson(response, 404, statusBody(404, 'NotFound')))
  const forbidding = await serve((_request, response) =>
    answerJson(response, 401, statusBody(401, 'Unauthorized', 'no such token'))
  )
  const connection = await connectTo(server.url)
  const stranger = await connectTo(forbidding.url)
  t.teardown(async () => Promise.all([connection.close(), server.close(), stranger.close(), forbidding.close()]))
  const errors = await Promise.all([
    connection.request({ path: '/api/v1/pods' }).catch((error: unknown) => error),
    connection.requestAhead({ path: '/api/v1/pods' }).catch((error: unknown) => error),
    connection.stream({ path: '/api/v1/pods' }).catch((error: unknown) => error)
  ])
  for (const error of errors) t.ok(isNotFound(error), String(error))
  const unauthorized: unknown = await stranger.request({ path: '/api/v1/nodes' }).catch((error: unknown) => error)
  t.ok(isUnauthorized(unauthorized))
  t.match(String(unauthorized), 'no such token')
})

t.test('a busy API server is asked once more, when it says so and the time allows', async (t) => {
  const hits = new Map<string, number>()
  const server = await serve((request, response) => {
    const path = request.url ?? ''
    const hit = (hits.get(path) ?? 0) + 1
    hits.set(path, hit)
    const busy = (code: number, after?: string): void =>
      answerJson(response, code, statusBody(code, 'Busy'), after === undefined ? {} : { 'retry-after': after })
    if (path === '/once' && hit === 1) busy(429, '0')
    else if (path === '/always') busy(503, '0')
    else if (path === '/silent') busy(503)
    else if (path === '/long') busy(429, '3600')
    else answerJson(response, 200, { hit })
  })
  const reports: RequestReport[] = []
  const connection = await connectTo(server.url, { onRequest: (report) => reports.push(report) })
  t.teardown(async () => Promise.all([connection.close(), server.close()]))
  t.same(await connection.request({ path: '/once' }), { hit: 2 })
  await t.rejects(connection.request({ path: '/always' }), { code: 503 })
  await t.rejects(connection.request({ path: '/silent' }), { code: 503 })
  const long: unknown = await connection.request({ path: '/long' }).catch((error: unknown) => error)
  t.ok(isTooManyRequests(long))
  t.same(Object.fromEntries(hits), { '/once': 2, '/always': 2, '/silent': 1, '/long': 1 })
  t.same(
    reports.map((report) => report.code),
    ['429', '200', '503', '503', '503', '429']
  )
  t.match(reports[0], { method: 'GET', host: new URL(server.url).host })
})

t.test('silence ends: before the headers, inside the body, by the caller, by close', async (t) => {
  const server = await serve((request, response) => {
    if (request.url?.startsWith('/body')) response.writeHead(200).write('{')
    if (request.url?.startsWith('/reset')) response.destroy()
  })
  const reports: RequestReport[] = []
  const connection = await connectTo(server.url, { timeout: 50, onRequest: (report) => reports.push(report) })
  t.teardown(server.close)
  // On a busy machine the headers that come before the silence take more than 50 ms.
  for (const [path, timeout] of [
    ['/headers', 50],
    ['/body', 2000],
    ['/reset', 50]
  ] as const)
    await t.rejects(connection.request({ path, query: { continue: 'long' }, timeout }), NoAnswer, path)
  await t.rejects(connection.request({ path: '/headers' }), /GET \/headers: no answer of .*: timed out after 50 ms/)
  t.same(
    reports.map((report) => report.code),
    ['<error>', '200', '<error>', '<error>']
  )
  const caller = new AbortController()
  const aborted = connection.request({ path: '/headers', signal: caller.signal, timeout: 60_000 })
  caller.abort(new Error('changed my mind'))
  await t.rejects(aborted, /^Error: changed my mind|changed my mind/)
  const stream = await connection.stream({ path: '/body', timeout: 60_000 })
  const cut = once(stream, 'error')
  const pending = connection.request({ path: '/headers', timeout: 60_000 })
  pending.catch(() => undefined)
  stream.resume()
  await connection.close()
  await cut
  await t.rejects(pending, NoAnswer)
  await t.rejects(connection.request({ path: '/headers' }), NoAnswer, 'closed is closed')
})

t.test("a stream outlives the call's timeout", async (t) => {
  const server = await serve((_request, response) => {
    response.writeHead(200).write('first')
    setTimeout(() => response.end('last'), 150)
  })
  const connection = await connectTo(server.url, { timeout: 50 })
  t.teardown(async () => Promise.all([connection.close(), server.close()]))
  let text = ''
  for await (const chunk of await connection.stream({ path: '/' })) text += String(chunk)
  t.equal(text, 'firstlast')
})

t.test('the rate limit holds calls back, but never those ahead; waiting can be given up', async (t) => {
  const server = await serve((_request, response) => answerJson(response, 200, {}))
  const connection = await connectTo(server.url, { qps: 0.001, burst: 2 })
  t.teardown(async () => Promise.all([connection.close(), server.close()]))
  await connection.request({ path: '/' })
  await connection.request({ path: '/' })
  const caller = new AbortController()
  const third = connection.request({ path: '/', signal: caller.signal })
  const state = await Promise.race([
    third.then(() => 'passed'),
    Promise.all([1, 2, 3, 4].map(() => connection.requestAhead({ path: '/' }))).then(() => 'held back')
  ])
  t.equal(state, 'held back')
  caller.abort(new Error('enough'))
  await t.rejects(third, /enough/)
})

t.test('a watch begins though every connection of the calls hangs', async (t) => {
  let watched = 0
  const server = await serve((request, response) => {
    if (request.url === '/watch') answerJson(response, 200, { watched: ++watched })
  })
  const connection = await connectTo(server.url, {})
  t.teardown(async () => Promise.all([connection.close(), server.close()]))
  const hanging = Array.from({ length: 40 }, () => connection.request({ path: '/hang' }).catch(() => undefined))
  const stream = await connection.stream({ path: '/watch' })
  await stream.toArray()
  t.equal(watched, 1)
  await connection.close()
  await Promise.all(hanging)
})

t.test('what must not happen later is given up in time, whatever it waited for', async (t) => {
  let sent = 0
  const server = await serve((_request, response) => {
    sent++
    answerJson(response, 429, statusBody(429, 'TooManyRequests'), { 'retry-after': '1' })
  })
  const connection = await connectTo(server.url, { qps: 1, burst: 1 })
  t.teardown(async () => Promise.all([connection.close(), server.close()]))
  await t.rejects(connection.request({ path: '/', within: 300 }), { message: /timed out after 300 ms/ })
  t.equal(sent, 1, 'it was not sent again')
  await t.rejects(connection.request({ path: '/', within: 300 }), { message: /timed out after 300 ms/ })
  t.equal(sent, 1, 'nor sent once its turn would have come')
})

t.test('nothing is kept of a call that has ended', async (t) => {
  const server = await serve((_request, response) => answerJson(response, 200, pod('p')))
  const connection = await connectTo(server.url, { qps: 10_000, burst: 10_000 })
  t.teardown(async () => Promise.all([connection.close(), server.close()]))
  const call = async (times: number): Promise<number> => {
    for (let n = 0; n < times; n++) await connection.request({ path: '/api/v1/pods' })
    await setImmediate()
    // It collects garbage first.
    return queryObjects(AbortSignal, { format: 'count' })
  }
  const before = await call(20)
  const after = await call(200)
  t.ok(after < before + 100, `${before} signals became ${after}`)
})

t.test('connections are shared; rotated CA and token are taken without a restart', async (t) => {
  const make = async (): Promise<{ private: string; cert: string }> =>
    generate([{ name: 'commonName', value: 'test' }], {
      keyType: 'ec',
      extensions: [{ name: 'subjectAltName', altNames: [{ type: 7, ip: '127.0.0.1' }] }]
    })
  const [first, second] = [await make(), await make()]
  const tokens = new Set<string | undefined>()
  let accepted = 'one'
  const server = await serve(
    (request, response) => {
      tokens.add(request.headers.authorization)
      const known = request.headers.authorization === `Bearer ${accepted}`
      answerJson(response, known ? 200 : 401, known ? {} : statusBody(401, 'Unauthorized'))
    },
    { key: first.private, cert: first.cert }
  )
  const folder = temporaryFolder()
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const write = (ca: string): string =>
    folder.write(
      'config',
      kubeconfigText(server.url, { 'certificate-authority-data': base64(ca) }, { tokenFile: 'token' })
    )
  folder.write('token', 'one\n')
  const connection = await connect({
    source: { kubeconfig: write(first.cert) },
    logger: silentLogger,
    userAgent: 'kube-sg-test'
  })
  t.teardown(async () => {
    await Promise.all([connection.close(), server.close()])
    folder.remove()
  })
  for (let i = 0; i < 20; i++) await connection.request({ path: '/' })
  // undici opens a second one while the first call's body is being read.
  t.ok(server.connections() <= 2)
  accepted = 'two'
  folder.write('token', 'two')
  await t.rejects(connection.request({ path: '/' }), { code: 401 })
  await connection.request({ path: '/' })
  t.same([...tokens], ['Bearer one', 'Bearer two'])
  t.ok(server.connections() <= 2, 'the same CA keeps the connections')
  accepted = 'three'
  write(second.cert)
  await t.rejects(connection.request({ path: '/' }), { code: 401 })
  await t.rejects(
    connection.request({ path: '/' }),
    /self-signed certificate|unable to verify/,
    'the new CA is the one trusted'
  )
})

t.test('what cannot be read is named, with what to do', async (t) => {
  const folder = temporaryFolder()
  t.teardown(folder.remove)
  const attempt = async (source: Parameters<typeof connect>[0]['source']): Promise<unknown> =>
    connect({ source, logger: silentLogger, userAgent: 'x' }).catch((error: unknown) => error)
  t.match(String(await attempt({ kubeconfig: '/nowhere/config' })), /ENOENT.*\/nowhere\/config/)
  t.match(String(await attempt('in-cluster')), /KUBERNETES_SERVICE_HOST/)
  const empty = folder.write('empty', '{}')
  t.match(String(await attempt({ kubeconfig: empty })), /empty has no current context/)
  const proxied = folder.write('proxied', kubeconfigText('https://h', { 'proxy-url': 'http://proxy' }, {}))
  t.match(String(await attempt({ kubeconfig: proxied })), /proxy-url/)
})
