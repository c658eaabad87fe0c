/** What each service account may use, as last answered by the API server. */
import type { Logger } from '../shared/logger.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import type { Timers } from './queue.ts'
import { afterAnswer, leaveOf } from './standing.ts'
import type { Leave, Standing } from './standing.ts'

export interface Subject {
  readonly namespace: string
  readonly serviceAccountName: string
}

export interface PermissionLedger {
  /**
   * Asks again for what is unknown or was asked too long ago, and waits for the answers, but not for long: those that come later are told.
   * What cannot be asked stays as it is; that is logged.
   */
  refresh(groupId: SecurityGroupId, subjects: readonly Subject[]): Promise<void>
  leave(groupId: SecurityGroupId, subject: Subject): Leave
}

export interface PermissionOptions {
  readonly mode: 'enforce' | 'warn' | 'off'
  /** Asks the API server. Rejects when it could not tell. */
  readonly mayUse: (subject: Subject, groupId: SecurityGroupId) => Promise<boolean>
  readonly timers: Pick<Timers, 'now' | 'after'>
  /** An answer has come for which nobody waits any more. */
  readonly onLate: (groupId: SecurityGroupId) => void
  /** Milliseconds that a 'yes' holds; a 'no' is asked again much sooner, to confirm it or to notice the new Role. */
  readonly trustFor: number
  readonly logger: Logger
}

const ASK_DENIED_AGAIN = 5000
/** Milliseconds: longer than an API server takes that is well; whoever is known is not to wait for whoever is not. */
const PATIENCE = 2000
/** Nobody has asked for it so long: forgotten. */
const KEEP = 3_600_000

export function createPermissionLedger(options: PermissionOptions): PermissionLedger {
  const { timers } = options
  const standings = new Map<string, Standing>()
  const keyOf = (groupId: SecurityGroupId, { namespace, serviceAccountName }: Subject): string =>
    `${namespace}/${serviceAccountName}/${groupId}`

  /** @returns whether there was an answer */
  const ask = async (groupId: SecurityGroupId, subject: Subject): Promise<boolean> => {
    const key = keyOf(groupId, subject)
    const before = standings.get(key)
    try {
      const allowed = await options.mayUse(subject, groupId)
      standings.set(key, afterAnswer(before, allowed, timers.now()))
      const fresh = !allowed && before?.state !== 'denied'
      if (fresh)
        options.logger.warn(
          { ...subject, securityGroupID: groupId, mode: options.mode },
          'service account may not use security group'
        )
      return true
    } catch (err) {
      options.logger.warn({ err, ...subject, securityGroupID: groupId }, 'permission could not be asked')
      return false
    }
  }

  return {
    async refresh(groupId, subjects) {
      if (options.mode === 'off') return
      const now = timers.now()
      for (const [key, standing] of standings) if (standing.at + KEEP < now) standings.delete(key)
      const due = new Map<string, Subject>()
      for (const subject of subjects) {
        const standing = standings.get(keyOf(groupId, subject))
        const trust = standing?.state === 'granted' ? options.trustFor : ASK_DENIED_AGAIN
        if (standing === undefined || standing.at + trust <= now) due.set(keyOf(groupId, subject), subject)
      }
      if (due.size === 0) return
      let isLate = false
      const answered = Promise.all([...due.values()].map((subject) => ask(groupId, subject))).then((answers) => {
        // Who could not be asked must not be asked again because of it.
        if (isLate && answers.includes(true)) options.onLate(groupId)
      })
      await new Promise<void>((resolve) => {
        const cancel = timers.after(PATIENCE, () => {
          isLate = true
          resolve()
        })
        void answered.then(() => {
          cancel()
          resolve()
        })
      })
    },
    leave(groupId, subject) {
      if (options.mode === 'off') return 'granted'
      const leave = leaveOf(standings.get(keyOf(groupId, subject)))
      return options.mode === 'warn' && leave !== 'unknown' ? 'granted' : leave
    }
  }
}
