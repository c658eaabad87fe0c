/** What a person does with a bed: up, down, and ctl. */
import { readFile, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { checkName, planBed, type BedOptions } from './bedPlan.ts'
import { askBed, NoBed } from './control.ts'
import { endLeftovers, removeState } from './leftovers.ts'
import { lives, type ProcessRef } from './lives.ts'
import { VERBS, type ProcessStatus, type Verb } from './processTable.ts'
import { startSupervisor } from './starter.ts'
import type { BedFacts } from './raise.ts'

export interface CommandContext {
  readonly root: string
  /** Of the bed. */
  readonly name: string
  readonly say: (line: string) => void
  /** SIGKILL. */
  readonly kill: (pid: number) => void
}

function directoryOf({ root, name }: CommandContext): string {
  checkName(name)
  return join(root, '.run', name)
}

/** Starts the bed in the background, or finds it running, and says what to try. */
export async function bringUp(context: CommandContext, options: Pick<BedOptions, 'backstop'> = {}): Promise<void> {
  const { name, say, root } = context
  const directory = directoryOf(context)
  const begun = performance.now()
  const running = await askBed(directory, '/facts').then(
    (facts) => facts as BedFacts,
    (error: unknown) => {
      if (error instanceof NoBed) return undefined
      throw error
    }
  )
  if (running === undefined) {
    const progress = (line: string): void => say(`[${((performance.now() - begun) / 1000).toFixed(1)} s] ${line}`)
    await startSupervisor(planBed({ ...options, name, directory }), { life: 'background', progress })
    say(`the bed '${name}' is up after ${((performance.now() - begun) / 1000).toFixed(1)} s; logs: ${directory}/logs`)
  } else {
    say(`the bed '${name}' is up already (process ${running.supervisor})`)
  }
  if (name === 'bed') {
    await rm(join(root, '.run', 'env'), { force: true })
    await symlink(join('bed', 'env'), join(root, '.run', 'env'))
  }
  say('')
  say('try, in a shell here:')
  say(`  source .run/${name === 'bed' ? '' : `${name}/`}env`)
  say('  kubectl run web --image=nginx --annotations="sg.amazonaws.com/$SECURITY_GROUP_ID=tcp:443"')
  say('  curl -s $AWS_ENDPOINT_URL_EC2/_sim/groups')
}

/** Ends the bed and everything that it started; also when its supervisor is gone. */
export async function takeDown(context: CommandContext): Promise<void> {
  const { name, say, root } = context
  const directory = directoryOf(context)
  if (name === 'bed') await rm(join(root, '.run', 'env'), { force: true })
  const supervisor = await readOwner(join(directory, 'lock'))
  if (supervisor === undefined) return say(`the bed '${name}' was not running`)
  if (!(await askToEnd(directory, supervisor))) return endOrphans(context, directory)
  while (await lives(supervisor)) await sleep(20)
  say(`the bed '${name}' has ended`)
}

/** False when the supervisor does not live. One that has only just begun does not listen yet. */
async function askToEnd(directory: string, supervisor: ProcessRef): Promise<boolean> {
  while (await lives(supervisor)) {
    try {
      await askBed(directory, '/down')
      return true
    } catch (error) {
      if (!(error instanceof NoBed)) throw error
      await sleep(50)
    }
  }
  return false
}

async function readOwner(lock: string): Promise<ProcessRef | undefined> {
  const text = await readFile(lock, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as ProcessRef)
}

async function endOrphans({ name, say, kill }: CommandContext, directory: string): Promise<void> {
  const left = await endLeftovers(directory, kill)
  await removeState(directory)
  await rm(join(directory, 'lock'), { force: true })
  const found = left.length === 0 ? 'and nothing was left running' : `ended what it left: ${left.join(', ')}`
  say(`the supervisor of the bed '${name}' had been killed; ${found}`)
}

/** One verb on one process of the bed, or the list of them. */
export async function controlBed(context: CommandContext, [verb = '', name]: readonly string[]): Promise<void> {
  const directory = directoryOf(context)
  if (verb === 'status' && name === undefined) {
    const statuses = (await askBed(directory, '/status')) as ProcessStatus[]
    for (const { name: each, state, pid, restarts } of statuses) {
      const details = [
        ...(pid === undefined ? [] : [`pid ${pid}`]),
        ...(restarts === 0 ? [] : [`restarts ${restarts}`])
      ]
      context.say(`${each.padEnd(20)} ${state.padEnd(12)} ${details.join(', ')}`.trimEnd())
    }
    return
  }
  if (!VERBS.includes(verb as Verb) || name === undefined) {
    throw new Error(`say bed/ctl ${VERBS.join('|')} NAME, or bed/ctl status`)
  }
  await askBed(directory, '/run', { verb, name })
}
