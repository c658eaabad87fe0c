/** boto3 and the AWS CLI in a venv of the user's cache folder: clients of EC2 that are not ours. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

const REQUIREMENTS = join(import.meta.dirname, 'requirements.txt')

/** A venv that was begun so long ago was given up. */
const ABANDONED_MS = 60 * 60_000

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Makes the venv unless it is there. It is made aside and renamed when complete, so that neither a second run at the
 * same time nor one that was cut off can leave half of it in place.
 * @param tell what takes long is told here, a line each
 * @returns the venv's Python; run the AWS CLI as its module `awscli`, because a renamed venv breaks its scripts
 * @throws Error saying what is missing and what to do
 */
export async function installClients(environment: Environment, tell: (line: string) => void): Promise<string> {
  const version = await pythonVersion(environment)
  const key = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .update(version)
    .digest('hex')
    .slice(0, 12)
  const cache = join(cacheFolder(environment), 'kube-sg')
  const venv = join(cache, `clients-${key}`)
  const python = join(venv, 'bin', 'python')
  if (await exists(python)) return python
  tell(`installing boto3 and the AWS CLI into ${venv} (once, up to a minute) ...`)
  await mkdir(cache, { recursive: true })
  await removeAbandoned(cache)
  const partial = await mkdtemp(join(cache, 'clients-partial-'))
  try {
    await makeVenv(partial, environment)
    await rename(partial, venv)
  } catch (error) {
    // Another run may have been faster; a folder that is not empty cannot be renamed over.
    if (!(await exists(python))) throw error
  } finally {
    await rm(partial, { recursive: true, force: true })
  }
  return python
}

/** requirements.txt is resolved for 3.9 and all that follow. */
async function pythonVersion(environment: Environment): Promise<string> {
  const advice = 'install Python 3.9 or newer with its venv module'
  const { stdout } = await run('python3', ['-c', 'import sys; print("%d.%d" % sys.version_info[:2])'], {
    env: environment
  }).catch((error: unknown) => {
    throw new Error(`python3 could not be run: ${advice}`, { cause: error })
  })
  const [major = 0, minor = 0] = stdout.trim().split('.').map(Number)
  if (major !== 3 || minor < 9) throw new Error(`python3 is ${stdout.trim()}: ${advice}`)
  return stdout.trim()
}

async function makeVenv(folder: string, environment: Environment): Promise<void> {
  const options = { env: environment, maxBuffer: 16 * 1024 * 1024 }
  await run('python3', ['-m', 'venv', folder], options).catch((error: unknown) => {
    throw new Error('python3 -m venv failed: install the venv module of Python 3 (Debian: python3-venv)', {
      cause: error
    })
  })
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-compile', '--require-hashes']
  await run(join(folder, 'bin', 'python'), [...pip, '--requirement', REQUIREMENTS], options).catch((error: unknown) => {
    const { stderr = '' } = error as { readonly stderr?: string }
    throw new Error(
      `pip could not install bed/ec2/clients/requirements.txt: is the package index reachable?\n${stderr}`,
      {
        cause: error
      }
    )
  })
}

/** @throws Error when neither variable names a folder */
function cacheFolder({ XDG_CACHE_HOME: cache, HOME: home }: Environment): string {
  if (cache !== undefined && cache !== '') return cache
  if (home === undefined || home === '')
    throw new Error('HOME or XDG_CACHE_HOME must be set: the clients are kept there')
  return join(home, '.cache')
}

async function removeAbandoned(cache: string): Promise<void> {
  const names = (await readdir(cache)).filter((name) => name.startsWith('clients-partial-'))
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
