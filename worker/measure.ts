/** Makes numbers of what the worker does, and warns of a group that is nearly full. Decides nothing, and no I/O. */
import type { Logger } from '../shared/logger.ts'
import { ruleKey } from '../shared/rules.ts'
import type { Rule, SecurityGroupId } from '../shared/rules.ts'
import type { Brake } from './brake.ts'
import type { Claim } from './desired.ts'
import type { Findings } from './findings.ts'
import type { GroupBook } from './groupBook.ts'
import { createGroupStates } from './groupSummary.ts'
import type { Crossing, GroupSummary } from './groupSummary.ts'
import type { GroupState, QueueState, WorkerMetrics, WorkerState } from './metrics.ts'
import type { PodCache } from './podCache.ts'
import { waitsForOthers } from './reasons.ts'
import type { Namesake } from './sweep.ts'

export interface MeasureDeps {
  readonly metrics: WorkerMetrics
  readonly cache: PodCache
  readonly findings: Findings
  readonly book: GroupBook
  readonly brake: Brake
  readonly logger: Logger
  /** Milliseconds since 1970, as the cache of pods has it. */
  readonly wallClock: () => number
}

export interface Measure {
  /** The claims' rules have just come into effect. */
  granted(groupId: SecurityGroupId, claims: readonly Claim[]): void
  revoked(groupId: SecurityGroupId, rules: readonly Rule[]): void
  /** A run for the group has ended. */
  told(groupId: SecurityGroupId, summary: GroupSummary): void
  /** Rules of another cluster that was given our id, as the last read has them. */
  namesakes(rules: readonly Namesake[]): void
  state(queues: Readonly<Record<string, QueueState>>, ec2Unreadable: boolean): WorkerState
}

export function createMeasure(deps: MeasureDeps): Measure {
  const { cache, findings, logger, metrics, wallClock } = deps
  const groups = createGroupStates()
  let namesakes: ReadonlyMap<string, Namesake> = new Map()

  /** Nothing about the pod has changed since it was told that all is in effect: then somebody took the rule away. */
  const isDrift = (groupId: SecurityGroupId, uid: string): boolean =>
    findings.of(uid).outcomes?.get(groupId)?.inEffect === true && cache.changedAt(uid) < findings.toldAt(groupId)

  return {
    granted(groupId, claims) {
      metrics.authorized(claims.length)
      const served = new Set<string>()
      for (const { pod, rule } of claims) {
        if (isDrift(groupId, pod.uid))
          metrics.drifted(groups.last(groupId)?.reliedOn.has(ruleKey(rule)) === true ? 'foreign' : 'deleted')
        else served.add(pod.uid)
      }
      for (const uid of served) {
        // The time that a quota, a tag or a Role took to come is not ours.
        const before = findings.of(uid).outcomes?.get(groupId)
        const since = cache.changedAt(uid)
        if (since > -Infinity && (before === undefined || before.inEffect || !waitsForOthers(before.reason)))
          metrics.grantedAfter((wallClock() - since) / 1000)
      }
    },
    revoked(groupId, rules) {
      metrics.revoked(rules.length)
      for (const rule of rules) {
        const former = cache.formerClaims(groupId).get(ruleKey(rule))
        if (former !== undefined) metrics.revokedAfter((wallClock() - former.since) / 1000)
      }
    },
    told(groupId, summary) {
      const { crossings, orphansFound } = groups.take(groupId, summary)
      metrics.orphansFound(orphansFound)
      for (const crossing of crossings) warn(logger, groupId, crossing)
    },
    namesakes(rules) {
      metrics.namesakeRules(rules.reduce((sum, { count }) => sum + count, 0))
      const now = new Map(rules.map((rule) => [`${rule.groupId} ${rule.owner}`, rule]))
      for (const [key, { count, groupId, owner }] of now) {
        if (namesakes.get(key)?.count === count) continue
        const keys = { securityGroupID: groupId, owner, rules: count }
        logger.warn(keys, 'rules of another cluster with our CLUSTER_ID: they are left alone until they are adopted')
      }
      namesakes = now
    },
    state: (queues, ec2Unreadable) => ({
      ...podState(cache, wallClock()),
      podGroups: findings.reasons(),
      ownedRules: deps.book.groupsWithOwned().reduce((sum, id) => sum + deps.book.view(id).owned.length, 0),
      orphans: [...groups.all()].reduce((sum, [, { orphans }]) => sum + orphans.size, 0),
      brakeEngaged: deps.brake.engaged(),
      ec2Unreadable,
      groups: [...groups.all()].map(([groupId, summary]) => groupState(groupId, summary)),
      queues
    })
  }
}

function warn(logger: Logger, securityGroupID: SecurityGroupId, { family, nearlyFull, quota, rules }: Crossing): void {
  const keys = { securityGroupID, family, rules, quota }
  if (nearlyFull)
    logger.warn(keys, "security group is nearly full: raise the quota 'inbound rules per security group' in time")
  else logger.info(keys, 'security group has room again')
}

function podState(cache: PodCache, now: number): Pick<WorkerState, 'pods' | 'invalidPods' | 'heldPods' | 'oldestHold'> {
  let [pods, invalidPods, heldPods, oldestEnd] = [0, 0, 0, now]
  for (const { end, pod } of cache.views()) {
    pods += 1
    if (end === undefined) invalidPods += pod.declaration.violations.length > 0 ? 1 : 0
    else if (pod.finalized) {
      heldPods += 1
      oldestEnd = Math.min(oldestEnd, end.at)
    }
  }
  return { pods, invalidPods, heldPods, oldestHold: (now - oldestEnd) / 1000 }
}

function groupState(groupId: SecurityGroupId, { use, waiting }: GroupSummary): GroupState {
  const families = (['ipv4', 'ipv6'] as const).map((family) => ({
    family,
    rules: use[family].used,
    quota: use[family].quota
  }))
  return { groupId, families, waiting }
}
