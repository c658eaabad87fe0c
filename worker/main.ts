/** The worker process: reads settings, wires, waits for the lease, works, and stops on SIGTERM. */
import { hostname } from 'node:os'
import closeWithGrace from 'close-with-grace'
import { ConfigError, readConfig } from '../shared/config.ts'
import { serveHealth } from '../shared/health.ts'
import type { Check } from '../shared/health.ts'
import { connect } from '../shared/kubernetes/connection.ts'
import type { Connection } from '../shared/kubernetes/connection.ts'
import { askPermissions } from '../shared/kubernetes/permissions.ts'
import { createLogger } from '../shared/logger.ts'
import type { Logger } from '../shared/logger.ts'
import { WORKER_LEASE } from '../shared/names.ts'
import { connectEc2, createEc2 } from './aws/ec2Client.ts'
import { ec2SecurityGroups } from './aws/ec2SecurityGroups.ts'
import { whileLeading } from './cluster.ts'
import { classify } from './failures.ts'
import { clusterOf } from './kubernetes/cluster.ts'
import { recordEvents } from './kubernetes/events.ts'
import { elect } from './kubernetes/lease.ts'
import { watchNodes, watchPods } from './kubernetes/watches.ts'
import { createMetrics } from './metrics.ts'
import type { WorkerMetrics } from './metrics.ts'
import type { Timers } from './queue.ts'
import { contradiction, workerSpec, wrongRegion } from './settings.ts'
import type { WorkerSettings } from './settings.ts'
import { createWorker } from './worker.ts'

/** Milliseconds that a call to EC2 may take, at most: it must have ended before a lost lease could be another's. */
const EC2_TIMEOUT = 5000
const CLOSE_MS = 30_000
/** Of the sixteen connections that they share with releases: an authorizer that hangs must not hold those up. */
const QUESTIONS_AT_ONCE = 8
/** A watch that was silent for so long is no longer believed, in milliseconds; a bookmark comes with the end of each. */
const WATCH_SILENT = 60_000

async function main(): Promise<void> {
  const settings = readConfig(process.env, workerSpec)
  const problem = contradiction(settings)
  if (problem !== undefined) throw new ConfigError([problem])
  const logger = createLogger('worker', settings.LOG_LEVEL)
  const metrics = createMetrics()
  const { KUBECONFIG } = process.env
  const source = KUBECONFIG === undefined || KUBECONFIG === '' ? 'in-cluster' : { kubeconfig: KUBECONFIG }
  const connection = await connect({
    source,
    logger,
    userAgent: 'kube-sg-worker',
    // A review for each service account and group after a start, and a patch for each pod: the API server's own fairness guards it.
    qps: 200,
    burst: 400,
    onRequest: (report) => metrics.apiAnswered(report)
  })
  await run(settings, connection, metrics, logger)
}

