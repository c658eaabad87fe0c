/** What a Deployment sets that decides about memory, so that benches run what ships. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** @param manifest such as `40-worker.yaml` */
export async function shippedEnvironment(manifest: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(import.meta.dirname, '..', 'manifests', manifest), 'utf8')
  const found = text.matchAll(/- name: (NODE_OPTIONS|MALLOC_\w+)\n +value: '?([^'\n]+)/g)
  return Object.fromEntries([...found].map(([, name = '', value = '']) => [name, value]))
}

/** Arguments for node before the bundle's name. @param manifest such as `40-worker.yaml` */
export async function shippedArguments(manifest: string): Promise<readonly string[]> {
  const text = await readFile(join(import.meta.dirname, '..', 'manifests', manifest), 'utf8')
  const [, all = ''] = /args: \[(.+)\]/.exec(text) ?? []
  return all.split(', ').filter((argument) => argument.startsWith('--'))
}
