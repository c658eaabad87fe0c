/** The manifests in a folder. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

/** As `kubectl apply -f <folder>` takes them: the YAML files in the order of their names, and no folders below. */
export async function manifestFiles(folder: string): Promise<{ readonly name: string; readonly text: string }[]> {
  const names = (await readdir(folder)).filter((name) => /\.ya?ml$/.test(name)).sort()
  return Promise.all(names.map(async (name) => ({ name, text: await readFile(join(folder, name), 'utf8') })))
}
