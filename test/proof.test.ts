/** The matrix of docs/proof.md names tests that exist, and every row that is played on a bed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import ts from 'typescript'

const root = new URL('..', import.meta.url).pathname
const ROWS = 'test/cluster/rows'

interface Named {
  readonly file: string
  readonly test: string
}

/** The tests that a table of the text names: `file` title, several of them with `<br>` between. */
function testsNamed(text: string): Named[] {
  return text
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .flatMap((line) => [...line.matchAll(/`([\w/]+)` (.+?)(?=<br>| \|$)/g)])
    .map(([, file = '', test = '']) => ({ file, test }))
}

/** `cluster/` and what is in the worker's folder, as the matrix abbreviates them. */
function pathOf(file: string): string {
  const folder = file.startsWith('cluster/') ? 'test/' : ''
  return `${folder}${file}${file.startsWith('cluster/rows/') ? '' : '.test'}.ts`
}

/** Titles of tests and rows in a source, as patterns: what a template leaves open may be anything. */
function titlesIn(text: string): RegExp[] {
  const found: RegExp[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) && /(^|\.)(test|row)$/.test(node.expression.getText())) {
      const [title] = node.arguments
      if (title !== undefined) {
        const parts = ts.isTemplateExpression(title)
          ? [title.head.text, ...title.templateSpans.map(({ literal }) => literal.text)]
          : ts.isStringLiteralLike(title)
            ? [title.text]
            : []
        if (parts.length > 0) found.push(new RegExp(`^${parts.map(escape).join('.+')}$`))
      }
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile('a.ts', text, ts.ScriptTarget.Latest, true))
  return found
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)

const read = new Map<string, readonly RegExp[]>()
function titlesOf(path: string): readonly RegExp[] {
  const titles = read.get(path) ?? titlesIn(readFileSync(path, 'utf8'))
  read.set(path, titles)
  return titles
}

/** One sentence for everything that is wrong with the matrix. */
function faultsOf(text: string): string[] {
  const named = testsNamed(text)
  const faults = named.flatMap(({ file, test }) => {
    const path = `${root}${pathOf(file)}`
    if (!existsSync(path)) return [`there is no ${pathOf(file)}`]
    const there = titlesOf(path).some((title) => title.test(test))
    return there ? [] : [`${pathOf(file)} has no test '${test}'`]
  })
  for (const name of readdirSync(`${root}${ROWS}`)) {
    const file = `cluster/rows/${name.replace('.ts', '')}`
    const tests = named.filter((each) => each.file === file).map(({ test }) => test)
    for (const title of titlesOf(`${root}${ROWS}/${name}`)) {
      if (!tests.some((test) => title.test(test))) faults.push(`the row ${String(title)} of ${name} is not named`)
    }
  }
  const rows = text.split('\n').filter((line) => /^\| (?!situation)/.test(line))
  faults.push(...rows.filter((line) => testsNamed(line).length === 0).map((line) => `no test: ${line}`))
  return faults
}

const matrix = readFileSync(`${root}docs/proof.md`, 'utf8')

t.test('every situation has a test that exists, and every row is named', async (t) => {
  t.ok(testsNamed(matrix).length > 60, 'the matrix was read')
  t.same(faultsOf(matrix), [])
})

for (const [name, broken] of [
  ['a test that is gone', matrix.replace('a pod that fails loses access', 'a pod that fails')],
  ['a file that is gone', matrix.replace('`cluster/rows/ends`', '`cluster/rows/end`')],
  ['a row that nobody names', matrix.replace(/^.*two living pods with one address.*$/m, '')],
  ['a situation without a test', `${matrix}\n| something new | |`]
] as const) {
  t.test(`the comparison can fail: ${name}`, async (t) => t.not(faultsOf(broken).length, 0))
}
