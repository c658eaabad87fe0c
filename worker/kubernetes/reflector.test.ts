/** The faults that a real API server shows only by accident, one script each. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import t from 'tap'
import { answerJson, connectTo, serve, silentLogger, statusBody } from '../../shared/kubernetes/connectionFixture.ts'
import type { Scripted } from '../../shared/kubernetes/connectionFixture.ts'
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { reflect } from './reflector.ts'
import { watch } from './reflectorWatch.ts'
import type { RawObject, Reflection, ReflectOptions } from './reflector.ts'

interface Item {
  readonly uid: string
  readonly rv: string
}

const pod = (uid: string, rv: number, annotations = {}): object => ({
  metadata: { name: 'p', namespace: 'n', uid, resourceVersion: String(rv), annotations }
})
const event = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`
const page = (rv: number, items: object[], next = ''): object => ({
  metadata: { resourceVersion: String(rv), continue: next },
  items
})

type Step = (response: ServerResponse, query: URLSearchParams, request: IncomingMessage) => void

interface Scene {
  readonly server: Scripted
  readonly connection: Connection
  readonly reflection: Reflection
  /** What the handler was told, such as `= a1 b1`, `+ a2`, `- a3`; and `!list`, `!watch`, `!handler` for errors. */
  readonly told: string[]
  readonly asked: { watch: boolean; query: Record<string, string> }[]
  until(done: () => boolean): Promise<void>
}

