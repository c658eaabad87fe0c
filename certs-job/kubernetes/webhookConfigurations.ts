/** The two webhook configurations of ours, each with several entries. */
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { isInvalid, isNotFound } from '../../shared/kubernetes/status.ts'
import { WEBHOOK_CONFIGURATION } from '../../shared/names.ts'
import { Conflict } from '../run.ts'
import type { Entry, WebhookConfigurations } from '../run.ts'

interface ConfigurationObject {
  readonly webhooks?: readonly { readonly name: string; readonly clientConfig: { readonly caBundle?: string } }[]
}

const KINDS = ['mutating', 'validating'] as const

export function kubernetesWebhookConfigurations(connection: Pick<Connection, 'request'>): WebhookConfigurations {
  return {
    async read() {
      const entries = await Promise.all(KINDS.map((kind) => readEntries(connection, kind)))
      return entries.flat()
    },

    async trust(entries, bundle) {
      for (const kind of KINDS) {
        const chosen = entries.filter(({ configuration }) => configuration === kind)
        if (chosen.length > 0) await patchEntries(connection, kind, chosen, bundle)
      }
    }
  }
}

const path = (kind: Entry['configuration']): string =>
  `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/${WEBHOOK_CONFIGURATION}`

async function readEntries(
  connection: Pick<Connection, 'request'>,
  configuration: Entry['configuration']
): Promise<Entry[]> {
  try {
    const { webhooks = [] } = (await connection.request({ path: path(configuration) })) as ConfigurationObject
    return webhooks.map(({ name, clientConfig }, index) => {
      const caBundle = Buffer.from(clientConfig.caBundle ?? '', 'base64').toString('utf8')
      return { configuration, index, name, caBundle }
    })
  } catch (cause) {
    if (!isNotFound(cause)) throw cause
    throw new Error(
      `${configuration} webhook configuration '${WEBHOOK_CONFIGURATION}' is not there: apply the manifests`,
      {
        cause
      }
    )
  }
}

/** All entries in one patch, each guarded by its name: a partly trusted configuration would be a partial outage. */
async function patchEntries(
  connection: Pick<Connection, 'request'>,
  configuration: Entry['configuration'],
  entries: readonly Entry[],
  bundle: string
): Promise<void> {
  const value = Buffer.from(bundle, 'utf8').toString('base64')
  const body = entries.flatMap(({ index, name }) => [
    { op: 'test', path: `/webhooks/${index}/name`, value: name },
    { op: 'add', path: `/webhooks/${index}/clientConfig/caBundle`, value }
  ])
  try {
    const contentType = 'application/json-patch+json'
    await connection.request({ method: 'PATCH', path: path(configuration), body, contentType })
  } catch (cause) {
    if (!isInvalid(cause)) throw cause
    throw new Conflict(`entries of the ${configuration} webhook configuration were moved meanwhile`, { cause })
  }
}
