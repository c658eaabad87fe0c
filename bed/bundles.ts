/**
 * kube-sg as it is shipped: each process bundled into one file, as in the image. Built once for the sources as they are, and linked into
 * the folder of each bed, which goes on with the files that it was started with whatever is edited meanwhile.
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, glob, link, mkdir, readFile, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface BundleOptions {
  /** The repository. */
  readonly root: string
  readonly node: string
  /** Process that builds: this one. */
  readonly pid: number
  readonly tell: (step: string) => void
}

const SOURCES = ['{shared,webhook,worker,certs-job}/**/*.ts', 'scripts/bundle.ts', 'package-lock.json']
/** Milliseconds; whoever is linking an older build has done so by then. */
const KEPT_FOR = 600_000

/**
 * Fills `folder` with `worker.js` and the like.
 * @throws Error with what esbuild said
 */
export async function bundleInto(folder: string, options: BundleOptions): Promise<void> {
  const { node, pid, root, tell } = options
  const parent = join(root, '.run')
  const built = join(parent, `bundle-${await keyOf(root)}`)
  if (!(await isThere(built))) {
    tell('bundles')
    const work = `${built}.partial-${pid}`
    await promisify(execFile)(node, [join(root, 'scripts', 'bundle.ts'), work], { cwd: root })
    await rename(work, built).catch(async (error: unknown) => {
      // Another bed was faster.
      if (!(await isThere(built))) throw error
      await rm(work, { recursive: true })
    })
    await removeOld(parent, built)
  }
  await mkdir(folder)
  for (const file of await readdir(built)) await link(join(built, file), join(folder, file))
}

async function keyOf(root: string): Promise<string> {
  const hash = createHash('sha256')
  const files: string[] = []
  for await (const file of glob(SOURCES, { cwd: root })) if (!file.endsWith('.test.ts')) files.push(file)
  for (const file of files.sort()) hash.update(`${file}\n`).update(await readFile(join(root, file)))
  return hash.digest('hex').slice(0, 12)
}

async function removeOld(parent: string, current: string): Promise<void> {
  for (const name of await readdir(parent)) {
    const path = join(parent, name)
    if (!name.startsWith('bundle-') || path === current) continue
    const { mtimeMs } = await stat(path)
    if (mtimeMs < Date.now() - KEPT_FOR) await rm(path, { recursive: true, force: true })
  }
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false
  )
