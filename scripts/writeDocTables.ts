/** Writes the tables of the docs that come from the code. */
import { readFile, writeFile } from 'node:fs/promises'
import { docTables, withTables } from './docTables.ts'

for (const [file, tables] of Object.entries(docTables())) {
  const before = await readFile(file, 'utf8')
  const after = withTables(before, tables)
  if (after === before) continue
  await writeFile(file, after)
  console.log(`${file} written`)
}
// prom-client watches the event loop and garbage collection for as long as the process lives.
process.exit(0)
