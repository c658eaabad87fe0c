/** What the webhook counts. The first three carry controller-runtime's names, which dashboards know. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import type { Metric } from 'prom-client'
import { VERSION } from '../shared/version.ts'
import { decisionOf, reasonsOf } from './verdict.ts'
import type { Decision, Verdict } from './verdict.ts'

/** Only these become label values: whoever reaches the port may send any name. */
const RESOURCES = new Set([
  'pods',
  'pods/status',
  'pods/binding',
  'bindings',
  'deployments',
  'statefulsets',
  'daemonsets',
  'replicasets',
  'replicationcontrollers',
  'jobs',
  'cronjobs',
  'podtemplates'
])
const OTHER = 'other'

export interface Meter {
  /** A request begins; what it returns belongs to its `end`. */
  start(): number
  /** @param code the HTTP code of the answer */
  end(startedAt: number, code: number): void
}

export interface WebhookMetrics {
  readonly registry: Registry
  /** Counts the requests of one path. */
  meter(path: string): Meter
  decided(resource: string, verdict: Verdict): void
  certificateRead(error: boolean): void
  /** @param notAfter milliseconds since 1970 */
  certificateServed(notAfter: number): void
}

export function createMetrics(): WebhookMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const build = new Gauge({
    name: 'kube_sg_build_info',
    help: 'Always 1; the label tells which version runs',
    labelNames: ['version'],
    registers
  })
  build.set({ version: VERSION }, 1)
  const decisions = new Map([...RESOURCES, OTHER].map((resource) => [resource, new Map<Decision, number>()]))
  new Counter({
    name: 'kube_sg_webhook_decisions_total',
    help: 'Decisions by resource and outcome: allowed, patched, invalid, permission or subresource',
    labelNames: ['resource', 'outcome'],
    registers,
    collect() {
      this.reset()
      for (const [resource, outcomes] of decisions)
        for (const [outcome, count] of outcomes) this.inc({ resource, outcome }, count)
    }
  })
  const denials = new Counter({
    name: 'kube_sg_webhook_denials_total',
    help: 'Denied requests by reason; one that has several counts for each of them',
    labelNames: ['reason'],
    registers
  })
  const reads = new Counter({
    name: 'certwatcher_read_certificate_total',
    help: 'Readings of a serving certificate that had changed',
    registers
  })
  const readErrors = new Counter({
    name: 'certwatcher_read_certificate_errors_total',
    help: 'Readings of a serving certificate that could not be used',
    registers
  })
  const notAfter = new Gauge({
    name: 'kube_sg_webhook_certificate_not_after_timestamp_seconds',
    help: 'When the certificate being served ends, in seconds since 1970',
    registers
  })
  return {
    registry,
    meter: countRequests(registry),
    decided(resource, verdict) {
      count(decisions.get(resource) ?? decisions.get(OTHER), decisionOf(verdict))
      for (const reason of reasonsOf(verdict)) denials.inc({ reason })
    },
    certificateRead(error) {
      reads.inc()
      if (error) readErrors.inc()
    },
    certificateServed: (end) => notAfter.set(end / 1000)
  }
}

/** Seconds. */
const BUCKETS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5]

/** What is known of the requests of one path. */
interface Requests {
  readonly path: string
  inFlight: number
  /** By HTTP code. */
  readonly codes: Map<number, number>
  /** Those that took no longer than the bound of the same index and longer than the one before; those above all are last. */
  readonly buckets: number[]
  seconds: number
}

/**
 * Counts in plain numbers, and hands them over when the metrics are read: prom-client's own counting looks labels up by
 * hashing them, which took as long as the review itself.
 */
function countRequests(registry: Registry): (path: string) => Meter {
  const all: Requests[] = []
  publish(registry, all)
  return (path) => {
    const buckets = [...BUCKETS, Infinity].map(() => 0)
    const requests: Requests = { path, inFlight: 0, codes: new Map(), buckets, seconds: 0 }
    all.push(requests)
    return {
      start() {
        requests.inFlight++
        return performance.now()
      },
      end(startedAt, code) {
        const seconds = (performance.now() - startedAt) / 1000
        let bucket = 0
        while (seconds > (BUCKETS[bucket] ?? Infinity)) bucket++
        buckets[bucket] = (buckets[bucket] ?? 0) + 1
        requests.seconds += seconds
        requests.inFlight--
        count(requests.codes, code)
      }
    }
  }
}

function count<K>(counts: Map<K, number> | undefined, key: K): void {
  counts?.set(key, (counts.get(key) ?? 0) + 1)
}

function publish(registry: Registry, all: readonly Requests[]): void {
  const registers = [registry]
  new Counter({
    name: 'controller_runtime_webhook_requests_total',
    help: 'Admission requests by webhook path and HTTP code',
    labelNames: ['webhook', 'code'],
    registers,
    collect() {
      this.reset()
      for (const { codes, path } of all)
        for (const [code, count] of codes) this.inc({ webhook: path, code: String(code) }, count)
    }
  })
  new Gauge({
    name: 'controller_runtime_webhook_requests_in_flight',
    help: 'Admission requests being answered now',
    labelNames: ['webhook'],
    registers,
    collect() {
      for (const { inFlight, path } of all) this.set({ webhook: path }, inFlight)
    }
  })
  registry.registerMetric(latency(all) as unknown as Metric)
}

/** A histogram of prom-client cannot be set; this is what its registry asks of one. */
function latency(all: readonly Requests[]) {
  const name = 'controller_runtime_webhook_latency_seconds'
  const about = {
    name,
    help: 'Seconds from the request to the end of the answer',
    type: 'histogram',
    aggregator: 'sum'
  }
  const read = () => ({ ...about, values: all.flatMap((requests) => histogramOf(name, requests)) })
  return { ...about, labelNames: ['webhook'], get: () => Promise.resolve(read()) }
}

function histogramOf(name: string, { buckets, path, seconds }: Requests) {
  let total = 0
  const values = buckets.map((count, index) => {
    const labels = { le: BUCKETS[index] ?? '+Inf', webhook: path }
    return { metricName: `${name}_bucket`, labels, value: (total += count) }
  })
  const labels = { webhook: path }
  return [
    ...values,
    { metricName: `${name}_sum`, labels, value: seconds },
    { metricName: `${name}_count`, labels, value: total }
  ]
}
