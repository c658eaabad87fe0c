/** The two Secrets of ours. */
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { isConflict, isNotFound } from '../../shared/kubernetes/status.ts'
import { Conflict } from '../run.ts'
import type { Secret, Secrets } from '../run.ts'

interface SecretObject {
  readonly metadata?: { readonly resourceVersion?: string }
  readonly data?: Readonly<Record<string, string>>
}

export function kubernetesSecrets(connection: Pick<Connection, 'request'>, namespace: string): Secrets {
  const path = (name: string): string => `/api/v1/namespaces/${namespace}/secrets/${name}`
  return {
    async read(name) {
      try {
        return readSecret(name, (await connection.request({ path: path(name) })) as SecretObject)
      } catch (cause) {
        if (!isNotFound(cause)) throw cause
        throw new Error(`Secret '${namespace}/${name}' is not there: apply the manifests again`, { cause })
      }
    },

    async write({ name, version }, data) {
      const encoded = Object.fromEntries(Object.entries(data).map(([key, value]) => [key, encode(value)]))
      const body = { metadata: { resourceVersion: version }, data: encoded }
      try {
        const contentType = 'application/merge-patch+json'
        const written = await connection.request({ method: 'PATCH', path: path(name), body, contentType })
        return readSecret(name, written as SecretObject)
      } catch (cause) {
        if (!isConflict(cause)) throw cause
        throw new Conflict(`Secret '${namespace}/${name}' was written by somebody else meanwhile`, { cause })
      }
    }
  }
}

function readSecret(name: string, { metadata, data = {} }: SecretObject): Secret {
  const decoded = Object.entries(data).map(([key, value]) => [key, decode(value)] as const)
  return { name, version: metadata?.resourceVersion ?? '', data: Object.fromEntries(decoded) }
}

const decode = (base64: string): string => Buffer.from(base64, 'base64').toString('utf8')
const encode = (text: string): string => Buffer.from(text, 'utf8').toString('base64')
