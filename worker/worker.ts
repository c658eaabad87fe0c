/**
 * The worker put together: what it watches, its two queues, and the sweep. Does its work only while it leads.
 * Longer than most files here: it is a list of wires.
 */
import { createNetwork } from '../shared/address.ts'
import type { Logger } from '../shared/logger.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { backoff } from './backoff.ts'
import type { Cluster } from './cluster.ts'
import { desiredOf } from './decision.ts'
import { podDescribed } from './description.ts'
import { HANDLING } from './failures.ts'
import { createBrake } from './brake.ts'
import { createFindings } from './findings.ts'
import { createGroupBook } from './groupBook.ts'
import { shareGroupReads } from './groupReads.ts'
import { createMeasure } from './measure.ts'
import type { QueueState, WorkerMetrics } from './metrics.ts'
import type { Outcome } from './outcomes.ts'
import { createPermissionLedger } from './permissionLedger.ts'
import type { PermissionOptions } from './permissionLedger.ts'
import { createPodCache } from './podCache.ts'
import type { PodCache } from './podCache.ts'
import { createProver } from './prover.ts'
import { createQueue } from './queue.ts'
import type { Queue, Timers } from './queue.ts'
import { createReconciler } from './reconcile.ts'
import type { ReconcileDeps } from './reconcile.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { ObservedRule, SecurityGroups } from './securityGroups.ts'
import { createSettler } from './settle.ts'
import type { PodEvent } from './settle.ts'
import type { WorkerSettings } from './settings.ts'
import { leaveOf } from './standing.ts'
import { enqueuePods } from './sweep.ts'
import { createSweeper } from './sweeper.ts'
import { optInTag } from '../shared/names.ts'
import { ruleKey } from '../shared/rules.ts'

export interface WorkerDeps {
  readonly settings: WorkerSettings
  readonly ec2: SecurityGroups
  readonly cluster: Cluster
  readonly mayUse: PermissionOptions['mayUse']
  readonly nodes: { names(): ReadonlySet<string>; addresses(): ReadonlySet<string> }
  readonly record: (event: PodEvent) => void
  readonly metrics: WorkerMetrics
  readonly logger: Logger
  /** By a monotonic clock: a step of the wall clock must not make old reads look new. */
  readonly timers: Timers
  /** Milliseconds since 1970, as the pods' own timestamps. */
  readonly wallClock: () => number
}

export interface Worker {
  /** Fed by the watch, whether it leads or not, so that a standby knows all when it takes over. */
  readonly cache: PodCache
  /** The watch shows other nodes than before. */
  nodesChanged(): void
  /** Begins to work; the watch must have been in sync before. */
  lead(): void
  /** Everything in EC2 has been read since it leads. */
  trusted(): boolean
  /** Why the last look at everything failed; undefined: it did not. */
  trouble(): Outcome | undefined
  /** Starts nothing new and waits for what runs. */
  stop(): Promise<void>
}

/**
 * So many groups and pods are worked on at once; the rates of calls are limited elsewhere. Most of a group's run is waiting for its turn to
 * authorize, and whoever has only something to revoke must find a place.
 */
const GROUPS_AT_ONCE = 1024
const PODS_AT_ONCE = 16

