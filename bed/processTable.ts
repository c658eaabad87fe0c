/** The processes of a bed: started, watched, started again as a kubelet would, and ended by name. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
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

export type Verb = 'start' | 'stop' | 'kill' | 'pause' | 'resume'
export const VERBS: readonly Verb[] = ['start', 'stop', 'kill', 'pause', 'resume']

export interface ProcessStatus {
  readonly name: string
  /** `running`, `starting`, `paused`, `stopped` (as asked), or how it ended by itself. */
  readonly state: string
  readonly pid?: number
  /** Times it was started again by itself. */
  readonly restarts: number
  readonly log: string
}

export interface ProcessTable {
  add(spec: ProcessSpec): void
  /** Does the verb to the named process and returns when it is so. `environment` is kept for later starts. */
  run(verb: Verb, name: string, environment?: Readonly<Record<string, string>>): Promise<void>
  status(): readonly ProcessStatus[]
  /** Ends every process at once, without their leave, and starts none from then on. */
  killAll(): Promise<void>
}

export interface ProcessTableOptions {
  /** Where `processes.json` and `logs/` are kept. */
  readonly directory: string
  /** Words put before each command line so that a process dies with this one; empty where that cannot be had. */
  readonly leash: readonly string[]
  readonly tell: (line: string) => void
}

interface Entry {
  readonly spec: ProcessSpec
  readonly log: string
  environment: Readonly<Record<string, string>>
  child: ChildProcess | undefined
  ref: ProcessRef | undefined
  state: string
  /** Settled when the present child has ended. */
  ended: Promise<void>
  wanted: boolean
  restarts: number
  /** The last of the verbs that wait for one another. */
  queue: Promise<void>
}

const READY_WITHIN = 60_000
const STOPPED_WITHIN = 90_000
const RESTART_AFTER = { first: 500, most: 10_000 }

