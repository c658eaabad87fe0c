/** Bundles each process into one file: dist/webhook.js, dist/worker.js, dist/certs-job.js. For the image alone. */
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { build } from 'esbuild'

const COMPONENTS = ['webhook', 'worker', 'certs-job']
const OUT = process.argv[2] ?? 'dist'

await rm(OUT, { recursive: true, force: true })
const { outputFiles } = await build({
  entryPoints: COMPONENTS.map((component) => ({ in: `${component}/main.ts`, out: component })),
  outdir: OUT,
  write: false,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // By default esbuild takes the CommonJS of packages for node, which cannot be tree-shaken: three times the size.
  mainFields: ['module', 'main'],
  // Packages inside are CommonJS still, and call require.
  banner: { js: "import{createRequire}from'module';const require=createRequire(import.meta.url);" },
  // Names stay, so that stack traces can be read, and lines are short, for an uncaught error prints the one it comes from. The text is kept in
  // memory as long as the process lives, and so is a number for each line: blanks and breaks are two megabytes.
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 160,
  legalComments: 'none',
  logLevel: 'warning'
})
await mkdir(OUT, { recursive: true })
await writeFile(`${OUT}/package.json`, '{"type":"module"}\n')
for (const { path, text } of outputFiles) {
  // One character beyond ASCII makes V8 keep the whole source at two bytes a character. esbuild escapes those in strings; this
  // escapes those in regular expressions, where it means the same, and in comments, where it means nothing.
  const ascii = text.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
  await writeFile(path, ascii)
  console.log(`${OUT}/${basename(path)} ${Math.round(ascii.length / 1024)} KiB`)
}
