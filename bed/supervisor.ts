/**
 * The process that is the parent of everything on one bed, in a session of its own: it raises the bed, answers on the
 * control socket, and ends everything.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { BedPlan, Settings } from './bedPlan.ts'
import { serveControl, type Handler } from './control.ts'
import { endLeftovers, removeState } from './leftovers.ts'
import { takeLock } from './lock.ts'
import { createProcessTable, VERBS, type ProcessTable, type Verb } from './processTable.ts'
import { raiseBed, type BedFacts } from './raise.ts'

export interface SupervisorOptions {
  readonly plan: BedPlan
  readonly pid: number
  readonly root: string
  readonly node: string
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Words put before each command line so that a process dies with this one; empty where that cannot be had. */
  readonly leash: readonly string[]
  /** SIGKILL. */
  readonly kill: (pid: number) => void
  /** Told each step of the start. */
  readonly progress: (line: string) => void
  /** Told what happens later, for the log. */
  readonly tell: (line: string) => void
}

export interface Supervisor {
  /** Settled when all is up; rejected, with nothing left running, when that fails. */
  readonly up: Promise<BedFacts>
  /** Ends everything, once. */
  end(): Promise<void>
  /** Settled when everything has ended. */
  readonly ended: Promise<unknown>
}

type Close = () => Promise<void> | void

/** Starts a bed. */
export function superviseBed(options: SupervisorOptions): Supervisor {
  const closers: Close[] = []
  const stop = new AbortController()
  const ended = Promise.withResolvers<undefined>()
  let ending: Promise<void> | undefined
  const end = (): Promise<void> => (ending ??= close())
  async function close(): Promise<void> {
    stop.abort(new Error('the bed was told to end'))
    await started.catch(() => undefined)
    for (const closer of closers.reverse()) {
      await Promise.resolve(closer()).catch((error: unknown) => options.tell(`at the end: ${String(error)}`))
    }
    ended.resolve(undefined)
  }
  const context: StartContext = { started: () => started, end, signal: stop.signal, atEnd: (it) => closers.push(it) }
  const started: Promise<BedFacts> = start(options, context)
  const up = started.catch(async (error: unknown) => {
    await end()
    throw error
  })
  up.catch(() => undefined)
  return { up, end, ended: ended.promise }
}

interface StartContext {
  readonly started: () => Promise<BedFacts>
  readonly end: () => Promise<void>
  readonly signal: AbortSignal
  readonly atEnd: (close: Close) => void
}

async function start(options: SupervisorOptions, context: StartContext): Promise<BedFacts> {
  const { plan, pid, leash, progress, tell, kill } = options
  const { signal, atEnd } = context
  const { directory } = plan
  await mkdir(directory, { recursive: true })
  const release = await takeLock(join(directory, 'lock'), {
    pid,
    signal,
    onWait: (owner) => {
      throw new Error(`a bed is running in ${directory} already (process ${owner})`)
    }
  })
  atEnd(release)
  const left = await endLeftovers(directory, kill)
  if (left.length > 0) progress(`ended what a killed supervisor had left: ${left.join(', ')}`)
  await removeState(directory)
  atEnd(() => removeState(directory))
  const processes = createProcessTable({ directory, leash, tell })
  atEnd(() => processes.killAll())
  // Steps of the start that wait for a process give up once it has been ended.
  signal.addEventListener('abort', () => void processes.killAll())
  atEnd(await serveControl(directory, handler(processes, context)))
  return raiseBed({ ...options, processes, signal, atEnd, tell: progress })
}

const handler =
  (processes: ProcessTable, { started, end }: StartContext): Handler =>
  async (path, body) => {
    if (path === '/facts') return started()
    if (path === '/status') return processes.status()
    if (path === '/down') {
      // The answer must leave before the socket closes: whoever asked then waits for the process to end.
      setImmediate(() => void end())
      return {}
    }
    if (path !== '/run') throw new Error(`the bed does not know ${path}`)
    const { verb, name, environment } = body as { verb: Verb; name: string; environment?: Settings }
    if (!VERBS.includes(verb)) throw new Error(`'${verb}' is none of ${VERBS.join(', ')}`)
    await processes.run(verb, name, environment)
    return {}
  }
