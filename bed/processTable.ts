/** The processes of a bed, by name. */
import { mkdirSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createProcess, end, endNow, hold, start, type BedProcess, type Host, type ProcessSpec } from './process.ts'

export type { ProcessSpec } from './process.ts'

export type Verb = 'start' | 'stop' | 'kill' | 'pause' | 'resume'
export const VERBS: readonly Verb[] = ['start', 'stop', 'kill', 'pause', 'resume']

export interface ProcessStatus {
  readonly name: string
  /** `starting`, `running`, `paused`, `stopped` (as asked), `done` (a job), or how it ended by itself. */
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
  readonly leash: readonly string[]
  readonly tell: (line: string) => void
}

export function createProcessTable({ directory, leash, tell }: ProcessTableOptions): ProcessTable {
  const processes = new Map<string, BedProcess>()
  let closing = false
  const record = recorder(join(directory, 'processes.json'), processes, tell)
  const host: Host = { leash, tell, changed: () => void record(), closing: () => closing }
  mkdirSync(join(directory, 'logs'), { recursive: true })
  return {
    add(spec) {
      processes.set(spec.name, createProcess(spec, join(directory, 'logs', `${spec.name}.log`), host))
    },
    async run(verb, name, environment) {
      const process = processes.get(name)
      if (process === undefined) {
        throw new Error(`there is no process ${name}; there are ${[...processes.keys()].join(', ')}`)
      }
      if (verb === 'start') await start(process, environment)
      else if (verb === 'stop' || verb === 'kill') await end(process, verb === 'stop' ? 'SIGTERM' : 'SIGKILL')
      else await hold(process, verb === 'pause')
    },
    status: () => [...processes.values()].map(statusOf),
    async killAll() {
      closing = true
      await Promise.all([...processes.values()].map(endNow))
      await record()
    }
  }
}

const statusOf = ({ spec, state, ref, restarts, log }: BedProcess): ProcessStatus => ({
  name: spec.name,
  state,
  ...(ref === undefined ? {} : { pid: ref.pid }),
  restarts,
  log
})

/** Writes down what lives, one writing after the other, so that it can be ended even when this process is gone. */
function recorder(
  path: string,
  processes: ReadonlyMap<string, BedProcess>,
  tell: (line: string) => void
): () => Promise<void> {
  let writing = Promise.resolve()
  return () => {
    writing = writing
      .then(async () => {
        const living = [...processes.values()].flatMap(({ spec, ref }) =>
          ref === undefined ? [] : [{ name: spec.name, ...ref }]
        )
        await writeFile(`${path}.new`, JSON.stringify(living))
        await rename(`${path}.new`, path)
      })
      .catch((error: unknown) => tell(`${path} was not written: ${String(error)}`))
    return writing
  }
}
