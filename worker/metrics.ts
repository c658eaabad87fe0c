/**
 * What the worker counts, as verbs. Names that dashboards know (client-go's, Prometheus' own) are kept; ours begin with `kube_sg_`.
 * No label ever names a pod or an address; a security group is a label of a few gauges alone, and they go when it goes.
 * Longer than most files here: the metrics of a process are best read in one place. docs/metrics.md tells what each is good for.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { VERSION } from '../shared/version.ts'
import type { QueueObserver } from './queue.ts'

/** A queue as it stands: keys that wait, and for how many seconds each of those at work has been. */
export interface QueueState {
  readonly depth: number
  readonly working: readonly number[]
}

/** A group that pods ask for, or that holds a rule of ours. */
export interface GroupState {
  readonly groupId: string
  /** Rules that it holds, foreign ones included, and how many it may hold. */
  readonly families: readonly { readonly family: string; readonly rules: number; readonly quota: number }[]
  /** Pods for which it has no room. */
  readonly waiting: number
}

/** What is read off at a scrape, at the cost of no more than one pass over the pods. */
export interface WorkerState {
  readonly pods: number
  readonly invalidPods: number
  readonly heldPods: number
  /** Seconds since the end of the pod that has been held longest; 0 when none is. */
  readonly oldestHold: number
  /** Pods times the groups that they ask for, by the reason of the outcome. */
  readonly podGroups: ReadonlyMap<string, number>
  readonly ownedRules: number
  readonly orphans: number
  readonly brakeEngaged: boolean
  /** The last look at everything could not read EC2. */
  readonly ec2Unreadable: boolean
  readonly groups: Iterable<GroupState>
  readonly queues: Readonly<Record<string, QueueState>>
}

export type WorkerMetrics = ReturnType<typeof createMetrics>

/** @param withProcess also those of Node and the process */
export function createMetrics(registry = new Registry(), withProcess = true) {
  if (withProcess) collectDefaultMetrics({ register: registry })
  const { make, onScrape } = makersFor(registry)
  const version = make.gauge('kube_sg_build_info', 'Always 1; the label tells which version runs', ['version'])
  version.set({ version: VERSION }, 1)
  return {
    registry,
    ...ec2Metrics(make),
    ...apiMetrics(make, onScrape),
    ...ruleMetrics(make),
    ...workMetrics(make),
    ...queueMetrics(make),
    ...stateMetrics(make, onScrape)
  }
}

type Makers = ReturnType<typeof makersFor>['make']
/** What was given under the name before is forgotten, with all that it held on to. */
type OnScrape = (name: string, fill: () => void) => void

/** Gauges of state are filled right before they are read: all at once, at the first of them that a scrape meets. */
function makersFor(registry: Registry) {
  const registers = [registry]
  const fills = new Map<string, () => void>()
  let filled = false
  const collect = (): void => {
    if (filled) return
    filled = true
    queueMicrotask(() => (filled = false))
    for (const fill of fills.values()) fill()
  }
  const make = {
    counter: <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
      new Counter({ name, help, labelNames, registers }),
    gauge: <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
      new Gauge({ name, help, labelNames, registers }),
    /** One that {@link OnScrape} fills. */
    state: <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
      new Gauge({ name, help, labelNames, registers, collect }),
    histogram: <L extends string>(
      name: string,
      help: string,
      buckets: number[],
      labelNames: readonly L[] = []
    ): Histogram<L> => new Histogram({ name, help, buckets, labelNames, registers })
  }
  return { make, onScrape: (name: string, fill: () => void) => void fills.set(name, fill) }
}

const CALL_SECONDS = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const LATENCY_SECONDS = [0.05, 0.1, 0.15, 0.3, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 600]
const LAG_SECONDS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 600]
const WAIT_SECONDS = [0.001, 0.01, 0.1, 0.5, 1, 5, 15, 60, 300]
/** Those of client-go are powers of ten from 10 ns, of which a queue with timers needs only the upper ones. */
const QUEUE_SECONDS = [0.0001, 0.001, 0.01, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600]

function ec2Metrics(make: Makers) {
  const action = ['action'] as const
  const calls = make.counter('kube_sg_ec2_calls_total', 'Calls to EC2; code is empty for those that succeeded', [
    ...action,
    'code'
  ])
  const throttles = make.counter('kube_sg_ec2_throttles_total', 'Calls that EC2 throttled', action)
  const seconds = make.histogram(
    'kube_sg_ec2_call_duration_seconds',
    'How long calls to EC2 took',
    CALL_SECONDS,
    action
  )
  const wait = make.histogram(
    'kube_sg_ec2_bucket_wait_seconds',
    'How long calls waited for our own rate limit before they left',
    WAIT_SECONDS,
    action
  )
  return {
    /** @param call times in seconds; `code` is empty when it succeeded */
    ec2Called(call: { action: string; code: string; seconds: number; throttled: boolean; waited: number }): void {
      calls.inc({ action: call.action, code: call.code })
      seconds.observe({ action: call.action }, call.seconds)
      wait.observe({ action: call.action }, call.waited)
      throttles.inc({ action: call.action }, call.throttled ? 1 : 0)
    }
  }
}

