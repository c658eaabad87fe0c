/** Reads of groups that many runs ask for at about the same time become one: each alone would cost a call, and wait for its turn. */
import type { SecurityGroupId } from '../shared/rules.ts'
import type { ObservedGroup, SecurityGroups } from './securityGroups.ts'

type ReadGroups = SecurityGroups['readGroups']

interface Request {
  readonly groupIds: readonly SecurityGroupId[]
  readonly resolve: (groups: readonly ObservedGroup[]) => void
  readonly reject: (error: unknown) => void
}

/** One read at a time: what is asked for while it is under way goes into the next. A failure is told to all who asked. */
export function shareGroupReads(read: ReadGroups): ReadGroups {
  let waiting: Request[] = []
  let reading = false

  const readAll = async (): Promise<void> => {
    reading = true
    while (waiting.length > 0) {
      const requests = waiting
      waiting = []
      try {
        const groups = await read([...new Set(requests.flatMap(({ groupIds }) => groupIds))])
        const byId = new Map(groups.map((group) => [group.groupId, group]))
        for (const { groupIds, resolve } of requests)
          resolve(groupIds.map((groupId) => byId.get(groupId)).filter((group) => group !== undefined))
      } catch (error) {
        for (const { reject } of requests) reject(error)
      }
    }
    reading = false
  }

  return (groupIds) =>
    new Promise((resolve, reject) => {
      waiting.push({ groupIds, resolve, reject })
      if (!reading) void readAll()
    })
}
