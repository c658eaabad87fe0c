/**
 * Writes manifests/backstop/ from the tables that the parser reads by: `node scripts/policies.ts`. After a change of the
 * grammar run it again; a test compares what is committed with what it would write.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { backstopFiles } from './backstop/files.ts'

const manifests = join(import.meta.dirname, '..', 'manifests')
const folder = join(manifests, 'backstop')
for (const [name, content] of backstopFiles(readFileSync(join(manifests, '60-admission.yaml'), 'utf8'))) {
  mkdirSync(join(folder, dirname(name)), { recursive: true })
  writeFileSync(join(folder, name), content)
}
