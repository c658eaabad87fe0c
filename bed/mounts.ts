/** Secrets as a kubelet lays them out for a pod: whole generations behind one symlink that is swapped. */
import { mkdir, mkdtemp, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { KubeApi } from './kubeApi.ts'

/**
 * Shows `data` in `directory`: files in a new `..<time>` folder, `..data` pointing to it, and a symlink for each key.
 * A reader that opens two files through one reading of `..data` gets two of the same generation.
 */
export async function layOut(directory: string, data: Readonly<Record<string, Buffer>>): Promise<void> {
  await mkdir(directory, { recursive: true })
  const before = await readlink(join(directory, '..data')).catch(() => undefined)
  const generation = await mkdtemp(join(directory, `..${new Date().toISOString().replaceAll(/[:.TZ-]/g, '_')}`))
  for (const [key, value] of Object.entries(data)) await writeFile(join(generation, key), value, { mode: 0o440 })
  await symlink(basename(generation), join(directory, '..data_tmp'))
  await rename(join(directory, '..data_tmp'), join(directory, '..data'))
  const shown = (await readdir(directory)).filter((name) => !name.startsWith('..'))
  for (const key of Object.keys(data)) {
    if (!shown.includes(key)) await symlink(join('..data', key), join(directory, key))
  }
  for (const name of shown) if (!(name in data)) await rm(join(directory, name))
  if (before !== undefined) await rm(join(directory, before), { recursive: true, force: true })
}

export interface Mount {
  readonly namespace: string
  readonly secret: string
  readonly directory: string
}

/**
 * Lays out each mount and follows its Secret from then on, looking every `period` milliseconds.
 * @returns what ends it
 */
export async function followMounts(
  api: KubeApi,
  mounts: readonly Mount[],
  { period, tell }: { readonly period: number; readonly tell: (line: string) => void }
): Promise<() => Promise<void>> {
  const versions = new Map<Mount, string>()
  async function look(mount: Mount): Promise<void> {
    const secret = await api.call('GET', `/api/v1/namespaces/${mount.namespace}/secrets/${mount.secret}`)
    const version = secret.metadata?.resourceVersion ?? ''
    if (versions.get(mount) === version) return
    const data = (secret.data ?? {}) as Record<string, string>
    await layOut(
      mount.directory,
      Object.fromEntries(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64')]))
    )
    versions.set(mount, version)
  }
  for (const mount of mounts) await look(mount)
  let looking: Promise<unknown> = Promise.resolve()
  let troubled = false
  const poll = setInterval(() => {
    looking = looking
      .then(() => Promise.all(mounts.map(look)))
      .then(
        () => {
          troubled = false
        },
        (error: unknown) => {
          if (!troubled) tell(`Secrets are not followed for now: ${String(error)}`)
          troubled = true
        }
      )
  }, period)
  return async () => {
    clearInterval(poll)
    await looking
  }
}
