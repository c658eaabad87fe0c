/** What a bed leaves in its directory, and what to do about it when its supervisor was killed. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lives, type ProcessRef } from './lives.ts'

const STATE = ['control-plane', 'accounts', 'mounts', 'bin', 'env', 'processes.json']

/** Removes everything but the logs. */
export async function removeState(directory: string): Promise<void> {
  for (const name of STATE) await rm(join(directory, name), { recursive: true, force: true })
}

/**
 * Ends the processes that a killed supervisor left, and nothing that merely has their pid now.
 * @returns the names of those ended
 */
export async function endLeftovers(directory: string, kill: (pid: number) => void): Promise<readonly string[]> {
  const text = await readFile(join(directory, 'processes.json'), 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '[]'
    throw error
  })
  const ended: string[] = []
  for (const ref of JSON.parse(text) as (ProcessRef & { name: string })[]) {
    if (!(await lives(ref))) continue
    kill(ref.pid)
    while (await lives(ref)) await sleep(10)
    ended.push(`${ref.name} (process ${ref.pid})`)
  }
  return ended
}
