import { readFile } from 'node:fs/promises'
import t from 'tap'
import { VERSION } from './version.ts'

t.test('it is the version of the package', async (t) => {
  const text = await readFile(new URL('../package.json', import.meta.url), 'utf8')
  t.equal(VERSION, (JSON.parse(text) as { version: string }).version)
})
