/** Kubeconfig files. Pure. */

export interface KubeconfigOptions {
  readonly server: string
  readonly caFile: string
  readonly namespace?: string
  /** The token itself, or the file that holds it, which is read again as it is renewed. */
  readonly token?: string
  readonly tokenFile?: string
}

/** The text of a kubeconfig for one user of one cluster: JSON, which is YAML too. */
export function kubeconfig({ server, caFile, namespace, token, tokenFile }: KubeconfigOptions): string {
  const user = { ...(token === undefined ? {} : { token }), ...(tokenFile === undefined ? {} : { tokenFile }) }
  const context = { cluster: 'bed', user: 'bed', ...(namespace === undefined ? {} : { namespace }) }
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'bed', cluster: { server, 'certificate-authority': caFile } }],
      users: [{ name: 'bed', user }],
      contexts: [{ name: 'bed', context }],
      'current-context': 'bed'
    },
    undefined,
    2
  )}\n`
}
