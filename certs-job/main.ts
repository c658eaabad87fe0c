/** The certificates process: one run, then exit. */
import { commonSpec, ConfigError, readConfig } from '../shared/config.ts'
import { connect } from '../shared/kubernetes/connection.ts'
import { createLogger } from '../shared/logger.ts'
import { WEBHOOK_SERVICE } from '../shared/names.ts'
import { kubernetesSecrets } from './kubernetes/secrets.ts'
import { kubernetesWebhookConfigurations } from './kubernetes/webhookConfigurations.ts'
import { Conflict, run } from './run.ts'
import type { Dependencies, Outcome } from './run.ts'

const ATTEMPTS = 5

async function main(): Promise<void> {
  const config = readConfig(process.env, commonSpec)
  const logger = createLogger('certs-job', config.LOG_LEVEL)
  const { KUBECONFIG } = process.env
  const source = KUBECONFIG === undefined || KUBECONFIG === '' ? 'in-cluster' : { kubeconfig: KUBECONFIG }
  const connection = await connect({ source, logger, userAgent: 'kube-sg-certs' })
  const dependencies = {
    secrets: kubernetesSecrets(connection, config.NAMESPACE),
    configurations: kubernetesWebhookConfigurations(connection),
    logger
  }
  const service = `${WEBHOOK_SERVICE}.${config.NAMESPACE}.svc`
  try {
    const outcome = await attempt(dependencies, [service, `${service}.cluster.local`])
    logger.info(outcome, 'certificates are in order')
  } finally {
    await connection.close()
  }
}

async function attempt(dependencies: Dependencies, dnsNames: readonly string[]): Promise<Outcome> {
  for (let left = ATTEMPTS - 1; ; left--) {
    try {
      return await run(dependencies, dnsNames, Date.now)
    } catch (error) {
      if (!(error instanceof Conflict) || left === 0) throw error
      dependencies.logger.warn({ err: error }, 'running again from the start')
    }
  }
}

main().catch((error: unknown) => {
  const text = error instanceof ConfigError ? error.message : String(error instanceof Error ? error.stack : error)
  process.stderr.write(`certs-job: ${text}\n`)
  process.exit(1)
})
