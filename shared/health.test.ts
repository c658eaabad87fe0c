import { pino } from 'pino'
import { Counter, Registry } from 'prom-client'
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
