import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { refTo } from './lives.ts'
import { takeLock } from './lock.ts'

const pid = process.pid

t.test('a lock names its owner, is given back, and leaves nothing behind', async (t) => {
  const folder = t.testdir()
  const path = join(folder, 'lock')
  const release = await takeLock(path, { pid })
  t.match(JSON.parse(await readFile(path, 'utf8')), { pid, started: (await refTo(pid)).started })
  await release()
  await release()
  t.same(await readdir(folder), [])
})

t.test('one at a time among many, and nobody is forgotten', async (t) => {
  const path = join(t.testdir(), 'lock')
  let inside = 0
  let most = 0
  const turns = Array.from({ length: 12 }, async () => {
    const release = await takeLock(path, { pid, poll: 1 })
    inside++
    most = Math.max(most, inside)
    await new Promise(setImmediate)
    inside--
    await release()
  })
  await Promise.all(turns)
  t.equal(most, 1)
})

t.test('the owner is told to those who wait, once, and they may give up', async (t) => {
  const path = join(t.testdir(), 'lock')
  const release = await takeLock(path, { pid })
  const giveUp = new AbortController()
  const told: number[] = []
  const waiting = takeLock(path, { pid, poll: 1, signal: giveUp.signal, onWait: (owner) => told.push(owner) })
  const refused = takeLock(path, {
    pid,
    onWait: () => {
      throw new Error('taken')
    }
  })
  await t.rejects(refused, { message: 'taken' })
  giveUp.abort(new Error('enough'))
  await t.rejects(waiting)
  t.same(told, [pid])
  await release()
})

t.test('the lock of an owner that has ended is taken over', async (t) => {
  const path = join(t.testdir(), 'lock')
  const owner = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  await once(owner, 'spawn')
  await writeFile(path, JSON.stringify(await refTo(owner.pid!)))
  owner.kill('SIGKILL')
  await once(owner, 'exit')
  const release = await takeLock(path, {
    pid,
    onWait: () => {
      throw new Error('the owner has ended, yet it is waited for')
    }
  })
  await release()
})

for (const [what, text] of [
  ['whose pid was given to another process', JSON.stringify({ pid, started: 'at another time' })],
  ['that is not a lock', 'garbage'],
  ['that is empty', '']
] as const) {
  t.test(`a lock ${what} is taken over`, async (t) => {
    const path = join(t.testdir({ lock: text }), 'lock')
    const release = await takeLock(path, { pid, signal: AbortSignal.timeout(5000) })
    t.match(JSON.parse(await readFile(path, 'utf8')), { pid })
    await release()
  })
}
