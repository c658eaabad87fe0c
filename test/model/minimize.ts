/** The shortest history that goes wrong in the same way: faster than fast-check's own shrinking, which knows nothing of time. */
import { live } from './history.ts'
import type { History } from './history.ts'
import type { Wrong } from './invariants.ts'
import type { Step } from './steps.ts'

/** Histories tried at most. */
const TRIES = 400

export async function minimize(
  history: History,
  wrongs: readonly Wrong[]
): Promise<{ history: History; wrongs: readonly Wrong[] }> {
  const [first] = wrongs
  let best = { history, wrongs }
  let tries = 0
  /** @returns whether it goes wrong as the first one did: then it is the best so far */
  const isNoBetter = async (next: History): Promise<boolean> => {
    if (++tries > TRIES) return true
    const told = await live(next)
    if (!told.wrongs.some(({ invariant }) => invariant === first?.invariant)) return true
    best = { history: next, wrongs: told.wrongs }
    return false
  }
  const without = async (): Promise<void> => {
    for (let size = best.history.steps.length >> 1; size >= 1; size = size > 1 ? size >> 1 : 0) {
      for (let start = 0; start < best.history.steps.length;) {
        const steps = best.history.steps.filter((_, index) => index < start || index >= start + size)
        if (await isNoBetter({ ...best.history, steps })) start += size
      }
    }
  }
  const simpler = async (): Promise<void> => {
    for (const plain of [{ standby: false }, { tight: false }, { quota: 60 }, { pageSize: 1000 }, { watchDelay: 30 }])
      await isNoBetter({ ...best.history, setting: { ...best.history.setting, ...plain } })
    for (const key of ['which', 'how', 'wait'] as const) {
      for (const [index, step] of best.history.steps.entries()) {
        for (const value of key === 'wait' ? [10, 5000] : [0, 1]) {
          if (step[key] <= value) continue
          const steps: Step[] = best.history.steps.with(index, { ...step, [key]: value })
          if (!(await isNoBetter({ ...best.history, steps }))) break
        }
      }
    }
  }
  await without()
  await simpler()
  await without()
  return best
}