async function run(
  settings: WorkerSettings,
  connection: Connection,
  metrics: WorkerMetrics,
  logger: Logger
): Promise<void> {
  // What has been opened so far, last first: a SIGTERM may come at any moment, also before the caches are in sync.
  const closers: (() => Promise<void>)[] = [() => connection.close()]
  let stopping = false
  closeWithGrace({ delay: CLOSE_MS, logger: false }, async ({ signal, err }) => {
    stopping = true
    if (err !== undefined) logger.fatal({ err }, 'unexpected error; stopping')
    else logger.info({ signal }, 'stopping')
    // More may be opened while these are closed.
    for (let close = closers.shift(); close !== undefined; close = closers.shift()) await close()
    logger.info('stopped')
  })
  const wallClock = (): number => Date.now()
  const now = (): number => performance.now()
  // Served from the beginning, and filled as the process gets on: a slow API server is no reason to be restarted.
  const ready: Record<string, Check> = {
    shutdown: () => (stopping ? 'process is shutting down' : undefined),
    start: () => 'the API server has not been read yet'
  }
  const health = await serveHealth({
    port: settings.HEALTH_PORT,
    live: {},
    ready,
    registry: metrics.registry,
    logger
  })
  closers.unshift(() => health.close())
  metrics.leads(WORKER_LEASE, false)
  const owner = `${settings.CLUSTER_ID}/${await clusterUid(connection, logger)}`
  // Assigned before anything can call it: writes happen only while we lead.
  let validUntil = (): number => -Infinity
  const timeout = Math.min(EC2_TIMEOUT, settings.LEASE_DURATION / 2)
  const mayWrite = (): boolean => performance.now() + timeout <= validUntil()
  const timers = processTimers()
  const ec2Client = connectEc2(settings.AWS_REGION, timeout)
  const ec2 = createEc2({
    client: ec2Client,
    timeout,
    timers,
    mayWrite,
    onCall: (report) => metrics.ec2Called({ ...report, throttled: classify(report.code, undefined) === 'throttled' })
  })
  const permissions = askPermissions(connection, { now: () => performance.now(), atOnce: QUESTIONS_AT_ONCE })
  const events = recordEvents({
    connection,
    reportingController: 'sg.amazonaws.com/worker',
    reportingInstance: hostname(),
    logger,
    onLost: (count) => metrics.eventsLost(count)
  })
  const nodes = watchNodes({ connection, logger, now: wallClock, metrics }, () => worker.nodesChanged())
  const worker = createWorker({
    settings,
    ec2: ec2SecurityGroups(ec2, { clusterId: settings.CLUSTER_ID, owner, now }),
    cluster: whileLeading(clusterOf(connection, timeout), mayWrite),
    mayUse: ({ namespace, serviceAccountName }, groupId) =>
      permissions.permits({ namespace, serviceAccount: serviceAccountName, groupId }),
    nodes,
    record: (event) => events.record(event),
    metrics,
    logger,
    wallClock,
    timers
  })
  closers.unshift(() => Promise.resolve(ec2Client.destroy()))
  const pods = watchPods({ connection, logger, now: wallClock, metrics }, worker.cache)
  const silence = (lastContact: number): number =>
    lastContact === -Infinity ? 0 : (performance.now() - lastContact) / 1000
  metrics.watches(() => ({
    pods: silence(pods.lastContact()),
    nodes: silence(nodes.reflection.lastContact())
  }))
  let leading = false
  const silent = (what: string, lastContact: number): string | undefined =>
    performance.now() - lastContact > WATCH_SILENT ? `the watch of ${what} has been silent for too long` : undefined
  Object.assign(ready, {
    start: () => undefined,
    pods: () => silent('pods', pods.lastContact()),
    nodes: () => silent('nodes', nodes.reflection.lastContact()),
    sweep: () => worker.trouble()?.message ?? (leading && !worker.trusted() ? 'EC2 has not been read yet' : undefined)
  } satisfies Record<string, Check>)
  closers.unshift(() => events.flush())
  closers.unshift(() => pods.stop())
  closers.unshift(() => nodes.reflection.stop())
  logger.info({ healthPort: health.port, owner, region: settings.AWS_REGION }, 'worker started')
  const synced = await Promise.all([pods.synced, nodes.reflection.synced])
  if (synced.includes(false)) return
  const mismatch = wrongRegion(settings.AWS_REGION, nodes.regions())
  if (mismatch !== undefined) throw new ConfigError([mismatch])
  logger.info({ pods: [...worker.cache.views()].length }, 'caches are in sync')

  const campaign = elect({
    connection,
    namespace: settings.NAMESPACE,
    name: WORKER_LEASE,
    identity: hostname(),
    leaseDuration: settings.LEASE_DURATION,
    renewDeadline: settings.RENEW_DEADLINE,
    retryPeriod: settings.RETRY_PERIOD,
    logger,
    onLead() {
      leading = true
      metrics.leads(WORKER_LEASE, true)
      worker.lead()
    },
    onLost(reason) {
      // Another may lead from now on, and what we believe may be old: only a new process starts clean.
      logger.fatal({ reason }, 'lost the lease')
      process.exit(1)
    }
  })
  validUntil = () => campaign.validUntil()
  closers.unshift(() => campaign.stop())
  closers.unshift(() => worker.stop())
}

function processTimers(): Timers {
  return {
    now: () => performance.now(),
    chance: Math.random,
    after(delay, callback) {
      const timer = setTimeout(callback, delay)
      return () => clearTimeout(timer)
    }
  }
}

/** The uid of kube-system tells clusters apart that were given one id. Without it nothing may be owned, so it is waited for. */
async function clusterUid(connection: Connection, logger: Logger): Promise<string> {
  for (;;) {
    try {
      const namespace = (await connection.request({ path: '/api/v1/namespaces/kube-system' })) as {
        metadata: { uid: string }
      }
      return namespace.metadata.uid
    } catch (err) {
      logger.warn({ err }, 'namespace kube-system could not be read; trying again')
      await new Promise((resolve) => setTimeout(resolve, 1000))
    }
  }
}

main().catch((error: unknown) => {
  const text = error instanceof ConfigError ? error.message : String(error instanceof Error ? error.stack : error)
  process.stderr.write(`worker: ${text}\n`)
  process.exit(1)
})
