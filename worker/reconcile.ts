/**
 * The order of I/O for one security group, once: read what is not known, ask what is permitted, plan, authorize, revoke, tell.
 *
 * One run per group at a time, so this file has no locks. Whatever happens between two awaits is seen by the next run, for
 * every event adds the group to the queue again. Longer than most files here: the order of the steps is what it is for.
 */
import { ruleKey } from '../shared/rules.ts'
import type { RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { decide, isStillAskedFor, misdescribed, quotaOf } from './decision.ts'
import type { Desired } from './desired.ts'
import { podDescribed } from './description.ts'
import { HANDLING } from './failures.ts'
import { summarize } from './groupSummary.ts'
import type { GroupSummary } from './groupSummary.ts'
import { modifyRules } from './modifyRules.ts'
import { addressOf } from './orphans.ts'
import { outcomesOf } from './outcomes.ts'
import type { Outcome } from './outcomes.ts'
import type { Prover } from './prover.ts'
import { createRefusals } from './refusals.ts'
import type { Refusals } from './refusals.ts'
import { revokeEnded, revokeOnce } from './revokeEnded.ts'
import type { Ending } from './revokeEnded.ts'
import { attemptInto, authorizeMissing, revokeExplained, UNEXPLAINED } from './rounds.ts'
import type { Refused, RoundDeps } from './rounds.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { ObservedRule } from './securityGroups.ts'

export interface ReconcileDeps extends RoundDeps {
  readonly prove: Prover
  /** EC2_READ_LAG, milliseconds. */
  readonly readLag: number
  /** How long a read of a whole group is believed that no sweep renews, milliseconds. */
  readonly trustFor: number
  /** What each pod has of the group now; `former` are the pods whose former rules this run tried to revoke. */
  readonly tell: (
    groupId: SecurityGroupId,
    outcomes: ReadonlyMap<string, Outcome>,
    former: ReadonlySet<string>,
    summary: GroupSummary
  ) => void
  readonly onOrphansRevoked: (count: number) => void
}

/** Refused pods are looked at again this often, in milliseconds: a tag or a Role may have come. */
const REFUSED_AGAIN = 15_000

export interface Reconciler {
  /** Rejects with {@link Ec2Failure} when EC2 stopped it, having told the pods. One at a time for each group. */
  run(groupId: SecurityGroupId): Promise<{ againAfter?: number; idle?: boolean }>
  isRunning(groupId: SecurityGroupId): boolean
  /**
   * Revokes what pods have left that ended since the run under way began; without one, the next run will. It may outlast the run: the group
   * must be run again after it. @throws Ec2Failure
   */
  revokeMeanwhile(groupId: SecurityGroupId): Promise<void>
}

export function createReconciler(deps: ReconcileDeps): Reconciler {
  const lately = createRefusals(deps.now)
  const endings = new Map<SecurityGroupId, Ending>()
  /** What is revoked apart from a run may outlast it. */
  const revoking = new Map<SecurityGroupId, Set<string>>()
  return {
    isRunning: (groupId) => endings.has(groupId),
    async run(groupId) {
      const underWay = revoking.get(groupId) ?? new Set<string>()
      revoking.set(groupId, underWay)
      const ending = { tried: new Set<string>(), underWay }
      endings.set(groupId, ending)
      try {
        return await reconcile(deps, groupId, lately, ending)
      } finally {
        endings.delete(groupId)
        if (underWay.size === 0) revoking.delete(groupId)
      }
    },
    async revokeMeanwhile(groupId) {
      await askPermissions(deps, groupId)
      const ending = endings.get(groupId)
      if (ending === undefined) return
      try {
        await revokeEnded(deps, groupId, ending)
      } catch (error) {
        if (error instanceof Ec2Failure && HANDLING[error.kind].observeAgain) deps.book.doubt(groupId)
        throw error
      }
    }
  }
}

async function reconcile(
  deps: ReconcileDeps,
  groupId: SecurityGroupId,
  lately: Refusals,
  ending: Ending
): Promise<{ againAfter?: number; idle?: boolean }> {
  const before = deps.book.record(groupId)
  const failures: Error[] = []
  const attempt = attemptInto(failures)
  let orphansAgain: number | undefined
  const unread = await attempt(() => readWhatIsMissing(deps, groupId))
  await askPermissions(deps, groupId)
  const failed = lately.of(groupId)
  const suspect = lately.due(groupId)
  if (unread !== undefined || !isAsItShouldBe(deps, groupId)) {
    // Nothing new on an old view. But whatever could not be read or authorized: nothing keeps us from revoking what ended.
    const ended = attempt(() => revokeEnded(deps, groupId, ending))
    if (unread === undefined)
      failures.push(...(await authorizeMissing(deps, groupId, { failed, suspect }, ended, ending)))
    lately.remember(groupId, failed)
    await ended
    const { makeRoom, revoke } = decide(deps, groupId, { failed, suspect }).plan
    // What came to make room since then goes with the next run, which gives its place to whom it was.
    const rest = unread === undefined ? revoke.filter((rule) => !makeRoom.includes(rule)) : revoke
    await attempt(() => revokeExplained(deps, groupId, rest, ending))
    await attempt(async () => {
      orphansAgain = await revokeOrphans(deps, groupId, ending)
    })
  } else deps.brake.takeBack(groupId)
  if (unread === undefined) await correctDescriptions(deps, groupId)
  const refusals = failures.filter((failure) => failure instanceof Ec2Failure)
  if (refusals.some(({ kind }) => HANDLING[kind].observeAgain)) deps.book.doubt(groupId)
  // Whatever happened, the pods are told what is so now. Of a full group those that wait tell by themselves.
  const telling = refusals.find(({ kind }) => kind !== 'quota') ?? refusals[0]
  // That the lease is in doubt is nothing that a pod's owner could mend.
  const told = telling?.kind === 'notLeading' ? undefined : telling
  const again = conclude(deps, groupId, lately, { failed, suspect }, told)
  const [failure] = telling === undefined ? failures : [telling]
  if (failure !== undefined) throw failure
  const delays = [again, orphansAgain].filter((delay) => delay !== undefined)
  // Every call to EC2 that succeeds is noted in the book; and who waits for something is not asked for anew at every event.
  const idle = deps.book.record(groupId) === before && delays.length === 0
  return delays.length === 0 ? { idle } : { idle, againAfter: Math.min(...delays) }
}

/** Most runs of a sweep find nothing to do, and need not ask for each step anew. */
function isAsItShouldBe(deps: ReconcileDeps, groupId: SecurityGroupId): boolean {
  const { owned, uncertain } = deps.book.view(groupId)
  if (uncertain.length > 0 || deps.cache.formerClaims(groupId).size > 0) return false
  const { desired, plan } = decide(deps, groupId)
  if (plan.authorize.length + plan.modify.length > 0) return false
  return owned.every((rule) => desired.claims.has(ruleKey(rule)))
}

/** @returns when to run again though nothing happens, in milliseconds */
function conclude(
  deps: ReconcileDeps,
  groupId: SecurityGroupId,
  lately: Refusals,
  { failed, suspect }: Refused,
  failure: Ec2Failure | undefined
): number | undefined {
  const { book, cache } = deps
  const { desired, plan } = decide(deps, groupId, { failed, suspect, ...UNEXPLAINED })
  const former = new Set([...cache.formerClaims(groupId).values()].map(({ pod }) => pod.uid))
  for (const uid of heldBy(deps, groupId, plan.orphans)) former.add(uid)
  // Most of what is left over is explained, and merely could not be revoked.
  const orphans = plan.orphans.length === 0 ? [] : decide(deps, groupId).plan.orphans
  settleFormerClaims(deps, groupId, desired)
  const view = book.view(groupId)
  const quota = quotaOf(deps, groupId)
  const { waiting } = plan
  const missing = book.record(groupId).facts?.exists === false
  deps.tell(
    groupId,
    outcomesOf(groupId, { desired, view, waiting, failed, failure, quota, former }),
    former,
    summarize({ desired, missing, orphans, quota, view, waiting })
  )
  const { owned, foreign, unseen } = view
  const proven = [...unseen].filter(([, state]) => state === 'proven').map(([key]) => key)
  const there = new Set<RuleKey>([...[...owned, ...foreign].map(ruleKey), ...proven])
  lately.keepOnly(groupId, (key) => desired.claims.has(key) && !there.has(key))
  const delays = [
    ...(desired.refusals.length > 0 || failed.size + suspect.size > 0 ? [REFUSED_AGAIN] : []),
    ...(view.unseen.size > 0 ? [deps.readLag] : [])
  ]
  return delays.length === 0 ? undefined : Math.min(...delays)
}

/** Reads what was never read, what is doubtful, and what no sweep has renewed: of a group that nobody claimed the sweep reads only our rules. */
async function readWhatIsMissing(
  { book, cache, ec2, now, readLag, trustFor }: ReconcileDeps,
  groupId: SecurityGroupId
): Promise<void> {
  const { doubtful, facts, observation } = book.record(groupId)
  const claimed = cache.viewsOf(groupId).some(({ end }) => end === undefined)
  const trust = facts?.exists === true && facts.optIn?.state === 'granted' ? trustFor : REFUSED_AGAIN
  if (claimed && (facts === undefined || facts.readAt + trust <= now())) {
    const readAt = now()
    book.takeGroups([groupId], await ec2.readGroups([groupId]), readAt)
  }
  const exists = book.record(groupId).facts?.exists !== false
  const unread = claimed && exists && observation.foreignAt + trustFor <= now()
  const settled = observation.writes.some(
    ({ kind, at }) =>
      (kind === 'maybeAuthorized' || kind === 'maybeModified' || kind === 'provenPresent') && at + readLag <= now()
  )
  if (unread || settled || doubtful) book.takeRules(await ec2.readRules([groupId], book.knownRules(groupId)))
}

async function askPermissions({ cache, permissions }: ReconcileDeps, groupId: SecurityGroupId): Promise<void> {
  const living = cache.viewsOf(groupId).filter(({ end }) => end === undefined)
  await permissions.refresh(
    groupId,
    living.map(({ pod }) => pod)
  )
}

/** Nobody waits for it, and nobody is told when it fails: the next sweep tries again. */
async function correctDescriptions(deps: ReconcileDeps, groupId: SecurityGroupId): Promise<void> {
  const changes = misdescribed(deps, groupId)
  try {
    await modifyRules(deps, groupId, changes, new Map())
  } catch (err) {
    if (!(err instanceof Ec2Failure)) throw err
    deps.logger.warn({ err, securityGroupID: groupId }, 'descriptions of rules could not be corrected')
    deps.book.refuseModify(
      groupId,
      changes.map(({ ruleId }) => ruleId)
    )
  }
}

/** @returns when to look again, in milliseconds */
async function revokeOrphans(
  deps: ReconcileDeps,
  groupId: SecurityGroupId,
  ending: Ending
): Promise<number | undefined> {
  const { orphans } = decide(deps, groupId).plan
  if (orphans.length === 0) return undefined
  const { againAfter, proven } = await deps.prove(groupId, orphans)
  // A pod may have claimed one while the API server was asked; and one that was found by asking explains it for a moment, and is gone.
  const { plan } = decide(deps, groupId)
  const explained = plan.revoke.filter((rule) => !isStillAskedFor(deps, groupId, rule))
  const still = [...plan.orphans, ...explained].filter(({ id }) => proven.has(id))
  await revokeOnce(deps, groupId, still, ending)
  deps.onOrphansRevoked(still.length)
  return againAfter
}

/** Ended pods that the group, or a rule left in it, may keep from being released: this run was an attempt for them too. */
function heldBy(
  { cache, clusterId }: ReconcileDeps,
  groupId: SecurityGroupId,
  left: readonly ObservedRule[]
): string[] {
  const described = left.map(({ description }) => {
    const named = podDescribed(clusterId, description)
    return named === undefined ? undefined : cache.named(named.namespace, named.name)
  })
  // Whoever had the address of such a rule is held by it, and may never have asked for the group.
  const addressed = left.flatMap((rule) => cache.endedAt(addressOf(rule) ?? ''))
  return [...cache.viewsOf(groupId), ...described, ...addressed]
    .filter((view) => view !== undefined)
    .filter(({ end, pod }) => end !== undefined && pod.finalized)
    .map(({ pod }) => pod.uid)
}

/** Forgets former claims whose rule is gone, or is claimed again. */
function settleFormerClaims({ book, cache }: ReconcileDeps, groupId: SecurityGroupId, desired: Desired): void {
  const view = book.view(groupId)
  const there = new Set<RuleKey>([...view.owned.map(ruleKey), ...view.unseen.keys()])
  for (const key of [...cache.formerClaims(groupId).keys()]) {
    if (desired.claims.has(key) || !there.has(key)) cache.forget(groupId, key)
  }
}
