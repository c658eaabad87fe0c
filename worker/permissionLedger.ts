/** What each service account may use, as last answered by the API server. */
import type { Logger } from '../shared/logger.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { afterAnswer, leaveOf } from './standing.ts'
import type { Leave, Standing } from './standing.ts'

export interface Subject {
  readonly namespace: string
  readonly serviceAccountName: string
}

export interface PermissionLedger {
  /** Asks again for what is unknown or was asked too long ago. What cannot be asked stays as it is; that is logged. */
  refresh(groupId: SecurityGroupId, subjects: readonly Subject[]): Promise<void>
  leave(groupId: SecurityGroupId, subject: Subject): Leave
}

export interface PermissionOptions {
  readonly mode: 'enforce' | 'warn' | 'off'
  /** Asks the API server. Rejects when it could not tell. */
  readonly mayUse: (subject: Subject, groupId: SecurityGroupId) => Promise<boolean>
  readonly now: () => number
  /** Milliseconds that a 'yes' holds; a 'no' is asked again much sooner, to confirm it or to notice the new Role. */
  readonly trustFor: number
  readonly logger: Logger
}

const ASK_DENIED_AGAIN = 5000
/** Nobody has asked for it so long: forgotten. */
const KEEP = 3_600_000

export function createPermissionLedger(options: PermissionOptions): PermissionLedger {
  const standings = new Map<string, Standing>()
  const keyOf = (groupId: SecurityGroupId, { namespace, serviceAccountName }: Subject): string =>
    `${namespace}/${serviceAccountName}/${groupId}`

  const ask = async (groupId: SecurityGroupId, subject: Subject): Promise<void> => {
    const key = keyOf(groupId, subject)
    const before = standings.get(key)
    try {
      const allowed = await options.mayUse(subject, groupId)
      standings.set(key, afterAnswer(before, allowed, options.now()))
      const fresh = !allowed && before?.state !== 'denied'
      if (fresh)
        options.logger.warn(
          { ...subject, securityGroupID: groupId, mode: options.mode },
          'service account may not use security group'
        )
    } catch (err) {
      options.logger.warn({ err, ...subject, securityGroupID: groupId }, 'permission could not be asked')
    }
  }

  return {
    async refresh(groupId, subjects) {
      if (options.mode === 'off') return
      const now = options.now()
      for (const [key, standing] of standings) if (standing.at + KEEP < now) standings.delete(key)
      const due = new Map<string, Subject>()
      for (const subject of subjects) {
        const standing = standings.get(keyOf(groupId, subject))
        const trust = standing?.state === 'granted' ? options.trustFor : ASK_DENIED_AGAIN
        if (standing === undefined || standing.at + trust <= now) due.set(keyOf(groupId, subject), subject)
      }
      await Promise.all([...due.values()].map((subject) => ask(groupId, subject)))
    },
    leave(groupId, subject) {
      if (options.mode === 'off') return 'granted'
      const leave = leaveOf(standings.get(keyOf(groupId, subject)))
      return options.mode === 'warn' && leave !== 'unknown' ? 'granted' : leave
    }
  }
}
