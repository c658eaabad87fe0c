import type { ServerResponse } from 'node:http'
import { pino } from 'pino'
import t from 'tap'
import { answerJson, connectTo, readBody, serve, statusBody } from '../../shared/kubernetes/connectionFixture.ts'
import { recordEvents } from './events.ts'
import type { Occurrence, Recorder, RecorderOptions } from './events.ts'

interface Seen {
  readonly method: string
  readonly path: string
  readonly type: string | undefined
  readonly body: { metadata?: { name: string }; note?: string; series?: { count: number } }
}

interface Scene {
  readonly recorder: Recorder
  readonly seen: Seen[]
  readonly logged: { level: number; msg: string; reason?: string; occurrences?: number }[]
  /** Told to onLost. */
  lost: number
  clock: number
  /** Else time passes by itself too. */
  frozen: boolean
  until(done: () => boolean): Promise<void>
}

type Answer = (response: ServerResponse, seen: Seen) => void
const accept: Answer = (response, seen) => answerJson(response, 201, seen.body)
const refuse =
  (code: number, reason: string, details = {}): Answer =>
  (response) =>
    answerJson(response, code, statusBody(code, reason, 'told by the script', details))

/** Each request takes the next answer; the last one stays. */
async function play(
  t: { teardown(end: () => unknown): void },
  answers: Answer[],
  limits: RecorderOptions['limits'] = {}
): Promise<Scene> {
  const seen: Seen[] = []
  const logged: Scene['logged'] = []
  const server = await serve((request, response) => {
    void readBody(request).then((body) => {
      const one = {
        method: request.method ?? '',
        path: request.url ?? '',
        type: request.headers['content-type'],
        body: body as Seen['body']
      }
      seen.push(one)
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      answer?.(response, one)
    })
  })
  const connection = await connectTo(server.url)
  const scene: Scene = {
    seen,
    logged,
    lost: 0,
    clock: Date.UTC(2026, 10, 21, 12, 0, 0, 5),
    frozen: false,
    recorder: recordEvents({
      connection,
      reportingController: 'sg.amazonaws.com/worker',
      reportingInstance: 'worker-0',
      logger: pino({ level: 'debug' }, { write: (line) => void logged.push(JSON.parse(line) as Scene['logged'][0]) }),
      onLost: (count) => (scene.lost += count),
      now: () => scene.clock + (scene.frozen ? 0 : performance.now()),
      limits: { seriesInterval: 0, retryFirst: 5, retryMost: 10, ...limits }
    }),
    async until(done) {
      for (let tries = 0; !done(); tries++) {
        if (tries > 1000) throw new Error(`never: ${JSON.stringify(seen)}`)
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }
  }
  t.teardown(async () => {
    await scene.recorder.flush(0)
    await Promise.all([connection.close(), server.close()])
  })
  return scene
}

const pod = { namespace: 'n', name: 'p', uid: 'u' }
const occurrence = (note = 'authorized tcp 443'): Occurrence => ({
  pod,
  type: 'Normal',
  reason: 'RulesAuthorized',
  action: 'Authorize',
  note
})
const warnings = (scene: Scene): Scene['logged'] => scene.logged.filter((line) => line.level >= 40)

t.test('one Event, then its series, then a new one when it has been quiet', async (t) => {
  const scene = await play(t, [accept])
  scene.frozen = true
  scene.recorder.record(occurrence())
  await scene.until(() => scene.seen.length === 1)
  const path = '/apis/events.k8s.io/v1/namespaces/n/events'
  t.match(scene.seen[0], {
    method: 'POST',
    path,
    body: {
      metadata: { name: /^p\.[0-9a-f]{16}$/, namespace: 'n' },
      regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'n', name: 'p', uid: 'u' },
      reportingController: 'sg.amazonaws.com/worker',
      reportingInstance: 'worker-0',
      eventTime: '2026-11-21T12:00:00.005000Z',
      type: 'Normal',
      reason: 'RulesAuthorized',
      action: 'Authorize',
      note: 'authorized tcp 443'
    }
  })
  t.notOk('series' in (scene.seen[0]?.body ?? {}))
  scene.clock += 1000
  await new Promise((resolve) => setImmediate(resolve))
  scene.recorder.record(occurrence())
  await scene.until(() => scene.seen.length === 2)
  t.match(scene.seen[1], {
    method: 'PATCH',
    path: `${path}/${scene.seen[0]?.body.metadata?.name ?? ''}`,
    type: 'application/merge-patch+json',
    body: { series: { count: 2, lastObservedTime: '2026-11-21T12:00:01.005000Z' } }
  })
  scene.clock += 6 * 60_000
  scene.recorder.record(occurrence())
  await scene.until(() => scene.seen.length === 3)
  t.equal(scene.seen[2]?.method, 'POST')
  t.same(warnings(scene), [])
})

t.test('a long pod name still gives a legal one', async (t) => {
  const scene = await play(t, [accept])
  scene.recorder.record({ ...occurrence(), pod: { ...pod, name: `${'a'.repeat(235)}.${'b'.repeat(17)}` } })
  await scene.until(() => scene.seen.length === 1)
  const name = scene.seen[0]?.body.metadata?.name ?? ''
  t.ok(name.length <= 253)
  t.match(name, /^a{235}\.[0-9a-f]{16}$/)
})

