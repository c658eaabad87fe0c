/** What the webhook counts. The first three carry controller-runtime's names, which dashboards know. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { decisionOf, reasonsOf } from './verdict.ts'
import type { Verdict } from './verdict.ts'

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

export interface WebhookMetrics {
  readonly registry: Registry
  /** Call at the start of a request; call what it returns with the HTTP code at its end. */
  start(path: string): (code: number) => void
  decided(resource: string, verdict: Verdict): void
  certificateRead(error: boolean): void
  /** @param notAfter milliseconds since 1970 */
  certificateServed(notAfter: number): void
}

export function createMetrics(): WebhookMetrics {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })
  const requests = new Counter({
    name: 'controller_runtime_webhook_requests_total',
    help: 'Admission requests by webhook path and HTTP code',
    labelNames: ['webhook', 'code'],
    registers
  })
  const latency = new Histogram({
    name: 'controller_runtime_webhook_latency_seconds',
    help: 'Seconds from the request to the end of the answer',
    labelNames: ['webhook'],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5],
    registers
  })
  const inFlight = new Gauge({
    name: 'controller_runtime_webhook_requests_in_flight',
    help: 'Admission requests being answered now',
    labelNames: ['webhook'],
    registers
  })
  const decisions = new Counter({
    name: 'kube_sg_webhook_decisions_total',
    help: 'Decisions by resource and outcome: allowed, patched, invalid, permission or subresource',
    labelNames: ['resource', 'outcome'],
    registers
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
    start(path) {
      const webhook = { webhook: path }
      inFlight.inc(webhook)
      const end = latency.startTimer(webhook)
      return (code) => {
        end()
        inFlight.dec(webhook)
        requests.inc({ ...webhook, code: String(code) })
      }
    },
    decided(resource, verdict) {
      decisions.inc({ resource: RESOURCES.has(resource) ? resource : 'other', outcome: decisionOf(verdict) })
      for (const reason of reasonsOf(verdict)) denials.inc({ reason })
    },
    certificateRead(error) {
      reads.inc()
      if (error) readErrors.inc()
    },
    certificateServed: (end) => notAfter.set(end / 1000)
  }
}
