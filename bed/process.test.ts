import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { eventually } from './kubeApi.ts'
import { lifeOf } from './lives.ts'
import { createProcessTable, type ProcessSpec, type ProcessTable } from './processTable.ts'

interface Fixture {
  readonly folder: string
  readonly table: ProcessTable
  readonly add: (name: string, script: string, more?: Partial<ProcessSpec>) => void
  readonly state: (name: string) => string | undefined
  readonly pid: (name: string) => number
}

function fixture(t: { teardown(end: () => Promise<void>): void }): Fixture {
  const folder = mkdtempSync(join(tmpdir(), 'kube-sg-process-'))
  const table = createProcessTable({ directory: folder, leash: [], tell: () => undefined })
  t.teardown(async () => {
    await table.killAll()
    rmSync(folder, { recursive: true })
  })
  const find = (name: string) => table.status().find((each) => each.name === name)
  return {
    folder,
    table,
    add: (name, script, more = {}) =>
      table.add({ name, command: process.execPath, args: ['-e', script], environment: {}, cwd: folder, restart: false, ...more }),
    state: (name) => find(name)?.state,
    pid: (name) => find(name)!.pid!
  } // prettier-ignore
}

const SERVE = `require('fs').writeFileSync('ready', process.env.WORD ?? ''); setInterval(() => {}, 1000)`
const ready = (folder: string) => async (): Promise<boolean> => existsSync(join(folder, 'ready'))

t.test('each verb returns when it is so', async (t) => {
  const { folder, table, add, state, pid } = fixture(t)
  add('server', SERVE, { ready: ready(folder) })
  t.equal(state('server'), 'stopped')
  await table.run('start', 'server', { WORD: 'given' })
  t.equal(state('server'), 'running')
  t.equal(await readFile(join(folder, 'ready'), 'utf8'), 'given')
  const first = pid('server')
  await table.run('start', 'server')
  t.equal(pid('server'), first, 'what runs is not started twice')

  await table.run('pause', 'server')
  t.match(await lifeOf(first), { paused: true })
  await t.rejects(table.run('start', 'server'), { message: 'server is paused: resume it' })
  await t.rejects(table.run('stop', 'server'), { message: /paused and cannot heed SIGTERM/ })
  await table.run('resume', 'server')
  t.match(await lifeOf(first), { paused: false })

  await table.run('stop', 'server')
  t.equal(await lifeOf(first), undefined)
  t.equal(state('server'), 'stopped')
  await table.run('start', 'server')
  await table.run('pause', 'server')
  await table.run('kill', 'server')
  t.equal(state('server'), 'stopped', 'even a paused one is killed')
  await table.run('kill', 'server')
  await t.rejects(table.run('pause', 'server'), { message: 'server is not running (stopped)' })
  await t.rejects(table.run('stop', 'nobody'), { message: 'there is no process nobody; there are server' })
})

t.test('what ends by itself is started again, what was ended is not', async (t) => {
  const { folder, table, add, state, pid } = fixture(t)
  add('server', SERVE, { ready: ready(folder), restart: true })
  await table.run('start', 'server')
  const first = pid('server')
  process.kill(first, 'SIGKILL')
  const second = await eventually('a second start', () => {
    const found = table.status()[0]?.pid
    return found !== undefined && found !== first && state('server') === 'running' ? found : undefined
  })
  t.equal(table.status()[0]?.restarts, 1)
  await table.run('kill', 'server')
  t.equal(await lifeOf(second), undefined)
  t.equal(state('server'), 'stopped')
})

t.test('a job is done when it ends well, and its log is shown when it does not', async (t) => {
  const { table, add, state } = fixture(t)
  add('good', 'console.log("fine")')
  add('bad', 'console.error("the reason"); process.exit(3)')
  add('missing', '', { command: '/nonexistent/program' })
  await table.run('start', 'good')
  t.equal(state('good'), 'done')
  await table.run('start', 'good')
  t.equal(state('good'), 'done', 'it runs again when it is asked to')
  await t.rejects(table.run('start', 'bad'), { message: /^bad did not become ready: exited\(3\).*\nthe reason$/s })
  await t.rejects(table.run('start', 'missing'), { message: /not started: .*ENOENT/ })
})

t.test('a start that never succeeds can be ended', async (t) => {
  const { table, add, state } = fixture(t)
  add('server', 'setInterval(() => {}, 1000)', { ready: async () => false })
  const starting = table.run('start', 'server')
  starting.catch(() => undefined)
  await eventually('the start', () => (state('server') === 'starting' ? true : undefined))
  await table.run('kill', 'server')
  await t.rejects(starting, { message: /did not become ready: stopped/ })
})

t.test('what lives is written down for whoever must end it later', async (t) => {
  const { folder, table, add, pid } = fixture(t)
  add('server', SERVE, { ready: ready(folder) })
  await table.run('start', 'server')
  const listed = async (): Promise<unknown> => JSON.parse(await readFile(join(folder, 'processes.json'), 'utf8'))
  await eventually('the list', async () => ((await listed()) as unknown[]).length === 1 || undefined)
  t.match(await listed(), [{ name: 'server', pid: pid('server'), started: /./ }])
  await table.killAll()
  t.same(await listed(), [])
  await t.rejects(table.run('start', 'server'), { message: 'the bed is ending' })
})