export function createWorker(deps: WorkerDeps): Worker {
  const { cluster, ec2, logger, metrics, settings, timers, wallClock } = deps
  const now = (): number => timers.now()
  let unreadable: Outcome | undefined
  let leadsFrom = Infinity
  let state: 'standby' | 'leading' | 'trusted' | 'stopped' = 'standby'

  const enqueueGroup = (groupId: SecurityGroupId): void => {
    if (state !== 'trusted') return
    groupQueue.add(groupId)
    if (reconciler.isRunning(groupId) && cache.formerClaims(groupId).size > 0) endingQueue.add(groupId)
  }
  const enqueuePod = (uid: string): void => {
    if (state === 'leading' || state === 'trusted') podQueue.add(uid)
  }

  const cache = createPodCache({
    groupsTouched: (groupIds) => {
      for (const groupId of groupIds) enqueueGroup(groupId)
    },
    podTouched: enqueuePod
  })
  const book = createGroupBook(settings.EC2_READ_LAG)
  const findings = createFindings()
  const permissions = createPermissionLedger({
    mode: settings.PERMISSIONS,
    mayUse: deps.mayUse,
    timers,
    onLate: enqueueGroup,
    trustFor: settings.SWEEP_INTERVAL,
    logger
  })

  const brake = createBrake()
  const measure = createMeasure({ metrics, cache, findings, book, brake, logger, wallClock })
  const noteRevoked = (groupId: SecurityGroupId, rules: readonly ObservedRule[]): void => {
    measure.revoked(groupId, rules)
    for (const rule of rules) {
      const named = podDescribed(settings.CLUSTER_ID, rule.description)
      const view = named === undefined ? undefined : cache.named(named.namespace, named.name)
      if (view !== undefined) enqueuePod(view.pod.uid)
    }
  }
  const reconcileDeps: ReconcileDeps = {
    book,
    brake,
    cache,
    prove: createProver({
      cluster,
      clusterId: settings.CLUSTER_ID,
      hasLostClaim: (groupId, pod) =>
        cache.view(pod.uid)?.end !== undefined ||
        leaveOf(book.record(groupId).facts?.optIn) === 'refused' ||
        permissions.leave(groupId, pod) === 'refused',
      logger,
      now,
      onUnlabelled(pod) {
        // The next pass over all pods would find it too, but that may be ten minutes away.
        const known = cache.view(pod.uid) ?? cache.named(pod.namespace, pod.name)
        if (known === undefined && (pod.annotated || pod.finalized)) cache.change(pod, wallClock())
      }
    }),
    claimsOf: (groupId) => desiredOf(reconcileDeps, groupId).claims,
    clusterId: settings.CLUSTER_ID,
    ec2: { ...ec2, readGroups: shareGroupReads((groupIds) => ec2.readGroups(groupIds)) },
    logger,
    nodeAddresses: () => deps.nodes.addresses(),
    now,
    onAttempted(uids) {
      for (const uid of uids) {
        if (findings.of(uid).attempted) continue
        findings.markAttempted(uid)
        enqueuePod(uid)
      }
    },
    onAuthorized(groupId, claims) {
      measure.granted(groupId, claims)
      // Whoever ended in the meantime has left what was made for him.
      if (cache.formerClaims(groupId).size > 0) enqueueGroup(groupId)
    },
    onOrphansRevoked: (count) => metrics.orphansRevoked(count),
    onModified(groupId, changes) {
      // A change of the description alone serves the same pod as before.
      const moved = changes.filter(({ before, claim }) => before.every((rule) => ruleKey(rule) !== ruleKey(claim.rule)))
      measure.granted(
        groupId,
        moved.map(({ claim }) => claim)
      )
      noteRevoked(
        groupId,
        moved.flatMap(({ before }) => before.slice(-1))
      )
    },
    onRevoked: noteRevoked,
    optInTag: optInTag(settings.CLUSTER_ID),
    permissions,
    podNetwork: createNetwork(settings.POD_CIDRS),
    readLag: settings.EC2_READ_LAG,
    readsCompleteFrom: () => leadsFrom + settings.EC2_READ_LAG,
    rulesPerGroup: settings.RULES_PER_GROUP,
    trustFor: 1.5 * settings.SWEEP_INTERVAL,
    tell(groupId, outcomes, former, summary) {
      measure.told(groupId, summary)
      // What was revoked of a living pod is no attempt to end its hold.
      for (const uid of former) if (cache.view(uid)?.end !== undefined) findings.markAttempted(uid)
      for (const uid of new Set([...findings.tell(groupId, outcomes, wallClock()), ...former])) enqueuePod(uid)
    }
  }
  const reconciler = createReconciler(reconcileDeps)

  const settle = createSettler({
    book,
    cache,
    claimsOf: reconcileDeps.claimsOf,
    cluster,
    clusterId: settings.CLUSTER_ID,
    findings: (uid) => findings.of(uid),
    forget: (uid) => findings.forget(uid),
    logger,
    maxHold: settings.MAX_HOLD,
    now,
    wallClock,
    onReleased(view, forced) {
      metrics.released(forced)
      // Without our label no event will tell that it is gone.
      if (!view.pod.labelled) cache.gone(view.pod.uid, wallClock())
      else if (view.pod.gracePeriodSeconds === 0) cache.expectGone(view.pod.uid)
    },
    onMarked: () => metrics.markRestored(),
    record: deps.record,
    trusted: () => state === 'trusted'
  })

  const groups = {
    timers,
    concurrency: GROUPS_AT_ONCE,
    coalesce: settings.COALESCE,
    retryAfter(error: unknown, failures: number): number {
      const { retryAfter, slowest } = HANDLING[error instanceof Ec2Failure ? error.kind : 'unavailable']
      return backoff(failures, retryAfter, slowest, timers.chance())
    }
  }
  const groupQueue: Queue<SecurityGroupId> = createQueue({
    ...groups,
    run: (groupId) => reconciler.run(groupId),
    observer: metrics.queueObserver('groups'),
    onError: (securityGroupID, err, failures, retryAfter) =>
      logger.warn({ err, securityGroupID, failures, retryAfter }, 'security group could not be reconciled')
  })
  /** Groups in whose run, while it waits, something has ended. */
  const endingQueue: Queue<SecurityGroupId> = createQueue({
    ...groups,
    async run(groupId) {
      try {
        await reconciler.revokeMeanwhile(groupId)
      } finally {
        // It may outlast the run, and what it took away be asked for again by a pod that the next run found served.
        groupQueue.add(groupId)
      }
      return {}
    },
    onError: (securityGroupID, err, failures, retryAfter) =>
      logger.warn({ err, securityGroupID, failures, retryAfter }, 'what ended could not be revoked')
  })
  const podQueue: Queue<string> = createQueue({
    run: settle,
    timers,
    concurrency: PODS_AT_ONCE,
    coalesce: settings.COALESCE,
    observer: metrics.queueObserver('pods'),
    retryAfter: (_error, failures) => backoff(failures, 500, 15_000, timers.chance()),
    onError: (podUID, err, failures, retryAfter) =>
      logger.warn({ err, podUID, failures, retryAfter }, 'pod could not be settled')
  })

  const sweeper = createSweeper({
    book,
    cache,
    cluster,
    ec2,
    enqueueGroup,
    enqueuePod,
    logger,
    nodeNames: () => deps.nodes.names(),
    now,
    onNamesakes: (rules) => measure.namesakes(rules),
    wallClock,
    timers,
    interval: settings.SWEEP_INTERVAL,
    readLag: settings.EC2_READ_LAG,
    onOwnedRead() {
      if (state === 'leading') state = 'trusted'
    },
    onReadable() {
      unreadable = undefined
      findings.setTrouble(undefined)
    },
    onUnreadable(trouble) {
      unreadable = trouble
      findings.setTrouble(trouble)
      for (const { end, pod } of cache.views()) {
        if (end !== undefined) findings.markAttempted(pod.uid)
        enqueuePod(pod.uid)
      }
    },
    onDone: (result) => metrics.swept(result, wallClock())
  })

  const stateOf = (queue: Queue<SecurityGroupId> | Queue<string>): QueueState => ({
    depth: queue.depth,
    working: queue.startedAt().map((at) => (now() - at) / 1000)
  })
  metrics.shows(() =>
    measure.state(
      { groups: stateOf(groupQueue), pods: stateOf(podQueue) },
      unreadable !== undefined && unreadable.reason !== 'PodsUnreadable'
    )
  )

  return {
    cache,
    nodesChanged() {
      cache.reviewNodes(deps.nodes.names(), wallClock())
      sweeper.nodesChanged()
    },
    lead() {
      if (state !== 'standby') return
      state = 'leading'
      leadsFrom = now()
      cache.beginRemembering(wallClock())
      enqueuePods({ cache, enqueuePod })
      sweeper.start()
    },
    trusted: () => state === 'trusted',
    trouble: () => unreadable,
    async stop() {
      state = 'stopped'
      await Promise.all([groupQueue.stop(), endingQueue.stop(), podQueue.stop(), sweeper.stop()])
    }
  }
}