/** Each request takes the next step of its kind; the last one stays. */
async function play(
  t: { teardown(end: () => unknown): void },
  lists: Step[],
  watches: Step[],
  options: Partial<ReflectOptions<Item>> = {}
): Promise<Scene> {
  const told: string[] = []
  const asked: Scene['asked'] = []
  const server = await serve((request, response) => {
    const { searchParams } = new URL(request.url ?? '', 'http://h')
    const steps = searchParams.has('watch') ? watches : lists
    const step = steps.length > 1 ? steps.shift() : steps[0]
    asked.push({ watch: searchParams.has('watch'), query: Object.fromEntries(searchParams) })
    step?.(response, searchParams, request)
  })
  const connection = await connectTo(server.url)
  const reflection = reflect<Item>({
    connection,
    logger: silentLogger,
    path: '/api/v1/pods',
    trim: (object: RawObject) => ({ uid: object.metadata.uid, rv: object.metadata.resourceVersion }),
    handler: {
      replaced: (items) => void told.push(['=', ...items.map(name)].join(' ')),
      changed: (item) => void told.push(`+ ${name(item)}`),
      deleted: (item) => void told.push(`- ${name(item)}`)
    },
    onError: (_error, during) => void told.push(`!${during}`),
    timing: { backoffFirst: 20, backoffMost: 40, watchdog: 60_000 },
    ...options
  })
  t.teardown(async () => {
    await reflection.stop()
    await Promise.all([connection.close(), server.close()])
  })
  const until = async (done: () => boolean): Promise<void> => {
    for (let tries = 0; !done(); tries++) {
      if (tries > 1000) throw new Error(`never: ${told.join(', ')}`)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
  }
  return { server, connection, reflection, told, asked, until }
}

const name = (item: Item): string => `${item.uid}${item.rv}`
const listing =
  (rv: number, ...items: object[]): Step =>
  (response) =>
    answerJson(response, 200, page(rv, items))
const say =
  (...events: string[]): Step =>
  (response) => {
    response.writeHead(200)
    response.write(events.join(''))
  }
const sayAndEnd =
  (...events: string[]): Step =>
  (response) =>
    void response.writeHead(200).end(events.join(''))
const quiet = say('\n')

t.test('pages, then watches with bookmarks from where the list was', async (t) => {
  const scene = await play(
    t,
    [
      (response) => answerJson(response, 200, page(9, [pod('a', 1)], 'next')),
      (response) => answerJson(response, 200, page(9, [pod('b', 2)]))
    ],
    [
      say(
        event('ADDED', pod('c', 10)),
        event('MODIFIED', pod('a', 11)),
        event('DELETED', pod('b', 12)),
        event('BOOKMARK', pod('', 20))
      )
    ],
    { labelSelector: 'x=y', fieldSelector: 'f=g', pageSize: 1 }
  )
  t.equal(scene.reflection.lastContact(), -Infinity)
  t.equal(await scene.reflection.synced, true)
  await scene.until(() => scene.told.length >= 4)
  t.same(scene.told, ['= a1 b2', '+ c10', '+ a11', '- b12'])
  const selection = { labelSelector: 'x=y', fieldSelector: 'f=g' }
  t.match(scene.asked, [
    { watch: false, query: { ...selection, limit: '1' } },
    { watch: false, query: { ...selection, limit: '1', continue: 'next' } },
    { watch: true, query: { ...selection, resourceVersion: '9', allowWatchBookmarks: 'true' } }
  ])
  t.notOk('resourceVersion' in (scene.asked[0]?.query ?? {}), 'a consistent list')
  const seconds = Number(scene.asked[2]?.query.timeoutSeconds)
  t.ok(seconds >= 10 && seconds <= 12)
  t.ok(scene.reflection.lastContact() > 0)
})

t.test('a continue token that expires starts the list again, at last in one page', async (t) => {
  const expired: Step = (response) => answerJson(response, 410, statusBody(410, 'Expired'))
  const begun: Step = (response) => answerJson(response, 200, page(5, [pod('old', 1)], 'next'))
  const scene = await play(t, [begun, expired, begun, expired, begun, expired, listing(7, pod('a', 6))], [quiet])
  await scene.reflection.synced
  t.same(scene.told, ['= a6'], 'nothing of the broken lists')
  t.notOk('limit' in (scene.asked[6]?.query ?? {}))
})

t.test('an answer that is no list is not an empty list', async (t) => {
  const scene = await play(t, [(response) => answerJson(response, 200, {}), listing(1, pod('a', 1))], [quiet])
  await scene.reflection.synced
  t.same(scene.told, ['!list', '= a1'])
})

t.test('lines and characters cut anywhere', async (t) => {
  const bytes = Buffer.from(event('ADDED', pod('ü😀', 2, { note: 'žluťoučký' })) + event('ADDED', pod('b', 3)))
  const scene = await play(
    t,
    [listing(1)],
    [
      (response) => {
        response.writeHead(200)
        response.socket?.setNoDelay(true)
        void (async () => {
          for (const byte of bytes) {
            response.write(Buffer.of(byte))
            await new Promise((resolve) => setImmediate(resolve))
          }
        })()
      }
    ]
  )
  await scene.until(() => scene.told.length === 3)
  t.same(
    scene.told,
    ['= ', '+ ü😀2', '+ b3'].map((text) => text.trim())
  )
})

t.test('half a line at the end was never said; the watch goes on from the last event', async (t) => {
  const scene = await play(
    t,
    [listing(1)],
    [sayAndEnd(event('ADDED', pod('a', 2)), event('ADDED', pod('b', 3)).slice(0, 30)), say(event('ADDED', pod('b', 3)))]
  )
  await scene.until(() => scene.told.length === 3)
  t.same(scene.told, ['=', '+ a2', '+ b3'])
  t.equal(scene.asked[2]?.query.resourceVersion, '2')
})

t.test('a reset in mid-stream loses nothing and lists nothing', async (t) => {
  const scene = await play(
    t,
    [listing(1)],
    [
      (response) => {
        response.writeHead(200)
        response.write(event('ADDED', pod('a', 2)), () => setTimeout(() => response.destroy(), 20))
      },
      say(event('DELETED', pod('a', 3)))
    ]
  )
  await scene.until(() => scene.told.includes('- a3'))
  t.same(scene.told, ['=', '+ a2', '!watch', '- a3'])
  t.same(
    scene.asked.map((ask) => ask.watch),
    [false, true, true]
  )
})

t.test('410 as a status and as an event: lists again at once, with the whole truth', async (t) => {
  const scene = await play(
    t,
    [listing(1, pod('a', 1)), listing(5, pod('b', 4)), listing(9, pod('c', 8))],
    [
      (response) => answerJson(response, 410, statusBody(410, 'Gone')),
      say(event('ADDED', pod('d', 6)), event('ERROR', statusBody(410, 'Expired'))),
      say(event('ADDED', pod('e', 10)))
    ]
  )
  await scene.until(() => scene.told.includes('+ e10'))
  t.same(scene.told, ['= a1', '!watch', '= b4', '+ d6', '!watch', '= c8', '+ e10'])
})

t.test('another ERROR event is tried again once, then listed anew', async (t) => {
  const broken = say(event('ERROR', statusBody(500, 'InternalError')))
  const scene = await play(t, [listing(1), listing(7, pod('a', 7))], [broken, broken, say(event('ADDED', pod('b', 8)))])
  await scene.until(() => scene.told.includes('+ b8'))
  t.same(scene.told, ['=', '!watch', '!watch', '= a7', '+ b8'])
  t.equal(scene.asked[2]?.query.resourceVersion, '1')
})

t.test('refusals with news between them are no reason to list, nor are resets without any', async (t) => {
  const cut: Step = (response) => {
    response.writeHead(200)
    response.write('\n', () => setTimeout(() => response.destroy(), 20))
  }
  const broken = event('ERROR', statusBody(500, 'InternalError'))
  const scene = await play(
    t,
    [listing(1)],
    [say(broken), say(event('ADDED', pod('a', 2)), broken), say(event('ADDED', pod('b', 3)))]
  )
  await scene.until(() => scene.told.includes('+ b3'))
  t.same(scene.told, ['=', '!watch', '+ a2', '!watch', '+ b3'])
  const resets = await play(t, [listing(1)], [cut, cut, cut, say(event('ADDED', pod('a', 2)))])
  await resets.until(() => resets.told.includes('+ a2'))
  t.same(resets.told, ['=', '!watch', '!watch', '!watch', '+ a2'])
})

t.test('an API server that is overloaded is not asked for everything besides', async (t) => {
  const busy: Step = (response) => answerJson(response, 429, statusBody(429, 'TooManyRequests'))
  const proxy: Step = (response) => answerJson(response, 503, {})
  const scene = await play(t, [listing(1)], [busy, busy, proxy, busy, say(event('ADDED', pod('a', 2)))])
  await scene.until(() => scene.told.includes('+ a2'))
  t.same(scene.told, ['=', '!watch', '!watch', '!watch', '!watch', '+ a2'])
})

t.test('two silent watches in a row lead to a new list', async (t) => {
  const scene = await play(t, [listing(1), listing(2, pod('a', 2))], [quiet, quiet, say(event('ADDED', pod('b', 3)))], {
    timing: { watchdog: 400, backoffFirst: 5, backoffMost: 5 }
  })
  await scene.until(() => scene.told.includes('+ b3'))
  t.same(scene.told.slice(0, 5), ['=', '!watch', '!watch', '= a2', '+ b3'])
})

t.test('a list is contact too', async (t) => {
  const scene = await play(t, [listing(1)], [() => undefined])
  await scene.reflection.synced
  t.ok(scene.reflection.lastContact() > 0)
})

t.test('refusals, resets and nonsense at the start never end it', async (t) => {
  const refuse =
    (code: number): Step =>
    (response) =>
      answerJson(response, code, statusBody(code, 'No'))
  const reset: Step = (response) => response.destroy()
  const nonsense: Step = (response) => void response.writeHead(200).end('<html>')
  const scene = await play(
    t,
    [refuse(401), refuse(403), refuse(500), refuse(503), reset, nonsense, listing(1, pod('a', 1))],
    [refuse(401), reset, sayAndEnd('nonsense\n'), say(event('ADDED', pod('b', 2)))]
  )
  await scene.until(() => scene.told.includes('+ b2'))
  t.equal(scene.told.filter((text) => text === '!list').length, 6)
})

t.test('silence ends a watch; bytes of any kind keep it', async (t) => {
  let fed = 0
  let fedAtEnd = 0
  const scene = await play(
    t,
    [listing(1)],
    [
      (response) => {
        response.writeHead(200)
        response.write(event('BOOKMARK', pod('', 4)))
        const timer = setInterval(() => {
          if (++fed > 40) clearInterval(timer)
          else response.write('\n')
        }, 20)
      },
      (...request) => {
        fedAtEnd = fed
        say(event('ADDED', pod('a', 5)))(...request)
      }
    ],
    { timing: { watchdog: 500 } }
  )
  await scene.until(() => scene.told.includes('+ a5'))
  t.same(scene.told, ['=', '!watch', '+ a5'])
  t.equal(scene.asked[2]?.query.resourceVersion, '4', 'a bookmark counts as seen')
  t.ok(fedAtEnd > 40, 'the watchdog began anew at every byte')
})

t.test('a clean end is no failure, unless at once and without a word', async (t) => {
  const scene = await play(
    t,
    [listing(1)],
    [
      sayAndEnd(event('BOOKMARK', pod('', 2))),
      sayAndEnd(event('BOOKMARK', pod('', 3))),
      sayAndEnd(),
      say(event('ADDED', pod('a', 4)))
    ]
  )
  await scene.until(() => scene.told.includes('+ a4'))
  t.same(scene.told, ['=', '!watch', '+ a4'])
})

t.test('a handler that throws loses neither later events nor the process', async (t) => {
  const told: string[] = []
  let lists = 0
  const scene = await play(
    t,
    [listing(1, pod('a', 1))],
    [say(event('ADDED', pod('b', 2)), event('ADDED', pod('c', 3)), event('DELETED', pod('b', 4)))],
    {
      handler: {
        replaced() {
          if (++lists === 1) throw new Error('not ready')
          told.push('=')
        },
        changed(item) {
          if (item.uid === 'b') throw new Error('poison')
          told.push(name(item))
        },
        deleted(item) {
          told.push(`- ${name(item)}`)
        }
      }
    }
  )
  await scene.until(() => told.length === 3)
  t.same(told, ['=', 'c3', '- b4'], 'the list is told again')
  t.same(scene.told, ['!list', '!handler'])
})

t.test('stop: no word afterwards, no promise left open', async (t) => {
  const scene = await play(t, [() => undefined], [quiet])
  await scene.until(() => scene.asked.length === 1)
  await scene.reflection.stop()
  t.equal(await scene.reflection.synced, false)
  let stopping: Promise<void> | undefined
  const told: string[] = []
  const second = await play(t, [listing(1)], [say(event('ADDED', pod('a', 2)), event('ADDED', pod('b', 3)))], {
    handler: {
      replaced: () => undefined,
      changed(item) {
        told.push(name(item))
        stopping = second.reflection.stop()
      },
      deleted: () => undefined
    }
  })
  await second.until(() => stopping !== undefined)
  await stopping
  t.same(told, ['a2'])
})

t.test('who was stopped before it watched does not watch', async (t) => {
  const scene = await play(t, [listing(1)], [quiet])
  await scene.reflection.synced
  const stopped = watch({
    connection: scene.connection,
    path: '/api/v1/pods',
    from: '1',
    duration: 10_000,
    watchdog: 500,
    signal: AbortSignal.abort(new Error('it is over')),
    onContact: () => undefined,
    onEvent: () => undefined
  })
  await t.rejects(stopped, { message: 'it is over' })
})

t.test('an API server that is gone for a while', async (t) => {
  const scene = await play(t, [listing(1)], [quiet])
  await scene.reflection.synced
  const { port } = new URL(scene.server.url)
  await scene.server.close()
  await scene.until(() => scene.told.filter((text) => text === '!watch').length >= 3)
  const { createServer } = await import('node:http')
  const again = createServer((_request, response) =>
    say(event('ADDED', pod('a', 2)))(response, new URLSearchParams(), _request)
  )
  await new Promise<void>((resolve) => again.listen(Number(port), '127.0.0.1', resolve))
  t.teardown(() => again.closeAllConnections())
  t.teardown(() => again.close())
  await scene.until(() => scene.told.includes('+ a2'))
  t.equal(scene.told.filter((text) => text.startsWith('=')).length, 1, 'goes on where it was')
})
