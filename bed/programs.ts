/**
 * The control plane's programs, built once from Go modules into the user's cache folder, or taken from a folder of the
 * user's. A folder in the cache is either whole or not there: a build works beside it and renames at its end.
 */
import { spawn, execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { access, constants, mkdir, readFile, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { lifeOf } from './lives.ts'
import { takeLock } from './lock.ts'

interface Program {
  readonly name: string
  /** Folder under bed/programs/ that holds its go.mod. */
  readonly module: string
  readonly package: string
}

const KUBERNETES_VERSION = 'v1.37.1'

export const PROGRAMS: readonly Program[] = [
  { name: 'etcd', module: 'etcd', package: 'go.etcd.io/etcd/server/v3' },
  ...['kube-apiserver', 'kube-controller-manager', 'kube-scheduler', 'kubectl'].map((name) => ({
    name,
    module: 'kubernetes',
    package: `k8s.io/kubernetes/cmd/${name}`
  })),
  { name: 'kwok', module: 'kwok', package: 'sigs.k8s.io/kwok/cmd/kwok' }
]

export interface BuildOptions {
  /** Process that builds: this one. */
  readonly pid: number
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly progress: (line: string) => void
  readonly signal?: AbortSignal
}

/**
 * The folder that holds every program, built there first when need be.
 *
 * `KUBE_SG_BED_PROGRAMS` names a folder to use instead; `XDG_CACHE_HOME` moves the cache. A cold build takes about 7
 * minutes on 2 cores and needs 6 GB of disk for Go's own caches.
 */
export async function programsFolder(options: BuildOptions): Promise<string> {
  const named = options.environment.KUBE_SG_BED_PROGRAMS ?? ''
  if (named !== '') {
    const missing = await missingIn(named)
    if (missing.length === 0) return named
    throw new Error(
      `KUBE_SG_BED_PROGRAMS=${named} has no executable ${missing.join(', ')}: ` +
        `put ${PROGRAMS.map(({ name }) => name).join(', ')} there, or unset it to have them built`
    )
  }
  const folder = join(cacheFolder(options.environment), `bed-${await buildKey(options)}`)
  if ((await missingIn(folder)).length > 0) await buildOnce(folder, options, buildAll)
  return folder
}

function cacheFolder(environment: BuildOptions['environment']): string {
  const cache = environment.XDG_CACHE_HOME ?? ''
  if (cache !== '') return join(cache, 'kube-sg')
  const home = environment.HOME ?? ''
  if (home === '') throw new Error('neither HOME nor XDG_CACHE_HOME is set: say where the programs may be kept')
  return join(home, '.cache', 'kube-sg')
}

/** Changes with whatever changes the programs: modules, Go and the platform. */
async function buildKey({ environment, signal }: BuildOptions): Promise<string> {
  const hash = createHash('sha256').update(JSON.stringify(PROGRAMS.map(buildArguments)))
  for (const module of new Set(PROGRAMS.map((program) => program.module))) {
    for (const file of ['go.mod', 'go.sum']) hash.update(await readFile(join(moduleFolder(module), file)))
  }
  const go = ['env', 'GOVERSION', 'GOOS', 'GOARCH']
  const { stdout } = await promisify(execFile)('go', go, {
    cwd: moduleFolder('kubernetes'),
    env: { ...environment },
    ...(signal === undefined ? {} : { signal })
  }).catch((error: unknown) => {
    const { code, stderr } = error as { code?: unknown; stderr?: string }
    if (code !== 'ENOENT') throw new Error(`go ${go.join(' ')} failed: ${stderr?.trim() ?? String(error)}`)
    throw new Error(
      'go is not on PATH: install Go 1.26 or newer, or name a folder with the built programs in KUBE_SG_BED_PROGRAMS'
    )
  })
  return hash.update(stdout).digest('hex').slice(0, 12)
}

/**
 * Fills `folder` by `build` unless another process does, and is done first. `build` is given an empty folder to work
 * in; what an earlier build left half-way is removed.
 */
export async function buildOnce(
  folder: string,
  options: BuildOptions,
  build: (into: string, options: BuildOptions) => Promise<void>
): Promise<void> {
  const { pid, progress, signal } = options
  const release = await takeLock(`${folder}.lock`, {
    pid,
    ...(signal === undefined ? {} : { signal }),
    onWait: (owner) => progress(`process ${owner} is building the programs already; waiting for it`)
  })
  try {
    if ((await missingIn(folder)).length === 0) return
    const parent = dirname(folder)
    const partial = `${basename(folder)}.partial-`
    for (const name of await readdir(parent)) {
      if (!name.startsWith(partial)) continue
      const builder = Number(name.slice(partial.length))
      if (builder === pid || (await lifeOf(builder)) === undefined) {
        await rm(join(parent, name), { recursive: true, force: true })
      }
    }
    const work = join(parent, `${partial}${pid}`)
    await mkdir(work)
    await build(work, options)
    await rm(folder, { recursive: true, force: true })
    await rename(work, folder)
  } finally {
    await release()
  }
}

async function buildAll(into: string, options: BuildOptions): Promise<void> {
  const begun = Date.now()
  options.progress(
    `building ${PROGRAMS.length} programs from Go modules into ${dirname(into)} (once; about 7 minutes on 2 cores)`
  )
  for (const [index, program] of PROGRAMS.entries()) {
    const title = `${program.name} (${index + 1} of ${PROGRAMS.length})`
    await buildProgram(program, into, options, (state) =>
      options.progress(`${title}: ${state}, ${Math.round((Date.now() - begun) / 1000)} s since the start`)
    )
  }
}

/** Runs `go build -v`, which names each package as it compiles it: their count is the heartbeat. */
async function buildProgram(
  program: Program,
  into: string,
  { environment, signal }: BuildOptions,
  tell: (state: string) => void
): Promise<void> {
  tell('started')
  const child = spawn('go', [...buildArguments(program), '-o', join(into, program.name), program.package], {
    cwd: moduleFolder(program.module),
    env: { ...environment, CGO_ENABLED: '0' },
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(signal === undefined ? {} : { signal })
  })
  let downloaded = 0
  let compiled = 0
  const last: string[] = []
  createInterface({ input: child.stderr }).on('line', (line) => {
    if (line.startsWith('go: downloading')) downloaded++
    else if (/^[\w.~-]+(\/[\w.~-]+)*$/.test(line)) compiled++
    else last.push(line)
  })
  const heartbeat = setInterval(() => tell(`${downloaded} modules downloaded, ${compiled} packages compiled`), 10_000)
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    if (code !== 0) throw new Error(`go build of ${program.name} failed (${code ?? 'killed'}):\n${last.join('\n')}`)
    tell('built')
  } finally {
    clearInterval(heartbeat)
  }
}

function buildArguments(program: Program): readonly string[] {
  const [major = '', minor = ''] = KUBERNETES_VERSION.slice(1).split('.')
  const version = 'k8s.io/component-base/version'
  // Without these the server reports v0.0.0, and clients misjudge what it can do.
  const stamps = [`gitVersion=${KUBERNETES_VERSION}`, `gitMajor=${major}`, `gitMinor=${minor}`]
  const flags = program.module === 'kubernetes' ? stamps.map((stamp) => ` -X ${version}.${stamp}`).join('') : ''
  return ['build', '-v', '-mod=readonly', '-trimpath', '-ldflags', `-s -w${flags}`]
}

const moduleFolder = (module: string): string => join(import.meta.dirname, 'programs', module)

async function missingIn(folder: string): Promise<readonly string[]> {
  const found = await Promise.all(
    PROGRAMS.map(({ name }) =>
      access(join(folder, name), constants.X_OK).then(
        () => true,
        () => false
      )
    )
  )
  return PROGRAMS.filter((_, index) => found[index] !== true).map(({ name }) => name)
}