export function createProcessTable(options: ProcessTableOptions): ProcessTable {
  const entries = new Map<string, Entry>()
  let closing = false
  mkdirSync(join(options.directory, 'logs'), { recursive: true })

  async function launch(entry: Entry): Promise<void> {
    if (closing) throw new Error('the bed is ending')
    const { spec } = entry
    const [command = '', ...args] = [...options.leash, spec.command, ...spec.args]
    const log = openSync(entry.log, 'a')
    const child = spawn(command, args, {
      cwd: spec.cwd,
      env: { ...spec.environment, ...entry.environment },
      stdio: ['ignore', log, log]
    })
    closeSync(log)
    entry.child = child
    entry.state = 'starting'
    entry.wanted = true
    entry.ended = new Promise((resolve) => {
      const end = (how: string) => {
        entry.child = undefined
        entry.ref = undefined
        entry.state = entry.wanted ? how : 'stopped'
        resolve()
        afterEnd(entry)
      }
      child.once('error', (error) => end(`not started: ${error.message}`))
      child.once('exit', (code, signal) => end(signal === null ? `exited(${code ?? 0})` : `killed(${signal})`))
    })
    if (child.pid !== undefined) entry.ref = await refTo(child.pid).catch(() => undefined)
    await record()
  }

  function afterEnd(entry: Entry): void {
    void record()
    if (closing || !entry.wanted || !entry.spec.restart) return
    const wait = Math.min(RESTART_AFTER.most, RESTART_AFTER.first * 2 ** Math.min(entry.restarts, 10))
    options.tell(`${entry.spec.name} ${entry.state} by itself; started again in ${wait} ms (${entry.log})`)
    setTimeout(() => {
      if (closing || !entry.wanted || entry.child !== undefined) return
      entry.restarts++
      enqueue(entry, () => begin(entry)).catch((error: unknown) => {
        options.tell(error instanceof Error ? error.message : String(error))
      })
    }, wait).unref()
  }

  async function begin(entry: Entry): Promise<void> {
    if (entry.state === 'paused') throw new Error(`${entry.spec.name} is paused: resume it`)
    if (entry.child === undefined) await launch(entry)
    const { child } = entry
    const deadline = Date.now() + READY_WITHIN
    while (entry.child !== undefined && entry.child === child) {
      if (entry.spec.ready !== undefined && (await entry.spec.ready())) {
        entry.state = 'running'
        return
      }
      if (Date.now() > deadline) throw await failure(entry, `is not ready after ${READY_WITHIN / 1000} s`)
      await Promise.race([entry.ended, sleep(25)])
    }
    if (entry.spec.ready === undefined && entry.state === 'exited(0)') {
      entry.wanted = false
      entry.state = 'done'
      return
    }
    throw await failure(entry, `did not become ready: ${entry.state}`)
  }

  async function end(entry: Entry, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (entry.state === 'paused' && signal === 'SIGTERM') {
      throw new Error(`${entry.spec.name} is paused and cannot heed SIGTERM: resume it first, or kill it`)
    }
    entry.wanted = false
    if (entry.child === undefined) {
      entry.state = 'stopped'
      return
    }
    entry.child.kill(signal)
    const inTime = await within(entry.ended, STOPPED_WITHIN)
    if (!inTime) throw await failure(entry, `has not ended ${STOPPED_WITHIN / 1000} s after ${signal}`)
  }

  async function hold(entry: Entry, paused: boolean): Promise<void> {
    const { child } = entry
    if (child?.pid === undefined) throw new Error(`${entry.spec.name} is not running (${entry.state})`)
    child.kill(paused ? 'SIGSTOP' : 'SIGCONT')
    for (;;) {
      const life = await lifeOf(child.pid)
      if (life === undefined) throw new Error(`${entry.spec.name} ended meanwhile (${entry.state})`)
      if (life.paused === paused) break
      await sleep(5)
    }
    entry.state = paused ? 'paused' : 'running'
  }

  let writing = Promise.resolve()
  /** Writes down what lives, so that it can be ended even when this process is gone. */
  function record(): Promise<void> {
    writing = writing.then(async () => {
      const living = [...entries.values()].flatMap(({ spec, ref }) =>
        ref === undefined ? [] : [{ name: spec.name, ...ref }]
      )
      const path = join(options.directory, 'processes.json')
      await writeFile(`${path}.new`, JSON.stringify(living))
      await rename(`${path}.new`, path)
    })
    return writing.catch((error: unknown) => options.tell(`processes.json was not written: ${String(error)}`))
  }

  return {
    add(spec) {
      const log = join(options.directory, 'logs', `${spec.name}.log`)
      entries.set(spec.name, {
        spec, log, environment: {}, child: undefined, ref: undefined, state: 'stopped',
        ended: Promise.resolve(), wanted: false, restarts: 0, queue: Promise.resolve()
      }) // prettier-ignore
    },
    run(verb, name, environment) {
      const entry = entries.get(name)
      if (entry === undefined) {
        return Promise.reject(new Error(`there is no process ${name}; there are ${[...entries.keys()].join(', ')}`))
      }
      // An end is not made to wait for a start that may never succeed.
      if (verb === 'stop' || verb === 'kill') return end(entry, verb === 'stop' ? 'SIGTERM' : 'SIGKILL')
      return enqueue(entry, () => {
        if (environment !== undefined) entry.environment = { ...entry.environment, ...environment }
        return verb === 'start' ? begin(entry) : hold(entry, verb === 'pause')
      })
    },
    status: () =>
      [...entries.values()].map(({ spec, state, ref, restarts, log }) => ({
        name: spec.name,
        state,
        ...(ref === undefined ? {} : { pid: ref.pid }),
        restarts,
        log
      })),
    async killAll() {
      closing = true
      for (const entry of entries.values()) {
        entry.wanted = false
        entry.child?.kill('SIGKILL')
      }
      await Promise.all([...entries.values()].map((entry) => entry.ended))
      await record()
    }
  }
}

/** One verb at a time for each process, in the order in which they were asked. */
function enqueue(entry: Entry, work: () => Promise<void>): Promise<void> {
  const done = entry.queue.then(work)
  entry.queue = done.catch(() => undefined)
  return done
}

async function failure(entry: Entry, what: string): Promise<Error> {
  const text = await readFile(entry.log, 'utf8').catch(() => '')
  const last = text.trimEnd().split('\n').slice(-15).join('\n')
  return new Error(`${entry.spec.name} ${what}. The end of ${entry.log}:\n${last}`)
}

async function within(work: Promise<void>, milliseconds: number): Promise<boolean> {
  const timer = new AbortController()
  const late = sleep(milliseconds, false, { signal: timer.signal }).catch(() => false)
  const done = await Promise.race([work.then(() => true), late])
  timer.abort()
  return done
}
