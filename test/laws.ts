/** The laws of the house, as functions of a file's path and text, so that a test can show that each is able to fail. Pure. */
import ts from 'typescript'

/** Files that do I/O: they may use node: modules, clocks and libraries of the outside. Every other file decides, and is pure. */
const ADAPTERS = [
  /^(webhook|worker|certs-job)\/main\.ts$/,
  /^(shared|worker|certs-job|webhook)\/kubernetes\//,
  /^worker\/aws\//,
  // HTTP servers, certificate files, key generation, log and metric sinks.
  /^shared\/(health|logger|metrics)\.ts$/,
  /^webhook\/(server|certificate|metrics|health|listen|drain)\.ts$/,
  /^worker\/metrics\.ts$/,
  /^certs-job\/(certificates|run)\.ts$/
]
const PRODUCT = ['shared', 'webhook', 'worker', 'certs-job']
/** Libraries that compute and nothing else. */
const PURE_LIBRARIES = new Set(['ip-address', 'node:crypto'])
/** What computes and nothing else of a module that otherwise does I/O. */
const PURE_NAMES: Readonly<Record<string, ReadonlySet<string>>> = { 'node:net': new Set(['BlockList']) }

export interface Source {
  /** From the project's root, with slashes. */
  readonly path: string
  readonly text: string
}

/** One sentence for each law that the file breaks. */
export function brokenLaws(source: Source): string[] {
  const folder = source.path.split('/')[0] ?? ''
  if (!PRODUCT.includes(folder) || source.path.endsWith('.test.ts') || source.path.endsWith('Fixture.ts')) return []
  const file = ts.createSourceFile(source.path, source.text, ts.ScriptTarget.Latest, true)
  const imports = importsOf(file)
  return [
    ...foldersLaw(source.path, folder, imports),
    ...sdkLaw(source.path, imports),
    ...processLaw(source.path, file),
    ...pureLaw(source.path, file, imports)
  ]
}

interface Import {
  readonly from: string
  readonly typeOnly: boolean
  /** Undefined: all that the module has. */
  readonly names?: readonly string[]
}

/** Those between braces, if nothing else is imported. */
function namesOf({ importClause }: ts.ImportDeclaration): string[] | undefined {
  const bindings = importClause?.namedBindings
  if (importClause?.name !== undefined || bindings === undefined || !ts.isNamedImports(bindings)) return undefined
  return bindings.elements.map(({ name, propertyName }) => (propertyName ?? name).text)
}

function importsOf(file: ts.SourceFile): Import[] {
  const found: Import[] = []
  const visit = (node: ts.Node): void => {
    if ((ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) && node.moduleSpecifier !== undefined) {
      const typeOnly = ts.isImportDeclaration(node)
        ? node.importClause?.phaseModifier === ts.SyntaxKind.TypeKeyword
        : node.isTypeOnly
      const names = ts.isImportDeclaration(node) ? namesOf(node) : undefined
      found.push({ from: (node.moduleSpecifier as ts.StringLiteral).text, typeOnly, ...(names && { names }) })
    }
    if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword) {
      const [argument] = node.arguments
      found.push({
        from: argument !== undefined && ts.isStringLiteral(argument) ? argument.text : '(computed)',
        typeOnly: false
      })
    }
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

/** The file that a relative import names, from the project's root. */
function resolve(path: string, from: string): string {
  return new URL(from, `file:///${path}`).pathname.slice(1)
}

function foldersLaw(path: string, folder: string, imports: readonly Import[]): string[] {
  return imports
    .filter(({ from }) => from.startsWith('.'))
    .map(({ from }) => resolve(path, from))
    .filter((target) => {
      const other = target.split('/')[0] ?? ''
      return other !== folder && other !== 'shared'
    })
    .map((target) => `${path} imports ${target}: shared imports none of the others, and they never each other`)
}

function sdkLaw(path: string, imports: readonly Import[]): string[] {
  const laws = [
    { library: /^@(aws-sdk|smithy)\//, folder: 'aws' },
    { library: /^@kubernetes\//, folder: 'kubernetes' }
  ]
  return laws.flatMap(({ library, folder }) =>
    imports
      .filter(({ from }) => library.test(from) && !path.split('/').includes(folder))
      .map(({ from }) => `${path} imports ${from}: only files under a folder ${folder}/ may, its types included`)
  )
}

function processLaw(path: string, file: ts.SourceFile): string[] {
  if (path.endsWith('/main.ts')) return []
  return globalsOf(file)
    .filter((name) => name === 'process')
    .slice(0, 1)
    .map(() => `${path} touches process: only main.ts files may`)
}

const IMPURE_GLOBALS = new Set([
  'Date.now',
  'Math.random',
  'new Date()',
  'performance',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'fetch',
  'console'
])

function pureLaw(path: string, file: ts.SourceFile, imports: readonly Import[]): string[] {
  if (isAdapter(path)) return []
  const outside = imports
    .filter((each) => !each.typeOnly && !each.from.startsWith('.') && !isPure(each))
    .map(({ from }) => `${path} imports ${from}: a file that decides does no I/O and uses no SDK`)
  const adapters = imports
    .filter(({ from, typeOnly }) => !typeOnly && from.startsWith('.') && isAdapter(resolve(path, from)))
    .map(({ from }) => `${path} imports ${from}, an adapter: take it as an argument`)
  const globals = new Set(globalsOf(file).filter((name) => IMPURE_GLOBALS.has(name)))
  return [...outside, ...adapters, ...[...globals].map((name) => `${path} uses ${name}: time and chance are arguments`)]
}

function isPure({ from, names }: Import): boolean {
  return PURE_LIBRARIES.has(from) || names?.every((name) => PURE_NAMES[from]?.has(name)) === true
}

export function isAdapter(path: string): boolean {
  return ADAPTERS.some((pattern) => pattern.test(path))
}

/** Free names that the laws speak of, and calls such as `Date.now` or `new Date()` without an argument. */
function globalsOf(file: ts.SourceFile): string[] {
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isPropertyAccessExpression(node) && ts.isIdentifier(node.expression)) {
      found.push(`${node.expression.text}.${node.name.text}`, node.expression.text)
      return
    }
    if (ts.isNewExpression(node) && node.expression.getText() === 'Date' && (node.arguments?.length ?? 0) === 0)
      found.push('new Date()')
    if (ts.isIdentifier(node) && !isName(node)) found.push(node.text)
    ts.forEachChild(node, visit)
  }
  visit(file)
  return found
}

/** A name that is declared or a property's, not a use of a global. */
function isName(node: ts.Identifier): boolean {
  const { parent } = node
  return (
    ts.isPropertyAssignment(parent) ||
    ts.isPropertySignature(parent) ||
    ts.isMethodSignature(parent) ||
    ts.isMethodDeclaration(parent) ||
    ts.isBindingElement(parent) ||
    ts.isParameter(parent) ||
    ts.isImportSpecifier(parent)
  )
}
