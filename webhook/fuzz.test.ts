/**
 * Random input, from a seed that is printed: annotations to the parser, damaged reviews to the running server over TLS.
 * FUZZ_STRINGS and FUZZ_REVIEWS say how many (10,000 and 1,000), FUZZ_SEED repeats a run.
 */
import { Agent, request as send } from 'node:https'
import type { AddressInfo } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import fc from 'fast-check'
import { pino } from 'pino'
import t from 'tap'
import { parseAnnotations, printAnnotations } from '../shared/annotation.ts'
import { describeViolation } from '../shared/violation.ts'
import { annotations, bodies } from './fuzzFixture.ts'
import { createMetrics } from './metrics.ts'
import { review, stamped } from './reviewFixture.ts'
import { buildServer, TLS_OPTIONS } from './server.ts'
import { selfSigned } from './tlsFixture.ts'

const { FUZZ_SEED, FUZZ_STRINGS = '10000', FUZZ_REVIEWS = '1000' } = process.env
const seed = Number(FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31))
process.stderr.write(
  `webhook/fuzz.test.ts: FUZZ_SEED=${seed} FUZZ_STRINGS=${FUZZ_STRINGS} FUZZ_REVIEWS=${FUZZ_REVIEWS}\n`
)
t.setTimeout(24 * 3600_000)

t.test(`${FUZZ_STRINGS} annotations: read without a throw, and what is read is written and read alike`, async (t) => {
  let faultless = 0
  const reads = fc.property(annotations, (given) => {
    const declared = parseAnnotations(given)
    for (const violation of declared.violations) {
      const text = describeViolation(violation)
      if (!text.isWellFormed() || text.length > 2000) throw new Error(`unprintable: ${JSON.stringify(text)}`)
    }
    if (declared.violations.length > 500) throw new Error(`${declared.violations.length} violations`)
    if (declared.violations.length > 0) return
    faultless++
    const printed = printAnnotations(declared.requests)
    const again = parseAnnotations(printed)
    const [before, after] = [declared.requests, again.requests].map((requests) => JSON.stringify(requests))
    if (again.violations.length > 0 || before !== after) throw new Error(`${before} became ${after}`)
    if (JSON.stringify(printAnnotations(again.requests)) !== JSON.stringify(printed))
      throw new Error('printed otherwise')
  })
  fc.assert(reads, { seed, numRuns: Number(FUZZ_STRINGS) })
  t.ok(faultless > Number(FUZZ_STRINGS) / 10, `${faultless} were faultless`)
})

t.test(
  `${FUZZ_REVIEWS} damaged reviews: each an AdmissionReview or a clean 4xx, and nothing remains of them`,
  async (t) => {
    const server = await serve()
    t.teardown(() => server.close())
    const codes = new Map<number, number>()
    const answered = fc.asyncProperty(bodies, fc.constantFrom('/mutate', '/validate'), async (body, path) => {
      const { code, text } = await server.post(path, body)
      codes.set(code, (codes.get(code) ?? 0) + 1)
      if (code === 200) checkAnswer(body, text)
      else if (!(code >= 400 && code < 500 && text.startsWith('kube-sg: '))) throw new Error(`${code}: ${text}`)
    })
    const runs = Number(FUZZ_REVIEWS)
    await fc.assert(answered, { seed, numRuns: Math.ceil(runs / 4) })
    const before = heapInUse()
    await fc.assert(answered, { seed: seed + 1, numRuns: runs - Math.ceil(runs / 4) })
    const grown = (heapInUse() - before) / 2 ** 20
    t.ok(grown < 16, `the heap grew by ${grown.toFixed(1)} MiB`)
    t.comment(`answers by code: ${JSON.stringify(Object.fromEntries(codes))}; the heap grew by ${grown.toFixed(1)} MiB`)
    t.ok((codes.get(200) ?? 0) > runs / 20 && (codes.get(400) ?? 0) > runs / 20, 'both kinds of answer were met')
    const good = JSON.stringify(
      review({ object: stamped({ annotations: { 'sg.amazonaws.com/sg-0123abcd': 'tcp:443' } }) })
    )
    t.match(await server.post('/validate', Buffer.from(good)), { code: 200, text: /"allowed":true/ })
    t.match(await server.metrics(), 'controller_runtime_webhook_requests_in_flight{webhook="/mutate"} 0\n')
    t.match(await server.metrics(), 'controller_runtime_webhook_requests_in_flight{webhook="/validate"} 0\n')
    t.equal(({} as { hostNetwork?: unknown }).hostNetwork, undefined, 'nothing was polluted')
  }
)

/** @throws Error when the text is not the answer to that body */
function checkAnswer(body: Buffer, text: string): void {
  const asked = JSON.parse(body.toString()) as { request: { uid: string } }
  const answer = JSON.parse(text) as {
    kind: string
    response: { uid: string; allowed: boolean; status?: { code: number } }
  }
  const { allowed, status, uid } = answer.response
  const fits = allowed ? status === undefined : status?.code === 422 || status?.code === 403
  if (answer.kind !== 'AdmissionReview' || uid !== asked.request.uid || !fits) throw new Error(text)
}

/** Bytes that are in use once everything else was collected. */
function heapInUse(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  return process.memoryUsage().heapUsed
}

async function serve() {
  const metrics = createMetrics()
  const options = { permissions: { permits: () => Promise.resolve(true) }, mode: 'enforce' as const, rulesPerGroup: 60 }
  const server = buildServer({ ...options, metrics, logger: pino({ level: 'silent' }) })
  const pair = await selfSigned('localhost')
  server.tls.setSecureContext({ ...TLS_OPTIONS, ...pair })
  await server.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = server.tls.address() as AddressInfo
  const agent = new Agent({ keepAlive: true, ca: pair.cert, servername: 'localhost' })
  const headers = { 'content-type': 'application/json' }
  return {
    metrics: () => metrics.registry.metrics(),
    post: (path: string, body: Buffer) =>
      new Promise<{ code: number; text: string }>((resolve, reject) => {
        const request = send({ host: '127.0.0.1', port, path, method: 'POST', agent, headers }, (response) => {
          let text = ''
          response.setEncoding('utf8').on('data', (part: string) => (text += part))
          response.on('end', () => resolve({ code: response.statusCode ?? 0, text })).on('error', reject)
        })
        request.on('error', reject).end(body)
      }),
    async close() {
      agent.destroy()
      await server.app.close()
    }
  }
}
