/** A lock between processes: a file that names its owner, taken over once that owner has ended. */
import { randomUUID } from 'node:crypto'
import { link, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lives, refTo, type ProcessRef } from './lives.ts'

export interface LockOptions {
  /** Process that owns the lock: this one. */
  readonly pid: number
  /** Told once, with the owner's pid, when the lock is held by another. Throw to give up. */
  readonly onWait?: (owner: number) => void
  /** Milliseconds between two looks at a held lock. */
  readonly poll?: number
  readonly signal?: AbortSignal
}

/**
 * Waits for the lock at `path` and takes it.
 *
 * Two that take over a dead owner's lock in the same instant can both believe to hold it: what it guards must then be
 * done twice rather than go wrong.
 * @returns the release, which may be called twice
 */
export async function takeLock(path: string, options: LockOptions): Promise<() => Promise<void>> {
  const own = JSON.stringify({ ...(await refTo(options.pid)), nonce: randomUUID() })
  await mkdir(dirname(path), { recursive: true })
  let told = false
  while (!(await place(path, own))) {
    options.signal?.throwIfAborted()
    const held = await textOf(path)
    if (held === undefined) continue
    const owner = ownerIn(held)
    if (owner === undefined || !(await lives(owner))) {
      await setAside(path, held)
      continue
    }
    if (!told) options.onWait?.(owner.pid)
    told = true
    await sleep(options.poll ?? 500, undefined, options.signal === undefined ? {} : { signal: options.signal })
  }
  return async () => {
    if ((await textOf(path)) === own) await rm(path, { force: true })
  }
}

/** Creates the file whole or not at all: a reader never sees a lock without its owner. */
async function place(path: string, text: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`
  await writeFile(draft, text)
  try {
    await link(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  } finally {
    await rm(draft, { force: true })
  }
}

/** Removes a dead owner's lock, and puts back what was moved if another has taken it over meanwhile. */
async function setAside(path: string, seen: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  if ((await textOf(aside)) !== seen) await link(aside, path).catch(() => undefined)
  await rm(aside, { force: true })
}

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function ownerIn(text: string): ProcessRef | undefined {
  try {
    const owner = JSON.parse(text) as Partial<ProcessRef> | null
    return typeof owner?.pid === 'number' && typeof owner.started === 'string'
      ? { pid: owner.pid, started: owner.started }
      : undefined
  } catch {
    return undefined
  }
}
