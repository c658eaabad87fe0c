/** What the runs for groups have found out about each pod, until the pod is gone. No I/O. */
import type { SecurityGroupId } from '../shared/rules.ts'
import type { Outcome } from './outcomes.ts'
import type { PodFindings } from './settle.ts'

export interface Findings {
  /** @returns the pods for which something has changed */
  tell(groupId: SecurityGroupId, outcomes: ReadonlyMap<string, Outcome>): string[]
  markAttempted(uid: string): void
  /** What keeps all groups from being served; undefined: nothing does. */
  setTrouble(trouble: Outcome | undefined): void
  of(uid: string): PodFindings
  forget(uid: string): void
}

export function createFindings(): Findings {
  const byPod = new Map<string, Map<SecurityGroupId, Outcome>>()
  const byGroup = new Map<SecurityGroupId, ReadonlyMap<string, Outcome>>()
  const attempted = new Set<string>()
  let trouble: Outcome | undefined

  return {
    tell(groupId, outcomes) {
      const before = byGroup.get(groupId) ?? new Map<string, Outcome>()
      if (outcomes.size === 0) byGroup.delete(groupId)
      else byGroup.set(groupId, outcomes)
      const changed: string[] = []
      for (const uid of new Set([...before.keys(), ...outcomes.keys()])) {
        const outcome = outcomes.get(uid)
        const known = byPod.get(uid) ?? new Map<SecurityGroupId, Outcome>()
        if (known.get(groupId)?.message === outcome?.message && known.get(groupId)?.reason === outcome?.reason) continue
        if (outcome === undefined) known.delete(groupId)
        else known.set(groupId, outcome)
        if (known.size === 0) byPod.delete(uid)
        else byPod.set(uid, known)
        changed.push(uid)
      }
      return changed
    },
    markAttempted: (uid) => void attempted.add(uid),
    setTrouble(next) {
      trouble = next
    },
    of: (uid) => ({ outcomes: byPod.get(uid), attempted: attempted.has(uid), trouble }),
    forget(uid) {
      byPod.delete(uid)
      attempted.delete(uid)
    }
  }
}
