/** docs/admission.md names a test for each of its rows: the tests must be there. */
import { readFile } from 'node:fs/promises'
import t from 'tap'

const page = await readFile(new URL('../docs/admission.md', import.meta.url), 'utf8')
const named = [...page.matchAll(/`([a-zA-Z]+): ([^`]+)`/g)].map(([, file = '', title = '']) => ({ file, title }))

/** The titles of a cluster test, as patterns: what a title takes from a variable may be anything. */
async function titlesOf(file: string): Promise<RegExp[]> {
  const source = await readFile(new URL(`../test/cluster/${file}.test.ts`, import.meta.url), 'utf8')
  const titles = [...source.matchAll(/\bt\.test\(\s*(?:'((?:[^'\\\n]|\\.)+)'|"((?:[^"\\\n]|\\.)+)"|`([^`]+)`)/g)]
  return titles.map(([, single, double, template]) => {
    const parts = (single ?? double ?? template ?? '').replaceAll(/\\(.)/g, '$1').split(/\$\{[^}]*\}/)
    return new RegExp(`^${parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.+')}$`)
  })
}

t.test('every test that docs/admission.md names exists', async (t) => {
  t.ok(named.length > 30, `${named.length} are named`)
  for (const { file, title } of named)
    t.ok(
      (await titlesOf(file)).some((pattern) => pattern.test(title)),
      `${file}: ${title}`
    )
})

t.test('every row of a table of requests names one', async (t) => {
  const tables = page.split(/\n\n/).filter((block) => /^\|.*\| shown by \|$/m.test(block))
  t.equal(tables.length, 2)
  for (const row of tables.flatMap((table) => table.trim().split('\n').slice(2)))
    t.match(row, /\| (?:`\w+: [^`]+`(?:, )?)+ \|$/, row)
})

t.test('every admission test on the API server is named', async (t) => {
  for (const file of ['admissionWays', 'admissionMutation', 'admissionWorker', 'admissionAudit'])
    for (const pattern of await titlesOf(file))
      t.ok(
        named.some((one) => one.file === file && pattern.test(one.title)),
        `${file}: ${pattern.source}`
      )
})
