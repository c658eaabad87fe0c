/**
 * The order of I/O for one security group, once: read what is not known, ask what is permitted, plan, authorize, revoke, tell.
 *
 * One run per group at a time, so this file has no locks. Whatever happens between two awaits is seen by the next run, for
 * every event adds the group to the queue again.
 */
import { ruleKey } from '../shared/rules.ts'
import type { Family, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import type { Logger } from '../shared/logger.ts'
import { authorizeClaims, revokeRules } from './apply.ts'
import type { ApplyDeps } from './apply.ts'
import type { Cluster } from './cluster.ts'
import { desire } from './desired.ts'
import type { Desired, Surroundings } from './desired.ts'
import { podDescribed } from './description.ts'
import { HANDLING } from './failures.ts'
import type { GroupBook } from './groupBook.ts'
import { addressOf, isProvenOrphan } from './orphans.ts'
import { outcomesOf } from './outcomes.ts'
import type { Outcome } from './outcomes.ts'
import type { PermissionLedger } from './permissionLedger.ts'
import { planChanges } from './plan.ts'
import type { Plan } from './plan.ts'
import type { PodCache } from './podCache.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { ObservedRule, SecurityGroups } from './securityGroups.ts'
import { leaveOf } from './standing.ts'

export interface ReconcileDeps extends ApplyDeps {
  readonly cache: PodCache
  readonly book: GroupBook
  readonly permissions: PermissionLedger
  readonly cluster: Pick<Cluster, 'pod' | 'podsAt'>
  readonly ec2: SecurityGroups
  readonly now: () => number
  readonly logger: Logger
  readonly clusterId: string
  readonly optInTag: string
  readonly podCidrs: readonly string[]
  readonly nodeAddresses: () => ReadonlySet<string>
  readonly rulesPerGroup: number
  /** EC2_READ_LAG, milliseconds. */
  readonly readLag: number
  /** What each pod has of the group now; `former` are the pods whose former rules this run tried to revoke. */
  readonly tell: (groupId: SecurityGroupId, outcomes: ReadonlyMap<string, Outcome>, former: ReadonlySet<string>) => void
}

/** Refused pods are looked at again this often, in milliseconds: a tag or a Role may have come. */
const REFUSED_AGAIN = 10_000
/** So many orphans are proven in one run, for each takes two calls to the API server; the rest follows in the next. */
const PROOFS_PER_RUN = 50

/** @returns a run for one group; it rejects with {@link Ec2Failure} when EC2 stopped it, having told the pods */
export function createReconciler(deps: ReconcileDeps): (groupId: SecurityGroupId) => Promise<{ againAfter?: number }> {
  return async (groupId) => {
    const failed = new Map<RuleKey, Ec2Failure>()
    let failure: Ec2Failure | undefined
    try {
      await readWhatIsMissing(deps, groupId)
      await askPermissions(deps, groupId)
      await converge(deps, groupId, failed)
    } catch (error) {
      if (!(error instanceof Ec2Failure)) throw error
      failure = error
      if (HANDLING[error.kind].observeAgain) deps.book.doubt(groupId)
    }
    const { desired, plan } = decide(deps, groupId)
    const former = new Set([...deps.cache.formerClaims(groupId).values()].map(({ pod }) => pod.uid))
    settleFormerClaims(deps, groupId, desired)
    const view = deps.book.view(groupId)
    const quota = Math.min(...Object.values(quotaOf(deps, groupId)))
    const outcomes = outcomesOf(groupId, { desired, view, waiting: plan.waiting, failed, failure, quota })
    deps.tell(groupId, outcomes, former)
    if (failure !== undefined) throw failure
    const delays = [
      ...(desired.refusals.length > 0 ? [REFUSED_AGAIN] : []),
      ...(failed.size > 0 ? [REFUSED_AGAIN] : []),
      ...(view.unseen.size > 0 ? [deps.readLag] : [])
    ]
    return delays.length === 0 ? {} : { againAfter: Math.min(...delays) }
  }
}

async function readWhatIsMissing(
  { book, cache, ec2, now, readLag }: ReconcileDeps,
  groupId: SecurityGroupId
): Promise<void> {
  const { doubtful, facts, observation } = book.record(groupId)
  const claimed = cache.viewsOf(groupId).some(({ end }) => end === undefined)
  const stale =
    facts === undefined ||
    (!(facts.exists && facts.optIn?.state === 'granted') && facts.readAt + REFUSED_AGAIN <= now())
  if (claimed && stale) {
    const readAt = now()
    book.takeGroups([groupId], await ec2.readGroups([groupId]), readAt)
  }
  const exists = book.record(groupId).facts?.exists !== false
  const unread = claimed && exists && observation.foreignAt === -Infinity
  const settled = observation.writes.some(
    ({ kind, at }) => (kind === 'maybeAuthorized' || kind === 'provenPresent') && at + readLag <= now()
  )
  if (unread || settled || doubtful) book.takeRules(await ec2.readRules([groupId]))
}

async function askPermissions({ cache, permissions }: ReconcileDeps, groupId: SecurityGroupId): Promise<void> {
  const living = cache.viewsOf(groupId).filter(({ end }) => end === undefined)
  await permissions.refresh(
    groupId,
    living.map(({ pod }) => pod)
  )
}

/** Authorize first, then revoke: nobody waits for a revoke. In a full group the other way round. */
async function converge(
  deps: ReconcileDeps,
  groupId: SecurityGroupId,
  failed: Map<RuleKey, Ec2Failure>
): Promise<void> {
  const failures: Ec2Failure[] = []
  const attempt = async (run: () => Promise<void>): Promise<boolean> => {
    try {
      await run()
      return true
    } catch (error) {
      if (!(error instanceof Ec2Failure)) throw error
      failures.push(error)
      return false
    }
  }
  const revokeExplained = (): Promise<boolean> =>
    attempt(() => revokeRules(deps, groupId, decide(deps, groupId).plan.revoke))

  // One quota error teaches the quota; the second round plans with it, and may have to revoke first.
  for (let round = 1; round <= 2; round++) {
    const { plan } = decide(deps, groupId)
    const freed = !plan.revokeFirst || (await revokeExplained())
    const now = decide(deps, groupId, freed ? undefined : () => false).plan
    const made = await attempt(() => authorizeClaims(deps, groupId, now.authorize, failed))
    if (made || failures.at(-1)?.kind !== 'quota' || round === 2) break
    failures.pop()
    await attempt(() => learnQuota(deps, groupId))
  }
  await revokeExplained()
  await attempt(() => revokeOrphans(deps, groupId))
  // The first failure tells most; quota is told by the waiting pods.
  const telling = failures.find(({ kind }) => kind !== 'quota') ?? failures[0]
  if (telling !== undefined) throw telling
}

/** Reads the group again and takes what it holds for all that it can hold, until the next sweep. */
async function learnQuota({ book, ec2, logger }: ReconcileDeps, groupId: SecurityGroupId): Promise<void> {
  book.takeRules(await ec2.readRules([groupId]))
  const { owned, foreign } = book.view(groupId)
  const rules = [...owned, ...foreign]
  const ipv6 = rules.filter(({ cidr }) => cidr.includes(':')).length
  book.learnQuota(groupId, { ipv4: rules.length - ipv6, ipv6 })
  logger.warn(
    { securityGroupID: groupId, ipv4: rules.length - ipv6, ipv6 },
    'security group is full, below RULES_PER_GROUP'
  )
}

function quotaOf({ book, rulesPerGroup }: ReconcileDeps, groupId: SecurityGroupId): Record<Family, number> {
  const { quota } = book.record(groupId)
  return {
    ipv4: Math.min(rulesPerGroup, quota.ipv4 ?? Infinity),
    ipv6: Math.min(rulesPerGroup, quota.ipv6 ?? Infinity)
  }
}

interface Decision {
  readonly desired: Desired
  readonly plan: Plan
}

/** What should be and what to do about it, from what is known at this moment. */
function decide(deps: ReconcileDeps, groupId: SecurityGroupId, explained = explainedBy(deps, groupId)): Decision {
  const { book, cache, permissions } = deps
  const { facts } = book.record(groupId)
  const around: Surroundings = {
    holder: (address) => cache.holder(address),
    permission: (pod) => permissions.leave(groupId, pod),
    optIn: leaveOf(facts?.optIn),
    exists: facts?.exists,
    optInTag: deps.optInTag,
    podCidrs: deps.podCidrs,
    nodeAddresses: deps.nodeAddresses()
  }
  const desired = desire(groupId, cache.viewsOf(groupId), around)
  return { desired, plan: planChanges(desired.claims, book.view(groupId), explained, quotaOf(deps, groupId)) }
}

/** A rule is explained when we saw its claim end, or when the pod that its description names is before us and does not claim it. */
function explainedBy({ cache, clusterId }: ReconcileDeps, groupId: SecurityGroupId): (rule: ObservedRule) => boolean {
  const former = cache.formerClaims(groupId)
  return (rule) => {
    if (former.has(ruleKey(rule))) return true
    const named = podDescribed(clusterId, rule.description)
    const view = named === undefined ? undefined : cache.named(named.namespace, named.name)
    const address = addressOf(rule)
    return (
      view !== undefined && address !== undefined && view.addresses.includes(address) && !cache.isVanished(view.pod.uid)
    )
  }
}

async function revokeOrphans(deps: ReconcileDeps, groupId: SecurityGroupId): Promise<void> {
  const { cluster, clusterId, logger, now } = deps
  const proven = new Set<string>()
  for (const rule of decide(deps, groupId).plan.orphans.slice(0, PROOFS_PER_RUN)) {
    const address = addressOf(rule)
    if (address === undefined) continue
    const named = podDescribed(clusterId, rule.description)
    const described = named === undefined ? undefined : await cluster.pod(named.namespace, named.name)
    const orphan = isProvenOrphan(groupId, rule, await cluster.podsAt(address), described, now())
    logger[orphan ? 'warn' : 'debug'](
      { securityGroupID: groupId, ruleID: rule.id, IP: address, proven: orphan },
      'found an orphan: a rule of ours that no pod explains'
    )
    if (orphan) proven.add(rule.id)
  }
  // A pod may have claimed one while the API server was asked.
  await revokeRules(
    deps,
    groupId,
    decide(deps, groupId).plan.orphans.filter(({ id }) => proven.has(id))
  )
}

/** Forgets former claims whose rule is gone, or is claimed again. */
function settleFormerClaims({ book, cache }: ReconcileDeps, groupId: SecurityGroupId, desired: Desired): void {
  const view = book.view(groupId)
  const there = new Set<RuleKey>([...view.owned.map(ruleKey), ...view.unseen.keys()])
  for (const key of [...cache.formerClaims(groupId).keys()]) {
    if (desired.claims.has(key) || !there.has(key)) cache.forget(groupId, key)
  }
}