function apiMetrics(make: Makers, onScrape: OnScrape) {
  const requests = make.counter('rest_client_requests_total', 'Requests to the API server', ['code', 'method'])
  const seconds = make.histogram(
    'rest_client_request_duration_seconds',
    'From the request to the headers of the answer of the API server',
    CALL_SECONDS,
    ['verb']
  )
  const resource = ['resource'] as const
  const lists = make.counter(
    'kube_sg_watch_lists_total',
    'Times that all objects were listed, the first included',
    resource
  )
  const failures = make.counter(
    'kube_sg_watch_failures_total',
    'Lists and watches that failed; cause is expired when the API server had forgotten where we were (410), else other',
    [...resource, 'cause']
  )
  const silence = make.state(
    'kube_sg_watch_silence_seconds',
    'Since the API server last said something on the watch',
    resource
  )
  const eventsLost = make.counter('kube_sg_events_lost_total', 'Occurrences that no Event tells of')
  return {
    /** @param duration milliseconds */
    apiAnswered({ code, duration, method }: { code: string; duration: number; method: string }): void {
      requests.inc({ code, method })
      seconds.observe({ verb: method }, duration / 1000)
    },
    watchListed: (what: string) => lists.inc({ resource: what }),
    watchFailed: (what: string, cause: 'expired' | 'other') => failures.inc({ resource: what, cause }),
    eventsLost: (count: number) => eventsLost.inc(count),
    /** @param read seconds of silence by resource */
    watches: (read: () => Readonly<Record<string, number>>) =>
      onScrape('watches', () => {
        for (const [what, seconds] of Object.entries(read())) silence.set({ resource: what }, seconds)
      })
  }
}

function ruleMetrics(make: Makers) {
  const authorized = make.counter('kube_sg_rules_authorized_total', 'Rules authorized')
  const revoked = make.counter('kube_sg_rules_revoked_total', 'Rules revoked')
  const grantLatency = make.histogram(
    'kube_sg_grant_latency_seconds',
    "From the moment the worker knew a pod's address and wish to its rules in effect in one group",
    LATENCY_SECONDS
  )
  const revokeLag = make.histogram(
    'kube_sg_revoke_lag_seconds',
    'From the moment a claim ended, by the pod itself, to the revocation of its rule',
    LAG_SECONDS
  )
  const drift = make.counter(
    'kube_sg_drift_total',
    'Rules that were in effect, went without our doing, and were made again; kind is deleted for ours, foreign for others that a pod relied on',
    ['kind']
  )
  drift.inc({ kind: 'deleted' }, 0)
  drift.inc({ kind: 'foreign' }, 0)
  const found = make.counter('kube_sg_orphans_found_total', 'Rules of ours met that nothing we know explains')
  const namesakes = make.gauge(
    'kube_sg_namesake_rules',
    'Rules that carry the owner tag of another cluster with our CLUSTER_ID; docs/ownership.md says how to adopt them'
  )
  const orphansRevoked = make.counter(
    'kube_sg_orphans_revoked_total',
    'Orphans that were proven to be such, and revoked'
  )
  return {
    authorized: (count: number) => authorized.inc(count),
    revoked: (count: number) => revoked.inc(count),
    /** @param seconds see the metric */
    grantedAfter: (seconds: number) => grantLatency.observe(Math.max(0, seconds)),
    revokedAfter: (seconds: number) => revokeLag.observe(Math.max(0, seconds)),
    drifted: (kind: 'deleted' | 'foreign') => drift.inc({ kind }),
    orphansFound: (count: number) => found.inc(count),
    orphansRevoked: (count: number) => orphansRevoked.inc(count),
    namesakeRules: (count: number) => namesakes.set(count)
  }
}

function workMetrics(make: Makers) {
  const released = make.counter('kube_sg_pods_released_total', 'Finalizers taken off; forced ones after MAX_HOLD', [
    'forced'
  ])
  for (const forced of ['false', 'true']) released.inc({ forced }, 0)
  const marks = make.counter('kube_sg_marks_restored_total', 'Finalizers and labels put back on living pods')
  const sweeps = make.counter('kube_sg_sweeps_total', 'Looks at everything', ['result'])
  for (const result of ['success', 'error']) sweeps.inc({ result }, 0)
  const swept = make.gauge(
    'kube_sg_sweep_last_success_timestamp_seconds',
    'When the last look at everything succeeded, in seconds since 1970; 0 before the first'
  )
  const leading = make.gauge('leader_election_master_status', '1 while this worker leads', ['name'])
  return {
    released: (forced: boolean) => released.inc({ forced: String(forced) }),
    markRestored: () => marks.inc(),
    /** @param at milliseconds since 1970 */
    swept(result: 'success' | 'error', at: number): void {
      sweeps.inc({ result })
      if (result === 'success') swept.set(at / 1000)
    },
    leads: (lease: string, isLeading: boolean) => leading.set({ name: lease }, isLeading ? 1 : 0)
  }
}

