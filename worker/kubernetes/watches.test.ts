import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { answerJson, connectTo, serve, silentLogger } from '../../shared/kubernetes/connectionFixture.ts'
import { watchNodes } from './watches.ts'

const node = (name: string, rv: number): object => ({ metadata: { name, uid: name, resourceVersion: String(rv) } })

t.test('whoever comes or goes is told of at once, and a heartbeat of nobody', async (t) => {
  let watch: ServerResponse | undefined
  const server = await serve((request, response) => {
    if (!new URL(request.url ?? '', 'http://h').searchParams.has('watch'))
      return answerJson(response, 200, { metadata: { resourceVersion: '2' }, items: [node('a', 1), node('b', 2)] })
    watch = response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
  })
  const connection = await connectTo(server.url)
  const told: string[] = []
  const nodes = watchNodes({ connection, logger: silentLogger, now: () => 0 }, () => {
    told.push([...nodes.names()].sort().join(' '))
  })
  t.teardown(async () => {
    await nodes.reflection.stop()
    await Promise.all([connection.close(), server.close()])
  })
  await nodes.reflection.synced
  while (watch === undefined) await sleep(5)
  for (const [type, object] of [
    ['MODIFIED', node('a', 3)],
    ['ADDED', node('c', 4)],
    ['DELETED', node('b', 5)],
    ['MODIFIED', node('c', 6)],
    ['DELETED', node('a', 7)]
  ])
    watch.write(`${JSON.stringify({ type, object })}\n`)
  while (told.length < 4) await sleep(5)
  t.same(told, ['a b', 'a b c', 'a c', 'c'])
})
