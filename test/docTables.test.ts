/** The tables of the docs say what the code says, neither more nor less. */
import { readdir, readFile } from 'node:fs/promises'
import t from 'tap'
import { docTables, withTables } from '../scripts/docTables.ts'
import { REASONS } from '../worker/reasons.ts'

for (const [file, tables] of Object.entries(docTables())) {
  t.test(`${file} is up to date; if not: node scripts/writeDocTables.ts`, async (t) => {
    const text = await readFile(new URL(`../${file}`, import.meta.url), 'utf8')
    t.equal(withTables(text, tables), text)
  })
}

t.test('every metric of ours has a name of ours, or one that is known', async (t) => {
  const names = Object.values(docTables()['docs/metrics.md'] ?? {}).flatMap((table) =>
    [...table.matchAll(/^\| `([^`]+)`/gm)].map(([, name = '']) => name)
  )
  t.ok(names.length > 60, `${String(names.length)} metrics`)
  const known =
    /^(kube_sg_|process_|nodejs_|workqueue_|rest_client_|leader_election_master_status$|controller_runtime_webhook_|certwatcher_)/
  t.same(
    names.filter((name) => !known.test(name)),
    []
  )
})

t.test('the test can fail', async (t) => {
  const text = '<!-- a -->\n\nold\n\n<!-- end of a -->\n'
  t.equal(withTables(text, { a: 'new\n' }), '<!-- a -->\n\nnew\n\n<!-- end of a -->\n')
  t.throws(() => withTables(text, {}), /no table is made for a/)
  t.throws(() => withTables(text, { a: 'new\n', b: 'new\n' }), /no place for the table 'b'/)
})

t.test('alerts ask for metrics and labels that exist', async (t) => {
  const text = await readFile(new URL('../docs/metrics.md', import.meta.url), 'utf8')
  const [tables = '', alerts = ''] = text.split('\n## Alerts\n')
  const asked = [...alerts.matchAll(/\b((?:kube_sg|workqueue|leader|controller_runtime)_\w+)(?:\{(\w+)[=!])?/g)]
  t.ok(asked.length > 15)
  for (const [, series = '', label] of asked) {
    const name = series.replace(/_bucket$/, '')
    const row = tables.split('\n').find((line) => line.startsWith(`| \`${name}\` |`))
    t.ok(row !== undefined && (label === undefined || row.includes(`\`${label}\``)), `${name} ${label ?? ''}`)
  }
})

t.test('every reason of the table is given somewhere', async (t) => {
  const folder = new URL('../worker/', import.meta.url)
  const files = (await readdir(folder)).filter((name) => /^[^.]+\.ts$/.test(name) && name !== 'reasons.ts')
  const sources = (await Promise.all(files.map((name) => readFile(new URL(name, folder), 'utf8')))).join('\n')
  t.same(
    Object.keys(REASONS).filter((reason) => !sources.includes(`'${reason}'`)),
    []
  )
})

t.test('the certificates job counts nothing, as the doc says', async (t) => {
  const folder = new URL('../certs-job/', import.meta.url)
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.ts'))
  t.ok(files.includes('main.ts'))
  for (const name of files) t.notMatch(await readFile(new URL(name, folder), 'utf8'), /prom-client|\/metrics/, name)
})