t.test(
  'a silent or busy API server gets it later, under the same name; a reply that was lost is no failure',
  async (t) => {
    const scene = await play(t, [
      (response) => response.destroy(),
      refuse(500, 'InternalError'),
      refuse(409, 'AlreadyExists'),
      accept
    ])
    scene.recorder.record(occurrence('first'))
    scene.recorder.record(occurrence('second'))
    await scene.until(() => scene.seen.length === 4)
    await scene.recorder.flush()
    const names = scene.seen.filter((one) => one.body.note === 'first').map((one) => one.body.metadata?.name)
    t.ok(names.length >= 2)
    t.equal(new Set(names).size, 1)
    t.same(warnings(scene), [])
  }
)

t.test('what is refused, or tried too often, is dropped with a line; a later one is tried again', async (t) => {
  const scene = await play(
    t,
    [refuse(403, 'Forbidden'), refuse(500, 'InternalError'), refuse(500, 'InternalError'), accept],
    {
      tries: 2
    }
  )
  scene.recorder.record(occurrence('forbidden'))
  await scene.until(() => warnings(scene).length === 1)
  scene.recorder.record(occurrence('broken'))
  await scene.until(() => warnings(scene).length === 2)
  t.match(warnings(scene)[0], {
    msg: 'event lost: the API server did not take it',
    reason: 'RulesAuthorized',
    occurrences: 1
  })
  scene.recorder.record(occurrence('forbidden'))
  await scene.until(() => scene.seen.length === 4)
  t.equal(scene.seen[3]?.method, 'POST')
})

t.test('a namespace that is going wants no more Events', async (t) => {
  const going = { causes: [{ reason: 'NamespaceTerminating', field: 'metadata.namespace' }] }
  const scene = await play(t, [refuse(403, 'Forbidden', going), refuse(404, 'NotFound'), accept])
  scene.recorder.record(occurrence('a'))
  scene.recorder.record(occurrence('b'))
  await scene.until(() => scene.logged.length === 2)
  t.same(
    scene.logged.map((line) => [line.level, line.msg]),
    [
      [20, 'event dropped: its namespace is going'],
      [20, 'event dropped: its namespace is going']
    ]
  )
})

t.test('an Event that expired is written again with its count', async (t) => {
  const scene = await play(t, [accept, refuse(404, 'NotFound'), accept])
  scene.recorder.record(occurrence())
  await scene.until(() => scene.seen.length === 1)
  await new Promise((resolve) => setTimeout(resolve, 20))
  scene.recorder.record(occurrence())
  await scene.until(() => scene.seen.length === 3)
  t.match(scene.seen[2], { method: 'POST', body: { series: { count: 2 } } })
})

t.test('a series that grows fast is told of now and then, and at the end', async (t) => {
  const scene = await play(t, [accept], { seriesInterval: 60_000 })
  for (let i = 0; i < 10; i++) {
    scene.recorder.record(occurrence())
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
  await scene.until(() => scene.seen.length >= 1)
  t.equal(scene.seen.length, 1)
  await scene.recorder.flush()
  t.match(scene.seen[1], { method: 'PATCH', body: { series: { count: 10 } } })
  scene.recorder.record(occurrence('too late'))
  await scene.recorder.flush()
  t.equal(scene.seen.length, 2)
})

t.test('more than fits, and an end in silence: what is lost is named', async (t) => {
  const scene = await play(t, [() => undefined], { capacity: 2 })
  for (const note of ['a', 'b', 'c']) scene.recorder.record(occurrence(note))
  t.match(warnings(scene), [{ msg: 'events lost: too many wait for the API server', note: 'a', occurrences: 1 }])
  t.equal(scene.lost, 1)
  const ended = await play(t, [(response) => response.destroy()], { retryFirst: 60_000, retryMost: 60_000 })
  ended.recorder.record(occurrence('a'))
  ended.recorder.record(occurrence('b'))
  await ended.until(() => ended.logged.some((line) => line.msg === 'event not written; trying again'))
  await new Promise((resolve) => setTimeout(resolve, 50))
  await ended.recorder.flush(1000)
  t.same(
    ended.seen.map((one) => one.body.note),
    ['a', 'a'],
    'while nobody answers, one is tried'
  )
  t.same(
    warnings(ended).map((line) => line.msg),
    ['event lost: the API server did not take it', 'event lost: the process stops']
  )
})

t.test(
  'many pods that change their minds all the time: each is told of so often, and all at the pace of one call',
  async (t) => {
    let [atOnce, most] = [0, 0]
    const slow: Answer = (response, seen) => {
      most = Math.max(most, ++atOnce)
      setImmediate(() => {
        atOnce -= 1
        accept(response, seen)
      })
    }
    const scene = await play(t, [slow], { seriesInterval: 10_000, budget: { burst: 4, refill: 300_000, pods: 4096 } })
    scene.frozen = true
    for (let round = 0; round < 10; round++) {
      for (let index = 0; index < 40; index++) {
        const note = round % 2 === 0 ? 'EC2 failed' : 'every rule is in effect'
        scene.recorder.record({ ...occurrence(note), pod: { namespace: 'n', name: `p${index}`, uid: String(index) } })
      }
    }
    await scene.until(() => scene.seen.length === 80)
    t.same(warnings(scene), [])
    t.equal(most, 1)
    t.equal(scene.lost, 40 * 6)
    t.same([...new Set(scene.seen.map(({ method }) => method))], ['POST'], 'a series that grows is not told of at once')
  }
)
