import { mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { bundleInto } from './bundles.ts'

/** Bundles by copying, and leaves a line for each time. */
const BUNDLER = `
import { appendFileSync, copyFileSync, mkdirSync } from 'node:fs'
mkdirSync(process.argv[2])
copyFileSync('worker/main.ts', process.argv[2] + '/worker.js')
appendFileSync('built', '.')
`

t.test('sources are bundled once, also by two beds at once, and anew when they changed', async (t) => {
  const root = t.testdir({
    'package-lock.json': '{}',
    worker: { 'main.ts': 'one', 'main.test.ts': '' },
    scripts: { 'bundle.ts': BUNDLER },
    '.run': {}
  })
  let beds = 0
  const bed = async (): Promise<string> => {
    const folder = join(root, `bed-${++beds}`)
    await bundleInto(folder, { root, node: process.execPath, pid: 1000 + beds, tell: () => undefined })
    return folder
  }
  const built = (): number => readFileSync(join(root, 'built'), 'utf8').length
  const [first, second] = await Promise.all([bed(), bed()])
  for (const folder of [first, second]) t.equal(readFileSync(join(folder, 'worker.js'), 'utf8'), 'one')
  const before = built()
  await bed()
  writeFileSync(join(root, 'worker', 'main.test.ts'), 'a test')
  await bed()
  t.equal(built(), before, 'nothing had changed')

  const old = join(root, '.run', 'bundle-0123456789ab')
  mkdirSync(old)
  utimesSync(old, new Date(0), new Date(0))
  writeFileSync(join(root, 'worker', 'main.ts'), 'two')
  t.equal(readFileSync(join(await bed(), 'worker.js'), 'utf8'), 'two')
  t.equal(readFileSync(join(first, 'worker.js'), 'utf8'), 'one', 'a running bed keeps what it has')
  const left = readdirSync(join(root, '.run'))
  t.equal(left.length, 2, `of old ones only the young: ${left.join(', ')}`)
})

t.test('what the bundler says is told', async (t) => {
  const root = t.testdir({ scripts: { 'bundle.ts': "throw new Error('no such entry point')" }, '.run': {} })
  const building = bundleInto(join(root, 'bed'), { root, node: process.execPath, pid: 1, tell: () => undefined })
  await t.rejects(building, /no such entry point/)
})
