/** Python programs in venvs of the user's cache folder: clients of EC2 that are not ours, and an EC2 that is not ours. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

interface Programs {
  /** Of the venv's folder. */
  readonly name: string
  readonly about: string
  /** In this folder, pinned with hashes, resolved for `leastMinor` and all that follow. */
  readonly requirements: string
  /** The least Python, 3.`leastMinor`. */
  readonly leastMinor: number
}

const CLIENTS: Programs = {
  name: 'clients',
  about: 'boto3 and the AWS CLI',
  requirements: 'requirements.txt',
  leastMinor: 9
}

const MOTO: Programs = { name: 'moto', about: 'moto', requirements: 'moto.txt', leastMinor: 10 }

/** A venv that was begun so long ago was given up. */
const ABANDONED_MS = 60 * 60_000

type Environment = Readonly<Record<string, string | undefined>>

/**
 * boto3 and the AWS CLI.
 * @returns the venv's Python; run the AWS CLI as its module `awscli`, because a renamed venv breaks its scripts
 * @throws Error saying what is missing and what to do
 */
export const installClients = (environment: Environment, tell: (line: string) => void): Promise<string> =>
  install(CLIENTS, environment, tell)

/**
 * moto, which runs as the module `moto.server`.
 * @returns the venv's Python
 * @throws Error saying what is missing and what to do
 */
export const installMoto = (environment: Environment, tell: (line: string) => void): Promise<string> =>
  install(MOTO, environment, tell)

/**
 * Makes the venv unless it is there. It is made aside and renamed when complete, so that neither a second run at the
 * same time nor one that was cut off can leave half of it in place.
 * @param tell what takes long is told here, a line each
 */
async function install(programs: Programs, environment: Environment, tell: (line: string) => void): Promise<string> {
  const { name, about } = programs
  const version = await pythonVersion(programs, environment)
  const requirements = join(import.meta.dirname, programs.requirements)
  const key = createHash('sha256')
    .update(await readFile(requirements))
    .update(version)
    .digest('hex')
    .slice(0, 12)
  const cache = join(cacheFolder(environment), 'kube-sg')
  const venv = join(cache, `${name}-${key}`)
  const python = join(venv, 'bin', 'python')
  if (await exists(python)) return python
  tell(`installing ${about} into ${venv} (once, up to a minute) ...`)
  await mkdir(cache, { recursive: true })
  await removeAbandoned(cache, `${name}-partial-`)
  const partial = await mkdtemp(join(cache, `${name}-partial-`))
  try {
    await makeVenv(partial, requirements, environment)
    await rename(partial, venv)
  } catch (error) {
    // Another run may have been faster; a folder that is not empty cannot be renamed over.
    if (!(await exists(python))) throw error
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  return python
}

async function pythonVersion({ about, leastMinor }: Programs, environment: Environment): Promise<string> {
  const advice = `install Python 3.${String(leastMinor)} or newer with its venv module, for ${about}`
  const { stdout } = await run('python3', ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], {
    env: environment
  }).catch((error: unknown) => {
    throw new Error(`python3 could not be run: ${advice}`, { cause: error })
  })
  const [major = 0, minor = 0] = stdout.trim().split('.').map(Number)
  if (major !== 3 || minor < leastMinor) throw new Error(`python3 is ${stdout.trim()}: ${advice}`)
  return stdout.trim()
}

async function makeVenv(folder: string, requirements: string, environment: Environment): Promise<void> {
  const options = { env: environment, maxBuffer: 16 * 1024 * 1024 }
  await run('python3', ['-m', 'venv', folder], options).catch((error: unknown) => {
    throw new Error('python3 -m venv failed: install the venv module of Python 3 (Debian: python3-venv)', {
      cause: error
    })
  })
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-compile', '--require-hashes']
  await run(join(folder, 'bin', 'python'), [...pip, '--requirement', requirements], options).catch((error: unknown) => {
    const { stderr = '' } = error as { readonly stderr?: string }
    throw new Error(`pip could not install ${requirements}: is the package index reachable?\n${stderr}`, {
      cause: error
    })
  })
}

/** @throws Error when neither variable names a folder */
function cacheFolder({ XDG_CACHE_HOME: cache, HOME: home }: Environment): string {
  if (cache !== undefined && cache !== '') return cache
  if (home === undefined || home === '')
    throw new Error('HOME or XDG_CACHE_HOME must be set: Python programs are kept there')
  return join(home, '.cache')
}

async function removeAbandoned(cache: string, prefix: string): Promise<void> {
  const names = (await readdir(cache)).filter((name) => name.startsWith(prefix))
  for (const path of names.map((name) => join(cache, name))) {
    const { mtimeMs } = await stat(path)
    if (Date.now() - mtimeMs > ABANDONED_MS) await rm(path, { recursive: true, force: true })
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false
  )
