/**
 * Stops a withdrawal of too much at once. A typo in POD_CIDRS, a Role deleted by mistake or a Node that claims the addresses of pods would
 * otherwise cut all living pods within a minute; each of them still asks for its rules. Pure: time is an argument.
 */
import type { SecurityGroupId } from '../shared/rules.ts'

export interface Brake {
  /**
   * Asked before rules of living pods are taken away that they still ask for.
   * @param wanted how many of this group
   * @param owned rules of ours in all groups
   * @returns false: all of them stay
   */
  mayWithdraw(groupId: SecurityGroupId, wanted: number, owned: number, now: number): boolean
  /** The group has nothing left to withdraw. */
  takeBack(groupId: SecurityGroupId): void
  withdrawn(count: number, now: number): void
  engaged(): boolean
}

/** So many at once are never too much. */
const FEW = 20
const SHARE = 0.25
/** Withdrawals of the last ten minutes count together, in milliseconds. */
const WINDOW = 600_000

export function createBrake(): Brake {
  const pending = new Map<SecurityGroupId, number>()
  let done: { readonly at: number; readonly count: number }[] = []
  let engaged = false
  return {
    mayWithdraw(groupId, wanted, owned, now) {
      pending.set(groupId, wanted)
      done = done.filter(({ at }) => at + WINDOW > now)
      const recent = done.reduce((sum, { count }) => sum + count, 0)
      const total = [...pending.values()].reduce((sum, count) => sum + count, recent)
      engaged = total > FEW && total > SHARE * (owned + recent)
      return !engaged
    },
    takeBack(groupId) {
      pending.delete(groupId)
      if (pending.size === 0) engaged = false
    },
    withdrawn: (count, at) => void done.push({ at, count }),
    engaged: () => engaged
  }
}
