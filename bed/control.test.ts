import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { askBed, NoBed, serveControl, socketPath } from './control.ts'

t.test('a bed is asked and answers, errors included', async (t) => {
  const folder = t.testdir()
  const close = await serveControl(folder, async (path, body) => {
    if (path === '/fail') throw new Error('there is no process nope')
    return { path, body }
  })
  t.same(await askBed(folder, '/run', { verb: 'kill' }), { path: '/run', body: { verb: 'kill' } })
  t.same(await askBed(folder, '/status'), { path: '/status' })
  await t.rejects(askBed(folder, '/fail'), { message: 'there is no process nope' })
  await close()
  await t.rejects(askBed(folder, '/status'), NoBed)
})

t.test('the socket of a bed that was killed is taken over', async (t) => {
  const folder = t.testdir({ 'control.sock': 'left behind' })
  const close = await serveControl(folder, async () => ({ up: true }))
  t.same(await askBed(folder, '/facts'), { up: true })
  await close()
})

t.test('a path too long for a socket is replaced by a short one of its own', async (t) => {
  const long = join(t.testdir(), 'x'.repeat(120))
  const close = await serveControl(long, async () => ({ long: true }))
  t.ok((await stat(socketPath(long))).isSocket())
  t.not(socketPath(long), socketPath(`${long}y`))
  t.same(await askBed(long, '/facts'), { long: true })
  await close()
})
