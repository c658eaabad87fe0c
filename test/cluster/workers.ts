/** For cluster tests: which worker leads, and what the workers say of themselves. */
import type { Bed } from '../../bed/bed.ts'

export const WORKERS = ['worker-0', 'worker-1'] as const

/** The text of a worker's /metrics; empty while it does not answer. */
export async function metricsOf(bed: Bed, worker: string): Promise<string> {
  const url = bed.env[`METRICS_${worker.toUpperCase().replace('-', '_')}`] ?? ''
  try {
    return await (await fetch(url, { signal: AbortSignal.timeout(2000) })).text()
  } catch {
    return ''
  }
}

/** The workers that say that they lead: none for a while, and for a moment perhaps two. */
export async function leaders(bed: Bed): Promise<readonly string[]> {
  const texts = await Promise.all(WORKERS.map(async (name) => ({ name, text: await metricsOf(bed, name) })))
  return texts.filter(({ text }) => /^leader_election_master_status\{[^}]*\} 1$/m.test(text)).map(({ name }) => name)
}
