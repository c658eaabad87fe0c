/** The bed's commands: up, down, ctl, programs, and the supervisor itself. */
import { execFileSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BedPlan } from './bedPlan.ts'
import { bringUp, controlBed, takeDown } from './commands.ts'
import { NODE, ROOT } from './starter.ts'

const USAGE = `bed/main.ts up | down | programs
bed/ctl start|stop|kill|pause|resume NAME
bed/ctl status
(BED=name for another bed than the one named bed; BACKSTOP=1 before up for one with the policies of manifests/backstop/)`

const kill = (pid: number): void => void process.kill(pid, 'SIGKILL')
const say = (line: string): void => void process.stdout.write(`${line}\n`)

async function main([command = '', ...args]: readonly string[]): Promise<void> {
  const name = process.env.BED ?? ''
  const context = { root: ROOT, name: name === '' ? 'bed' : name, say, kill }
  switch (command) {
    case 'up':
      return bringUp(context, { backstop: (process.env.BACKSTOP ?? '') !== '' })
    case 'down':
      return takeDown(context)
    case 'ctl':
      return controlBed(context, args)
    case 'programs': {
      const { programsFolder } = await import('./programs.ts')
      return say(await programsFolder({ pid: process.pid, environment: process.env, progress: say }))
    }
    case 'supervise':
      return supervise(args[0] ?? '')
    default:
      throw new Error(`'${command}' is no command of the bed:\n${USAGE}`)
  }
}

/** Reports JSON lines on standard output until the bed is up, and ends the bed when standard input ends first. */
async function supervise(directory: string): Promise<void> {
  const plan = JSON.parse(await readFile(join(directory, 'bed.json'), 'utf8')) as BedPlan
  // Not loaded for bed/ctl, which is typed and waited for.
  const { superviseBed } = await import('./supervisor.ts')
  const report = (message: unknown): void => void process.stdout.write(`${JSON.stringify(message)}\n`)
  const supervisor = superviseBed({
    plan,
    pid: process.pid,
    root: ROOT,
    node: NODE,
    environment: process.env,
    leash: leash(),
    kill,
    progress: (line) => report({ progress: line }),
    tell: (line) => void process.stderr.write(`${new Date().toISOString()} ${line}\n`)
  })
  // The starter may have gone, or may have heard enough.
  process.stdout.on('error', () => undefined)
  let stay = false
  process.stdin.on('data', (data) => {
    stay ||= data.toString().includes('stay')
  })
  process.stdin.on('error', () => undefined)
  process.stdin.on('close', () => {
    if (!stay) void supervisor.end()
  })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => void supervisor.end())
  let failed = false
  try {
    report({ up: await supervisor.up })
  } catch (error) {
    failed = true
    report({ error: error instanceof Error ? error.message : String(error) })
  }
  await supervisor.ended
  await new Promise((resolve) => process.stdout.write('', resolve))
  process.exit(failed ? 1 : 0)
}

/** On Linux, what makes a process die with its parent, even when that is killed. */
function leash(): readonly string[] {
  const words = ['setpriv', '--pdeathsig', 'KILL', '--']
  try {
    execFileSync('setpriv', [...words.slice(1), 'true'], { stdio: 'ignore' })
    return words
  } catch {
    return []
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`bed: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
