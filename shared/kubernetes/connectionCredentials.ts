/** Where the API server is and who we are there, read again as tokens and certificates rotate. */
import { readFileSync } from 'node:fs'
import type { RequestOptions } from 'node:https'
import { dirname, resolve } from 'node:path'
import { KubeConfig, loadYaml } from '@kubernetes/client-node'
import type { Logger } from '../logger.ts'

/** A kubeconfig file's path, or the service account that the kubelet mounts into every pod. */
export type CredentialSource = { readonly kubeconfig: string } | 'in-cluster'

export type TlsOptions = Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'servername' | 'rejectUnauthorized'>

export interface Credentials {
  /** Base URL, without a slash at its end. */
  readonly server: string
  readonly headers: Readonly<Record<string, string>>
  readonly tls: TlsOptions
}

export interface CredentialCache {
  /** At most a minute old, as client-go holds it for token files. Rejects only when nothing was ever read. */
  current(): Promise<Credentials>
  /** Read anew at the next call: the API server refused what we have. */
  expire(): void
}

const MAX_AGE_MS = 60_000

/** When reading anew fails (a file just being replaced), what was read before is kept and the failure logged. */
export function cacheCredentials(
  source: CredentialSource,
  logger: Logger,
  now: () => number = () => performance.now()
): CredentialCache {
  let held: { credentials: Credentials; readAt: number } | undefined
  let reading: Promise<Credentials> | undefined
  let expired = false
  async function readAnew(): Promise<Credentials> {
    try {
      const credentials = await readCredentials(source)
      held = { credentials, readAt: now() }
      return credentials
    } catch (err) {
      if (held === undefined) throw err
      logger.warn({ err }, 'credentials for the API server could not be read again; the old ones are kept')
      held = { ...held, readAt: now() }
      return held.credentials
    } finally {
      reading = undefined
    }
  }
  return {
    async current() {
      if (held !== undefined && !expired && now() - held.readAt < MAX_AGE_MS) return held.credentials
      if (reading === undefined) {
        expired = false
        reading = readAnew()
      }
      return reading
    },
    expire() {
      expired = true
    }
  }
}

/** @throws Error naming the file or variable to mend */
export async function readCredentials(source: CredentialSource): Promise<Credentials> {
  const config = source === 'in-cluster' ? loadInCluster() : loadFile(source.kubeconfig)
  const where = source === 'in-cluster' ? "the pod's service account" : `kubeconfig ${source.kubeconfig}`
  const cluster = config.getCurrentCluster()
  if (cluster === null) throw new Error(`${where} has no current context with a cluster: set current-context`)
  if (cluster.proxyUrl !== undefined)
    throw new Error(`${where} asks for a proxy (proxy-url), which kube-sg does not speak: give a direct server`)
  const options: RequestOptions = {}
  await config.applyToHTTPSOptions(options)
  const headers: Record<string, string> = {}
  // A token file may end in a line break, which no header may hold.
  for (const [name, value] of Object.entries(options.headers ?? {})) headers[name.toLowerCase()] = String(value).trim()
  if (options.auth !== undefined && options.auth !== null && headers.authorization === undefined)
    headers.authorization = `Basic ${Buffer.from(options.auth).toString('base64')}`
  return { server: cluster.server.replace(/\/+$/, ''), headers, tls: tlsOf(options) }
}

function tlsOf(options: RequestOptions): TlsOptions {
  const { ca, cert, key, servername, rejectUnauthorized } = options
  const given = Object.entries({ ca, cert, key, servername, rejectUnauthorized })
  return Object.fromEntries(given.filter(([, value]) => value !== undefined))
}

function loadInCluster(): KubeConfig {
  const config = new KubeConfig()
  config.loadFromCluster()
  if (config.getCurrentCluster()?.server.includes('undefined') === true)
    throw new Error(
      'not inside a pod (KUBERNETES_SERVICE_HOST is not set), and no kubeconfig was given: set KUBECONFIG'
    )
  return config
}

function loadFile(path: string): KubeConfig {
  const text = readFileSync(path, 'utf8')
  const config = new KubeConfig()
  config.loadFromString(text)
  config.makePathsAbsolute(dirname(path))
  // The library knows `token-file` only and would be anonymous; kubectl and client-go write `tokenFile`.
  const users = loadYaml<{ users?: { name?: string; user?: { tokenFile?: string } }[] } | undefined>(text)?.users ?? []
  for (const { name, user } of users) {
    if (user?.tokenFile === undefined) continue
    const tokenFile = resolve(dirname(path), user.tokenFile)
    config.users = config.users.map((known) =>
      known.name === name ? { ...known, authProvider: { name: 'tokenFile', config: { tokenFile } } } : known
    )
  }
  return config
}
