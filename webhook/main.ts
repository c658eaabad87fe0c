/** The webhook process: reads settings, wires, listens, and closes on SIGTERM. */
import closeWithGrace from 'close-with-grace'
import { commonSpec, ConfigError, path, PERMISSIONS, port, readConfig, RULES_PER_GROUP } from '../shared/config.ts'
import { serveHealth } from '../shared/health.ts'
import { connect } from '../shared/kubernetes/connection.ts'
import { askPermissions } from '../shared/kubernetes/permissions.ts'
import { createLogger } from '../shared/logger.ts'
import type { Logger } from '../shared/logger.ts'
import { watchCertificate } from './certificate.ts'
import type { CertificateWatch } from './certificate.ts'
import { createMetrics } from './metrics.ts'
import type { WebhookMetrics } from './metrics.ts'
import { buildServer, TLS_OPTIONS } from './server.ts'
import type { WebhookServer } from './server.ts'

const SPEC = {
  ...commonSpec,
  PORT: { read: port, fallback: '8443', meaning: 'the HTTPS port that the API server calls' },
  TLS_DIR: { read: path, fallback: '/etc/kube-sg/tls', meaning: 'the directory of tls.crt and tls.key' },
  PERMISSIONS,
  RULES_PER_GROUP
}

/** How long balancers have to notice that we are not ready, while we still serve. */
const DRAIN_MS = 5000
const CLOSE_MS = 20_000

async function main(): Promise<void> {
  const config = readConfig(process.env, SPEC)
  const logger = createLogger('webhook', config.LOG_LEVEL)
  const metrics = createMetrics()
  const { KUBECONFIG } = process.env
  const source = KUBECONFIG === undefined || KUBECONFIG === '' ? 'in-cluster' : { kubeconfig: KUBECONFIG }
  const connection = await connect({
    source,
    logger,
    userAgent: 'kube-sg-webhook',
    timeout: 5000,
    qps: 200,
    burst: 400
  })
  const permissions = askPermissions(connection, { now: () => performance.now() })
  const server = buildServer({
    permissions,
    mode: config.PERMISSIONS,
    rulesPerGroup: config.RULES_PER_GROUP,
    metrics,
    logger
  })
  const certificate = await serveCertificate(server, config.TLS_DIR, metrics, logger)
  let stopping = false
  const health = await serveHealth({
    port: config.HEALTH_PORT,
    live: {},
    ready: {
      certificate: () => certificate.problem(),
      shutdown: () => (stopping ? 'process is shutting down' : undefined)
    },
    registry: metrics.registry,
    logger
  })
  const address = await listen(server, config.PORT)
  logger.info({ address, healthPort: health.port, permissions: config.PERMISSIONS }, 'webhook started')

  closeWithGrace({ delay: CLOSE_MS, logger: false }, async ({ signal, err }) => {
    if (err !== undefined) logger.fatal({ err }, 'unexpected error; stopping')
    else logger.info({ signal }, 'stopping: not ready any more, serving on')
    stopping = true
    server.drain()
    if (err === undefined) await new Promise((resolve) => setTimeout(resolve, DRAIN_MS))
    certificate.close()
    await server.app.close()
    await health.close()
    await connection.close()
    logger.info('stopped')
  })
}

/** Serves with the certificate in the directory, and with each one that follows it. */
function serveCertificate(
  server: WebhookServer,
  directory: string,
  metrics: WebhookMetrics,
  logger: Logger
): Promise<CertificateWatch> {
  return watchCertificate({
    directory,
    onPair(pair) {
      server.tls.setSecureContext({ ...TLS_OPTIONS, cert: pair.cert, key: pair.key })
      metrics.certificateRead(false)
      metrics.certificateServed(pair.notAfter)
      logger.info({ notAfter: new Date(pair.notAfter).toISOString() }, 'serving certificate loaded')
    },
    onError(err) {
      metrics.certificateRead(true)
      logger.warn({ err }, 'serving certificate cannot be used; the one before it stays')
    }
  })
}

/** On both families, or on IPv4 alone where the kernel has no IPv6. */
async function listen({ app }: WebhookServer, port: number): Promise<string> {
  try {
    return await app.listen({ host: '::', port })
  } catch (error) {
    if (!['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    return app.listen({ host: '0.0.0.0', port })
  }
}

main().catch((error: unknown) => {
  const text = error instanceof ConfigError ? error.message : String(error instanceof Error ? error.stack : error)
  process.stderr.write(`webhook: ${text}\n`)
  process.exit(1)
})
