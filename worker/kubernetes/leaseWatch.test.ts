import type { ServerResponse } from 'node:http'
import t from 'tap'
import { answerJson, connectTo, serve, silentLogger, statusBody } from '../../shared/kubernetes/connectionFixture.ts'
import { watchReleases } from './leaseWatch.ts'

const lease = (holderIdentity: string | undefined, resourceVersion: number): object => ({
  metadata: { name: 'l', namespace: 'n', uid: 'u', resourceVersion: String(resourceVersion) },
  spec: holderIdentity === undefined ? {} : { holderIdentity }
})
const event = (type: string, object: object): string => `${JSON.stringify({ type, object })}\n`

t.test('a lease without a holder is told, renewals and bookmarks are not', async (t) => {
  const asked: string[] = []
  let response: ServerResponse | undefined
  const server = await serve((request, answer) => {
    asked.push(request.url ?? '')
    answer.writeHead(200).flushHeaders()
    response = answer
  })
  const connection = await connectTo(server.url)
  const stopping = new AbortController()
  let releases = 0
  const ended = watchReleases(
    { connection, namespace: 'n', name: 'l', logger: silentLogger },
    () => releases++,
    stopping.signal
  )
  const until = async (done: () => boolean): Promise<void> => {
    for (let tries = 0; !done() && tries < 1000; tries++) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await until(() => response !== undefined)
  t.match(asked[0], /^\/apis\/coordination\.k8s\.io\/v1\/namespaces\/n\/leases\?.*fieldSelector=metadata\.name%3Dl/)
  response?.write(event('ADDED', lease('one', 1)) + event('MODIFIED', lease('one', 2)))
  response?.write(event('BOOKMARK', lease(undefined, 3)) + event('MODIFIED', lease('', 4)))
  await until(() => releases > 0)
  t.equal(releases, 1)
  response?.write(event('MODIFIED', lease(undefined, 5)))
  await until(() => releases > 1)
  t.equal(releases, 2)
  stopping.abort()
  await ended
  await Promise.all([connection.close(), server.close()])
})

t.test('who may not watch is not told, and nothing breaks', async () => {
  const server = await serve((_request, response) => answerJson(response, 403, statusBody(403, 'Forbidden')))
  const connection = await connectTo(server.url)
  const stopping = new AbortController()
  let warned = 0
  const logger = silentLogger.child({})
  logger.warn = () => {
    warned++
    stopping.abort()
  }
  await watchReleases({ connection, namespace: 'n', name: 'l', logger }, () => t.fail('released'), stopping.signal)
  t.equal(warned, 1)
  await Promise.all([connection.close(), server.close()])
})
