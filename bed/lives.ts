/** Whether a process lives, told apart from a later one that was given the same pid. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

/** What the system says of a living process. `started` never changes, so pid and `started` together name one process. */
export interface Life {
  readonly started: string
  readonly paused: boolean
}

/** One process, for good: a pid alone is given again to others. */
export interface ProcessRef {
  readonly pid: number
  readonly started: string
}

/** The life of `pid`, or undefined when there is none (a zombie has ended). */
export async function lifeOf(pid: number): Promise<Life | undefined> {
  let stat: string
  try {
    stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return undefined
    return (await procIsHere()) ? undefined : lifeByPs(pid)
  }
  // The second field is the command in parentheses and may hold blanks; proc(5) numbers state 3 and starttime 22.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return life(fields[0] ?? '', fields[19] ?? '')
}

const procIsHere = (): Promise<boolean> =>
  readFile('/proc/1/stat').then(
    () => true,
    () => false
  )

async function lifeByPs(pid: number): Promise<Life | undefined> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'state=,lstart=', '-p', String(pid)]).catch(
    (error: unknown) => {
      if ((error as { code?: unknown }).code === 1) return { stdout: '' }
      throw error
    }
  )
  const [state = '', ...started] = stdout.trim().split(/\s+/)
  return life(state, started.join(' '))
}

const life = (state: string, started: string): Life | undefined =>
  state === '' || 'ZXx'.includes(state[0] ?? '') ? undefined : { started, paused: 'Tt'.includes(state[0] ?? '') }

/** The name for good of a living process; an error when it does not live. */
export async function refTo(pid: number): Promise<ProcessRef> {
  const found = await lifeOf(pid)
  if (found === undefined) throw new Error(`process ${pid} has ended already`)
  return { pid, started: found.started }
}

/** Whether exactly this process still lives. */
export async function lives(ref: ProcessRef): Promise<boolean> {
  return (await lifeOf(ref.pid))?.started === ref.started
}
