/** How much of a group's quota pods take: said while it can still be asked for less. Pure. */
import type { RuleRequest } from '../shared/rules.ts'

/**
 * Warnings about requests that are legal, and that a group can hardly hold, or not at all.
 * @param rulesPerGroup the quota, counted for each address family apart
 * @param pods how many pods with these requests there will be
 */
export function warnOfShare(requests: readonly RuleRequest[], rulesPerGroup: number, pods: number): string[] {
  // Nearly all pods: if all were of one group, no limit of describeShare would be near.
  if (requests.length * Math.max(pods, 4) <= rulesPerGroup) return []
  const groups = Map.groupBy(requests, ({ groupId }) => groupId)
  return [...groups].flatMap(([groupId, wanted]) => describeShare(groupId, rulesOfAPod(wanted), rulesPerGroup, pods))
}

/** Of the family that needs more: ICMP makes rules for IPv4 alone, ICMPv6 for IPv6. */
function rulesOfAPod(requests: readonly RuleRequest[]): number {
  const without = (protocol: string): number => requests.filter((request) => request.protocol !== protocol).length
  return Math.max(without('icmpv6'), without('icmp'))
}

function describeShare(groupId: string, rules: number, quota: number, pods: number): string[] {
  if (rules > quota)
    return [`${groupId}: a pod asks for ${rules} rules, and a group holds ${quota}: it will never have all of them`]
  if (rules * pods > quota)
    return [
      `${groupId}: ${pods} pods of ${count(rules)} each need ${rules * pods}, and a group holds ${quota}: pods will wait for others to end`
    ]
  if (rules > 1 && rules * 4 > quota) {
    const room = Math.floor(quota / rules)
    return [
      `${groupId}: each pod takes ${rules} of the ${quota} rules that a group holds: there is room for ${room} such`
    ]
  }
  return []
}

const count = (rules: number): string => (rules === 1 ? '1 rule' : `${rules} rules`)
