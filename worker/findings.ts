/** What the runs for groups have found out about each pod, until the pod is gone. No I/O. */
import type { SecurityGroupId } from '../shared/rules.ts'
import { IN_EFFECT } from './outcomes.ts'
import type { Outcome } from './outcomes.ts'
import type { Reason } from './reasons.ts'
import type { PodFindings } from './settle.ts'

export interface Findings {
  /**
   * @param now milliseconds
   * @returns the pods for which something has changed
   */
  tell(groupId: SecurityGroupId, outcomes: ReadonlyMap<string, Outcome>, now: number): string[]
  /** When the group was told of last; -Infinity: never. */
  toldAt(groupId: SecurityGroupId): number
  /** Pods times groups, by reason. */
  reasons(): ReadonlyMap<Reason, number>
  markAttempted(uid: string): void
  /** What keeps all groups from being served; undefined: nothing does. */
  setTrouble(trouble: Outcome | undefined): void
  of(uid: string): PodFindings
  forget(uid: string): void
}

export function createFindings(): Findings {
  const byPod = new Map<string, ReadonlyMap<SecurityGroupId, Outcome>>()
  /** What most pods have: one group, and its rules in effect. One copy a group. */
  const served = new Map<SecurityGroupId, ReadonlyMap<SecurityGroupId, Outcome>>()
  const byGroup = new Map<SecurityGroupId, ReadonlyMap<string, Outcome>>()
  const times = new Map<SecurityGroupId, number>()
  const reasons = new Map<Reason, number>()
  const attempted = new Set<string>()
  let trouble: Outcome | undefined

  const count = (outcome: Outcome | undefined, by: 1 | -1): void => {
    if (outcome === undefined) return
    const left = (reasons.get(outcome.reason) ?? 0) + by
    if (left > 0) reasons.set(outcome.reason, left)
    else reasons.delete(outcome.reason)
  }

  const withOutcome = (
    known: ReadonlyMap<SecurityGroupId, Outcome> | undefined,
    groupId: SecurityGroupId,
    outcome: Outcome | undefined
  ): ReadonlyMap<SecurityGroupId, Outcome> => {
    const alone = known === undefined || (known.size === 1 && known.has(groupId))
    if (alone && outcome === IN_EFFECT) {
      const shared = served.get(groupId) ?? new Map([[groupId, IN_EFFECT]])
      served.set(groupId, shared)
      return shared
    }
    const next = new Map(known)
    if (outcome === undefined) next.delete(groupId)
    else next.set(groupId, outcome)
    return next
  }

  return {
    tell(groupId, outcomes, now) {
      const before = byGroup.get(groupId) ?? new Map<string, Outcome>()
      if (outcomes.size === 0) {
        byGroup.delete(groupId)
        served.delete(groupId)
        times.delete(groupId)
      } else {
        byGroup.set(groupId, outcomes)
        times.set(groupId, now)
      }
      const changed: string[] = []
      for (const uid of new Set([...before.keys(), ...outcomes.keys()])) {
        const outcome = outcomes.get(uid)
        const known = byPod.get(uid)
        const old = known?.get(groupId)
        if (old?.message === outcome?.message && old?.reason === outcome?.reason) continue
        count(old, -1)
        count(outcome, 1)
        const next = withOutcome(known, groupId, outcome)
        if (next.size === 0) byPod.delete(uid)
        else byPod.set(uid, next)
        changed.push(uid)
      }
      return changed
    },
    toldAt: (groupId) => times.get(groupId) ?? -Infinity,
    reasons: () => reasons,
    markAttempted: (uid) => void attempted.add(uid),
    setTrouble(next) {
      trouble = next
    },
    of: (uid) => ({ outcomes: byPod.get(uid), attempted: attempted.has(uid), trouble }),
    forget(uid) {
      for (const outcome of byPod.get(uid)?.values() ?? []) count(outcome, -1)
      byPod.delete(uid)
      attempted.delete(uid)
    }
  }
}
