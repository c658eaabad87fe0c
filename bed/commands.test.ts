import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { controlBed, takeDown, type CommandContext } from './commands.ts'
import { lives, refTo } from './lives.ts'

const contextIn = (root: string, said: string[] = []): CommandContext => ({
  root,
  name: 'x',
  say: (line) => said.push(line),
  kill: (pid) => process.kill(pid, 'SIGKILL')
})

async function sleeper(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  await once(child, 'spawn')
  return child
}

t.test('down ends what a killed supervisor left, and nothing that only has its pid', async (t) => {
  const root = t.testdir()
  const directory = join(root, '.run', 'x')
  await mkdir(join(directory, 'logs'), { recursive: true })
  const [left, stranger] = await Promise.all([sleeper(), sleeper()])
  t.teardown(() => stranger.kill('SIGKILL'))
  const ref = await refTo(left.pid!)
  await writeFile(
    join(directory, 'processes.json'),
    JSON.stringify([
      { name: 'etcd', ...ref },
      { name: 'apiserver', pid: stranger.pid, started: 'another time' }
    ])
  )
  await writeFile(join(directory, 'lock'), JSON.stringify({ pid: stranger.pid, started: 'another time' }))
  const said: string[] = []
  await takeDown(contextIn(root, said))
  t.same(said, [
    `the supervisor of the bed 'x' had been killed; ended what it left: etcd (process ${left.pid})`
  ]) // prettier-ignore
  t.equal(await lives(ref), false)
  t.equal(await lives(await refTo(stranger.pid!)), true)
  t.same(await readdir(directory), ['logs'])
})

t.test('a bed that is not there is said to be so', async (t) => {
  const said: string[] = []
  const context = contextIn(t.testdir(), said)
  await takeDown(context)
  t.same(said, ["the bed 'x' was not running"])
  await t.rejects(controlBed(context, ['status']), { message: /^no bed is running in .*: start one with 'make up'$/ })
  await t.rejects(controlBed(context, ['explode', 'worker-0']), { message: /^say bed\/ctl start\|stop\|kill\|/ })
  await t.rejects(takeDown({ ...context, name: '../x' }), { message: /^'\.\.\/x' cannot name a bed/ })
  await t.rejects(controlBed(context, ['kill']), { message: /^say bed\/ctl / })
})
