import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { refTo } from './lives.ts'
import { buildOnce, programsFolder, PROGRAMS, type BuildOptions } from './programs.ts'

const options = (said: string[] = []): BuildOptions => ({
  pid: process.pid,
  environment: {},
  progress: (line) => said.push(line)
})

async function writePrograms(folder: string, names = PROGRAMS.map(({ name }) => name)): Promise<void> {
  for (const name of names) {
    await writeFile(join(folder, name), name)
    await chmod(join(folder, name), 0o755)
  }
}

t.test('two that want the programs at once build them once', async (t) => {
  const folder = join(t.testdir(), 'bed-key')
  let builds = 0
  const said: string[] = []
  const build = async (into: string): Promise<void> => {
    builds++
    t.notOk(existsSync(folder), 'the folder is not there before it is whole')
    await writePrograms(into)
  }
  await Promise.all([1, 2, 3].map(() => buildOnce(folder, options(said), build)))
  t.equal(builds, 1)
  t.same((await readdir(folder)).sort(), PROGRAMS.map(({ name }) => name).sort())
  t.same(await readdir(join(folder, '..')), ['bed-key'], 'neither lock nor draft stays')
  t.match(said, [/^process \d+ is building the programs already; waiting for it$/])
})

t.test('a build that fails leaves nothing, and the next one builds', async (t) => {
  const folder = join(t.testdir(), 'bed-key')
  const failing = buildOnce(folder, options(), async (into) => {
    await writePrograms(into, ['etcd'])
    throw new Error('no more disk')
  })
  await t.rejects(failing, { message: 'no more disk' })
  t.notOk(existsSync(folder))
  await buildOnce(folder, options(), (into) => writePrograms(into))
  t.same(await readdir(join(folder, '..')), ['bed-key'])
})

t.test('what a build that was cut off left behind is removed, and no living build is disturbed', async (t) => {
  const parent = t.testdir({
    'bed-key.partial-999999999': { etcd: 'half' },
    'bed-key.partial-1': { etcd: 'being built' },
    'bed-key.lock': JSON.stringify({ ...(await refTo(process.pid)), started: 'long ago' }),
    'bed-other.partial-999999999': { etcd: 'of another key' }
  })
  await buildOnce(join(parent, 'bed-key'), options(), (into) => writePrograms(into))
  t.same((await readdir(parent)).sort(), ['bed-key', 'bed-key.partial-1', 'bed-other.partial-999999999'])
})

t.test('a folder in the cache that lacks a program is made anew', async (t) => {
  const folder = join(t.testdir({ 'bed-key': { etcd: 'not executable' } }), 'bed-key')
  await buildOnce(folder, options(), (into) => writePrograms(into))
  t.equal((await readdir(folder)).length, PROGRAMS.length)
})

t.test('KUBE_SG_BED_PROGRAMS names a folder that must hold every program', async (t) => {
  const named = t.testdir({ whole: {}, lacking: {} })
  await writePrograms(join(named, 'whole'))
  await writePrograms(join(named, 'lacking'), ['etcd', 'kube-apiserver', 'kubectl', 'kube-scheduler'])
  const from = (folder: string): Promise<string> =>
    programsFolder({ ...options(), environment: { KUBE_SG_BED_PROGRAMS: join(named, folder) } })
  t.equal(await from('whole'), join(named, 'whole'))
  await t.rejects(from('lacking'), { message: /lacking has no executable kube-controller-manager, kwok: put etcd, / })
  await t.rejects(from('nowhere'), { message: /nowhere has no executable etcd, / })
})

t.test('a missing Go is named with what to do', async (t) => {
  const environment = { PATH: t.testdir(), HOME: t.testdirName }
  await mkdir(t.testdirName, { recursive: true })
  await t.rejects(programsFolder({ ...options(), environment }), { message: /^go is not on PATH: install Go 1\.26/ })
})