function queueMetrics(make: Makers) {
  const name = ['name'] as const
  const adds = make.counter('workqueue_adds_total', 'Keys added to the queue', name)
  const retries = make.counter('workqueue_retries_total', 'Runs that failed and come back', name)
  const waited = make.histogram('workqueue_queue_duration_seconds', 'How long keys waited', QUEUE_SECONDS, name)
  const worked = make.histogram('workqueue_work_duration_seconds', 'How long runs took', QUEUE_SECONDS, name)
  return {
    queueObserver(queue: string): QueueObserver {
      const labels = { name: queue }
      adds.inc(labels, 0)
      retries.inc(labels, 0)
      return {
        added: () => adds.inc(labels),
        started: (milliseconds) => waited.observe(labels, milliseconds / 1000),
        ended: (milliseconds) => worked.observe(labels, milliseconds / 1000),
        retried: () => retries.inc(labels)
      }
    }
  }
}

function stateMetrics(make: Makers, onScrape: OnScrape) {
  const fills: ((state: WorkerState) => void)[] = [podGauges(make), groupGauges(make), queueGauges(make)]
  return {
    /** What the gauges of state show from now on; without it they show nothing. */
    shows: (read: () => WorkerState) =>
      onScrape('state', () => {
        const state = read()
        for (const fill of fills) fill(state)
      })
  }
}

function podGauges(make: Makers): (state: WorkerState) => void {
  const pods = make.state('kube_sg_pods', 'Pods that are watched')
  const invalid = make.state('kube_sg_pods_invalid', 'Pods of which an annotation of ours is refused')
  const held = make.state('kube_sg_pods_held', 'Ended pods that our finalizer still holds')
  const oldest = make.state('kube_sg_oldest_hold_seconds', 'Since the end of the pod that has been held longest')
  const podGroups = make.state(
    'kube_sg_pod_groups',
    'Pods times the security groups that they ask for, by what they have of them: RulesInEffect, or the reason why not',
    ['reason']
  )
  return (state) => {
    pods.set(state.pods)
    invalid.set(state.invalidPods)
    held.set(state.heldPods)
    oldest.set(state.oldestHold)
    podGroups.reset()
    for (const [reason, count] of state.podGroups) podGroups.set({ reason }, count)
  }
}

function groupGauges(make: Makers): (state: WorkerState) => void {
  const labels = ['security_group', 'family'] as const
  const owned = make.state('kube_sg_owned_rules', 'Rules of ours in EC2, as known')
  const orphans = make.state(
    'kube_sg_orphan_rules',
    'Rules of ours that nothing we know explains, not proven orphans yet'
  )
  const brake = make.state('kube_sg_brake_engaged', '1 while too many rules of living pods would be withdrawn at once')
  const unreadable = make.state('kube_sg_ec2_unreadable', '1 when the last look at everything could not read EC2')
  const rules = make.state('kube_sg_group_rules', 'Ingress rules that the group holds, foreign ones included', labels)
  const quota = make.state(
    'kube_sg_group_rules_quota',
    'Ingress rules that the group may hold, as far as known',
    labels
  )
  const waiting = make.state('kube_sg_group_waiting_pods', 'Pods that wait for room in the group', ['security_group'])
  return (state) => {
    owned.set(state.ownedRules)
    orphans.set(state.orphans)
    brake.set(state.brakeEngaged ? 1 : 0)
    unreadable.set(state.ec2Unreadable ? 1 : 0)
    for (const gauge of [rules, quota, waiting]) gauge.reset()
    for (const group of state.groups) {
      const named = { security_group: group.groupId }
      waiting.set(named, group.waiting)
      for (const { family, ...count } of group.families) {
        rules.set({ ...named, family }, count.rules)
        quota.set({ ...named, family }, count.quota)
      }
    }
  }
}

function queueGauges(make: Makers): (state: WorkerState) => void {
  const name = ['name'] as const
  const depth = make.state('workqueue_depth', 'Keys that wait', name)
  const unfinished = make.state(
    'workqueue_unfinished_work_seconds',
    'How long all runs at work have taken so far',
    name
  )
  const longest = make.state(
    'workqueue_longest_running_processor_seconds',
    'How long the longest of the runs at work has taken so far',
    name
  )
  return ({ queues }) => {
    for (const [queue, { depth: waiting, working }] of Object.entries(queues)) {
      depth.set({ name: queue }, waiting)
      unfinished.set(
        { name: queue },
        working.reduce((sum, seconds) => sum + seconds, 0)
      )
      longest.set({ name: queue }, Math.max(0, ...working))
    }
  }
}
