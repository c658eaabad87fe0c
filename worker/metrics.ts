/** The worker's own metrics, beside those of Node and the API client. No label ever names a pod, an address or a group. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

export type WorkerMetrics = ReturnType<typeof createMetrics>

/** @param withProcess also those of Node and the process */
export function createMetrics(registry = new Registry(), withProcess = true) {
  if (withProcess) collectDefaultMetrics({ register: registry })
  const registers = [registry]
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Counter<L> =>
    new Counter({ name, help, labelNames, registers })
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []): Gauge<L> =>
    new Gauge({ name, help, labelNames, registers })
  return {
    registry,
    ec2Calls: counter('kube_sg_ec2_calls_total', 'Calls to EC2; code is empty for those that succeeded', [
      'action',
      'code'
    ]),
    ec2Seconds: new Histogram({
      name: 'kube_sg_ec2_call_duration_seconds',
      help: 'How long calls to EC2 took',
      labelNames: ['action'],
      buckets: [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
      registers
    }),
    authorized: counter('kube_sg_rules_authorized_total', 'Rules authorized'),
    revoked: counter('kube_sg_rules_revoked_total', 'Rules revoked'),
    revokeLag: new Histogram({
      name: 'kube_sg_revoke_lag_seconds',
      help: 'From the moment a claim ended (by the pod itself) to the revocation of its rule',
      buckets: [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 600],
      registers
    }),
    released: counter('kube_sg_pods_released_total', 'Finalizers taken off; forced ones after MAX_HOLD', ['forced']),
    held: gauge('kube_sg_pods_held', 'Ended pods that our finalizer still holds'),
    pods: gauge('kube_sg_pods', 'Pods that are watched'),
    ownedRules: gauge('kube_sg_owned_rules', 'Rules of ours in EC2, as known'),
    brake: gauge('kube_sg_brake_engaged', '1 while too many rules of living pods would be withdrawn at once'),
    sweeps: counter('kube_sg_sweeps_total', 'Looks at everything', ['result']),
    apiRequests: counter('rest_client_requests_total', 'Requests to the API server', ['code', 'method']),
    leading: gauge('leader_election_master_status', '1 while this worker leads', ['name']),
    queueWaiting: gauge('workqueue_depth', 'Keys that wait', ['name'])
  }
}
