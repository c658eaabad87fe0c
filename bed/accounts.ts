/** Kubeconfigs of service accounts, with tokens that the API server issues and that are renewed in time. */
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { KubeApi } from './kubeApi.ts'
import { kubeconfig } from './kubeconfig.ts'

/** Seconds; the API server takes no less than 600. */
const LIFE = 3600

export interface Accounts {
  /** Path of a kubeconfig of the service account; its token is kept fresh for as long as the bed lives. */
  kubeconfigOf(namespace: string, name: string): Promise<string>
  close(): void
}

export function issueAccounts(
  api: KubeApi,
  {
    directory,
    server,
    caFile,
    tell
  }: { directory: string; server: string; caFile: string; tell: (line: string) => void }
): Accounts {
  const timers = new Set<NodeJS.Timeout>()
  async function renew(namespace: string, name: string, tokenFile: string): Promise<void> {
    await writeFile(`${tokenFile}.new`, await issueToken(api, namespace, name, LIFE), { mode: 0o600 })
    await rename(`${tokenFile}.new`, tokenFile)
  }
  function later(namespace: string, name: string, tokenFile: string, seconds: number): void {
    const timer = setTimeout(() => {
      timers.delete(timer)
      renew(namespace, name, tokenFile).then(
        () => later(namespace, name, tokenFile, LIFE / 2),
        (error: unknown) => {
          tell(`the token of ${namespace}/${name} is not renewed yet: ${String(error)}`)
          later(namespace, name, tokenFile, 15)
        }
      )
    }, seconds * 1000)
    timer.unref()
    timers.add(timer)
  }
  return {
    async kubeconfigOf(namespace, name) {
      const folder = join(directory, 'accounts', `${namespace}.${name}`)
      await mkdir(folder, { recursive: true, mode: 0o700 })
      const tokenFile = join(folder, 'token')
      const path = join(folder, 'kubeconfig')
      await renew(namespace, name, tokenFile)
      later(namespace, name, tokenFile, LIFE / 2)
      await writeFile(path, kubeconfig({ server, caFile, namespace, tokenFile }), { mode: 0o600 })
      return path
    },
    close() {
      for (const timer of timers) clearTimeout(timer)
    }
  }
}

/** A token of the service account, by TokenRequest. */
export async function issueToken(api: KubeApi, namespace: string, name: string, seconds: number): Promise<string> {
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`
  const answer = await api.call('POST', path, { spec: { expirationSeconds: seconds } })
  return (answer.status as { token: string }).token
}
