/** Certificates for tests, and the directory layout in which the kubelet hands them over. */
import { mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { generate } from 'selfsigned'

export interface TestPair {
  readonly cert: string
  readonly key: string
}

/** A self-signed certificate for localhost, which is its own authority. */
export async function selfSigned(
  name: string,
  notAfterDate = new Date(Date.now() + 3600_000),
  notBeforeDate = new Date(Date.now() - 7200_000)
): Promise<TestPair> {
  const { cert, private: key } = await generate([{ name: 'commonName', value: name }], {
    keyType: 'ec',
    algorithm: 'sha256',
    notBeforeDate,
    notAfterDate,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] }
    ]
  })
  return { cert, key }
}

let generation = 0

/** Replaces all files at once: writes a new folder and renames a symlink to it over `..data` (kubelet atomic_writer.go). */
export async function mount(directory: string, files: Readonly<Record<string, string>>): Promise<void> {
  const folder = `..generation_${++generation}`
  await mkdir(join(directory, folder))
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(directory, folder, name), text)
    await symlink(join('..data', name), join(directory, name)).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    })
  }
  await symlink(folder, join(directory, '..data_tmp'))
  await rename(join(directory, '..data_tmp'), join(directory, '..data'))
}

export const files = ({ cert, key }: TestPair): Record<string, string> => ({ 'tls.crt': cert, 'tls.key': key })

/** Asks again every few milliseconds until it is so; the test's own timeout is the limit. */
export async function until(so: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await so())) await new Promise((resolve) => setTimeout(resolve, 5))
}
