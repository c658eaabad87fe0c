/** One process of a bed: started until it serves, started again as a kubelet would, held and ended. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { lifeOf, refTo, type ProcessRef } from './lives.ts'

export interface ProcessSpec {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly cwd: string
  /** True once it serves. A process without one is ready when it has ended with code 0: a job. */
  readonly ready?: () => Promise<boolean>
  /** Started again by itself after an end that nobody asked for. */
  readonly restart: boolean
}

/** What a process has of its surroundings. */
export interface Host {
  /** Words put before each command line so that a process dies with this one; empty where that cannot be had. */
  readonly leash: readonly string[]
  readonly tell: (line: string) => void
  /** Told whenever a process begins or ends. */
  readonly changed: () => void
  /** Whether nothing may be started any more. */
  readonly closing: () => boolean
}

export interface BedProcess {
  readonly spec: ProcessSpec
  /** Its output, a file. */
  readonly log: string
  readonly host: Host
  /** On top of the spec's, for the starts to come. */
  environment: Readonly<Record<string, string>>
  child: ChildProcess | undefined
  ref: ProcessRef | undefined
  /** `starting`, `running`, `paused`, `stopped` (as asked), `done` (a job), or how it ended by itself. */
  state: string
  /** Whether it should run: an end is then its own doing. */
  wanted: boolean
  /** Times that it was started again by itself. */
  restarts: number
  /** Settled when the present child has ended. */
  ended: Promise<void>
  /** The last of the verbs that wait for one another. */
  queue: Promise<void>
}

const READY_WITHIN = 60_000
const STOPPED_WITHIN = 90_000
const RESTART_AFTER = { first: 500, most: 10_000 }

export function createProcess(spec: ProcessSpec, log: string, host: Host): BedProcess {
  const none = { child: undefined, ref: undefined, environment: {}, state: 'stopped', wanted: false, restarts: 0 }
  return { spec, log, host, ...none, ended: Promise.resolve(), queue: Promise.resolve() }
}

/** Starts it unless it runs, and returns when it is ready. @throws Error with the end of its log */
export function start(process: BedProcess, environment: Readonly<Record<string, string>> = {}): Promise<void> {
  return inTurn(process, () => {
    process.environment = { ...process.environment, ...environment }
    return begin(process)
  })
}

/** Suspends it or lets it go on; returns when the system says so. */
export function hold(process: BedProcess, paused: boolean): Promise<void> {
  return inTurn(process, async () => {
    const { child, spec } = process
    if (child?.pid === undefined) throw new Error(`${spec.name} is not running (${process.state})`)
    child.kill(paused ? 'SIGSTOP' : 'SIGCONT')
    for (;;) {
      const life = await lifeOf(child.pid)
      if (life === undefined) throw new Error(`${spec.name} ended meanwhile (${process.state})`)
      if (life.paused === paused) break
      await sleep(2)
    }
    process.state = paused ? 'paused' : 'running'
  })
}

/** Ends it and returns when it has ended. It does not wait for a start under way, which may never succeed. */
export async function end(process: BedProcess, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (process.state === 'paused' && signal === 'SIGTERM') {
    throw new Error(`${process.spec.name} is paused and cannot heed SIGTERM: resume it first, or kill it`)
  }
  process.wanted = false
  if (process.child === undefined) {
    process.state = 'stopped'
    return
  }
  process.child.kill(signal)
  const timer = new AbortController()
  const late = sleep(STOPPED_WITHIN, false, { signal: timer.signal }).catch(() => false)
  const inTime = await Promise.race([process.ended.then(() => true), late])
  timer.abort()
  if (!inTime) throw await failure(process, `has not ended ${STOPPED_WITHIN / 1000} s after ${signal}`)
}

/** Ends it without waiting. */
export function endNow(process: BedProcess): Promise<void> {
  process.wanted = false
  process.child?.kill('SIGKILL')
  return process.ended
}

/** One verb at a time, in the order in which they were asked. */
function inTurn(process: BedProcess, work: () => Promise<void>): Promise<void> {
  const done = process.queue.then(work)
  process.queue = done.catch(() => undefined)
  return done
}

async function begin(process: BedProcess): Promise<void> {
  const { spec } = process
  if (process.state === 'paused') throw new Error(`${spec.name} is paused: resume it`)
  if (process.child === undefined) await launch(process)
  const { child } = process
  const deadline = Date.now() + READY_WITHIN
  while (child !== undefined && process.child === child) {
    if (spec.ready !== undefined && (await spec.ready()) && isSame(process, child)) {
      process.state = 'running'
      return
    }
    if (Date.now() > deadline) throw await failure(process, `is not ready after ${READY_WITHIN / 1000} s`)
    await Promise.race([process.ended, sleep(25)])
  }
  if (spec.ready === undefined && process.state === 'exited(0)') {
    process.wanted = false
    process.state = 'done'
    return
  }
  throw await failure(process, `did not become ready: ${process.state}`)
}

/** Asked anew after a wait, which the compiler does not see. */
const isSame = (process: BedProcess, child: ChildProcess): boolean => process.child === child

async function launch(process: BedProcess): Promise<void> {
  const { spec, host } = process
  if (host.closing()) throw new Error('the bed is ending')
  const [command = '', ...args] = [...host.leash, spec.command, ...spec.args]
  const log = openSync(process.log, 'a')
  const child = spawn(command, args, {
    cwd: spec.cwd,
    env: { ...spec.environment, ...process.environment },
    stdio: ['ignore', log, log]
  })
  closeSync(log)
  process.child = child
  process.state = 'starting'
  process.wanted = true
  process.ended = new Promise((resolve) => {
    const over = (how: string): void => {
      process.child = undefined
      process.ref = undefined
      process.state = process.wanted ? how : 'stopped'
      resolve()
      host.changed()
      if (process.wanted && spec.restart) restartLater(process)
    }
    child.once('error', (error) => over(`not started: ${error.message}`))
    child.once('exit', (code, signal) => over(signal === null ? `exited(${code ?? 0})` : `killed(${signal})`))
  })
  if (child.pid !== undefined) process.ref = await refTo(child.pid).catch(() => undefined)
  host.changed()
}

function restartLater(process: BedProcess): void {
  const { spec, host } = process
  const wait = Math.min(RESTART_AFTER.most, RESTART_AFTER.first * 2 ** Math.min(process.restarts, 10))
  host.tell(`${spec.name} ${process.state} by itself; it is started again in ${wait} ms (${process.log})`)
  const again = setTimeout(() => {
    if (host.closing() || !process.wanted || process.child !== undefined) return
    process.restarts++
    start(process).catch((error: unknown) => host.tell(error instanceof Error ? error.message : String(error)))
  }, wait)
  again.unref()
}

async function failure(process: BedProcess, what: string): Promise<Error> {
  const text = await readFile(process.log, 'utf8').catch(() => '')
  const last = text.trimEnd().split('\n').slice(-15).join('\n')
  return new Error(`${process.spec.name} ${what}. The end of ${process.log}:\n${last}`)
}
