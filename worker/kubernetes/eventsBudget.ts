/** How many Events one pod gets: a bucket for each. Pure: time is an argument, milliseconds. */

export interface BudgetLimits {
  /** At once, after a long pause. */
  readonly burst: number
  /** For each further one. */
  readonly refill: number
  /** Pods remembered; who was told of longest ago is forgotten first, and starts again with a full bucket. */
  readonly pods: number
}

/** client-go's, so that a pod whose state goes to and fro is told of no more than by any controller (tools/record/events_cache.go). */
export const BUDGET: BudgetLimits = { burst: 25, refill: 300_000, pods: 4096 }

/** @returns takes one from the pod's bucket; false: it is empty */
export function createBudget(limits: BudgetLimits): (uid: string, now: number) => boolean {
  const buckets = new Map<string, { tokens: number; at: number }>()
  return (uid, now) => {
    const before = buckets.get(uid)
    const gained = before === undefined ? 0 : Math.max(0, now - before.at) / limits.refill
    const tokens = before === undefined ? limits.burst : Math.min(limits.burst, before.tokens + gained)
    const allowed = tokens >= 1
    // Kept in the order of use, so that the first is the one to forget.
    buckets.delete(uid)
    buckets.set(uid, { tokens: allowed ? tokens - 1 : tokens, at: now })
    if (buckets.size > limits.pods) {
      const [oldest] = buckets.keys()
      if (oldest !== undefined) buckets.delete(oldest)
    }
    return allowed
  }
}
