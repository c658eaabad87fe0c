/** Bundles each process into one file: dist/webhook.js, dist/worker.js, dist/certs-job.js. For the image alone. */
import { rm, stat, writeFile } from 'node:fs/promises'
import { build } from 'esbuild'

const COMPONENTS = ['webhook', 'worker', 'certs-job']
const OUT = process.argv[2] ?? 'dist'

await rm(OUT, { recursive: true, force: true })
await build({
  entryPoints: COMPONENTS.map((component) => ({ in: `${component}/main.ts`, out: component })),
  outdir: OUT,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // By default esbuild takes the CommonJS of packages for node, which cannot be tree-shaken: three times the size.
  mainFields: ['module', 'main'],
  // Packages inside are CommonJS still, and call require.
  banner: { js: "import{createRequire}from'module';const require=createRequire(import.meta.url);" },
  // Names and lines stay, so that stack traces can be read; an uncaught error would print a line of megabytes.
  minifySyntax: true,
  legalComments: 'none',
  logLevel: 'warning'
})
await writeFile(`${OUT}/package.json`, '{"type":"module"}\n')
for (const component of COMPONENTS) {
  const { size } = await stat(`${OUT}/${component}.js`)
  console.log(`${OUT}/${component}.js ${Math.round(size / 1024)} KiB`)
}
