/** Starts a bed's supervisor and holds, or lets go of, its standard input. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { BedPlan } from './bedPlan.ts'
import type { BedFacts } from './raise.ts'

/** The repository. */
export const ROOT = join(import.meta.dirname, '..')
/** The Node that the repository brings itself. */
export const NODE = join(ROOT, 'node_modules', '.bin', 'node')

export interface Started {
  readonly facts: BedFacts
  /** Settled when the supervisor has ended, and with it everything on the bed. */
  readonly ended: Promise<void>
  /** Ends the bed, by closing what it is bound to. */
  end(): Promise<void>
}

export interface StartOptions {
  /** `bound`: the bed ends with this process, however that ends. `background`: only when it is told to. */
  readonly life: 'bound' | 'background'
  readonly progress: (line: string) => void
}

/** @throws Error with the supervisor's own message when the bed did not come up; nothing is left running then */
export async function startSupervisor(plan: BedPlan, { life, progress }: StartOptions): Promise<Started> {
  await mkdir(join(plan.directory, 'logs'), { recursive: true })
  await writeFile(join(plan.directory, 'bed.json'), `${JSON.stringify(plan, undefined, 2)}\n`)
  const logPath = join(plan.directory, 'logs', 'supervisor.log')
  const log = await open(logPath, 'a')
  const child = spawn(NODE, [join(ROOT, 'bed', 'main.ts'), 'supervise', plan.directory], {
    // A session of its own: a Ctrl-C at the starter's terminal does not hit the bed's processes one by one.
    detached: true,
    stdio: ['pipe', 'pipe', log.fd]
  }) as ChildProcessByStdio<Writable, Readable, null>
  await log.close()
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const facts = await outcome(child, progress, logPath)
  child.unref()
  child.stdout.destroy()
  if (life === 'background') {
    await new Promise((resolve) => child.stdin.end('stay\n', () => resolve(undefined)))
  } else {
    // A starter that forgets its bed may still exit; its end closes the pipe.
    ;(child.stdin as unknown as { unref(): void }).unref()
  }
  return {
    facts,
    ended,
    async end() {
      child.ref()
      child.stdin.end()
      await ended
    }
  }
}

type Message = { progress: string } | { up: BedFacts } | { error: string }

function outcome(
  child: ChildProcessByStdio<Writable, Readable, null>,
  progress: (line: string) => void,
  log: string
): Promise<BedFacts> {
  return new Promise((resolve, reject) => {
    let failure = ''
    child.once('error', reject)
    // Not 'exit': what it said last is still to be read then.
    child.once('close', (code, signal) => {
      const how = code === null ? `was killed by ${signal ?? 'a signal'}` : `ended with code ${code}`
      reject(new Error(failure === '' ? `the bed's supervisor ${how}: see ${log}` : failure))
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      const message = JSON.parse(line) as Message
      if ('progress' in message) progress(message.progress)
      else if ('up' in message) resolve(message.up)
      else failure = message.error
    })
  })
}
