/** Asks the API server for the proof that a rule of ours is an orphan. */
import type { Logger } from '../shared/logger.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import type { Cluster } from './cluster.ts'
import { podDescribed } from './description.ts'
import { addressOf, isProvenOrphan } from './orphans.ts'
import type { ObservedPod } from './pods.ts'
import type { ObservedRule } from './securityGroups.ts'

export interface ProverOptions {
  readonly cluster: Pick<Cluster, 'pod' | 'podsAt'>
  readonly clusterId: string
  /** Whatever its object says, the pod keeps no rule of the group: its node is gone, or its use of the group was withdrawn. */
  readonly hasLostClaim: (groupId: SecurityGroupId, pod: ObservedPod) => boolean
  /** A pod without our label, as it is now. */
  readonly onUnlabelled: (pod: ObservedPod) => void
  readonly now: () => number
  readonly logger: Logger
}

export interface Proofs {
  /** Ids of the rules that have outlived their pods. */
  readonly proven: ReadonlySet<string>
  /** More are left to be looked into; undefined: none is. Milliseconds. */
  readonly againAfter: number | undefined
}

export type Prover = (groupId: SecurityGroupId, orphans: readonly ObservedRule[]) => Promise<Proofs>

/** So many are looked into at once, for each takes two calls to the API server while the group waits. */
const AT_ONCE = 50
/** What could not be proven is looked into again after this many milliseconds, so that it never keeps others from their turn. */
const LOOK_AGAIN = 30_000
const SOON = 500

/** @returns proofs for some of the orphans; it rejects when the API server could not be asked */
export function createProver({ cluster, clusterId, hasLostClaim, logger, now, onUnlabelled }: ProverOptions): Prover {
  const lookedAt = new Map<string, number>()
  return async (groupId, orphans) => {
    for (const [id, at] of lookedAt) if (at + LOOK_AGAIN <= now()) lookedAt.delete(id)
    const due = orphans.filter(({ id }) => !lookedAt.has(id))
    const proven = new Set<string>()
    for (const rule of due.slice(0, AT_ONCE)) {
      // Before it is asked: one rule that can never be judged must not keep the others from their turn.
      lookedAt.set(rule.id, now())
      const address = addressOf(rule)
      const named = podDescribed(clusterId, rule.description)
      const described = named === undefined ? undefined : await cluster.pod(named.namespace, named.name)
      const atAddress = address === undefined ? [] : await cluster.podsAt(address)
      const near = described === undefined ? atAddress : [...atAddress, described]
      for (const pod of near) if (!pod.labelled) onUnlabelled(pod)
      const able = near.filter((pod) => !hasLostClaim(groupId, pod))
      const orphan = isProvenOrphan(groupId, rule, able, now())
      const keys = { securityGroupID: groupId, ruleID: rule.id, cidr: rule.cidr, description: rule.description }
      if (orphan) logger.warn(keys, 'found an orphan: no living pod asks for this rule of ours')
      else logger.debug(keys, 'found a rule of ours that no pod we watch claims; it could not be proven an orphan')
      if (orphan) proven.add(rule.id)
    }
    if (due.length > AT_ONCE) return { proven, againAfter: SOON }
    const looks = orphans.filter(({ id }) => !proven.has(id)).map(({ id }) => lookedAt.get(id) ?? now())
    return {
      proven,
      againAfter: looks.length === 0 ? undefined : Math.max(SOON, Math.min(...looks) + LOOK_AGAIN - now())
    }
  }
}
