/** The policies of manifests/backstop/ on the bed, and the proof that they stand in for the webhook. */
import { PREFIX } from '../shared/names.ts'
import { eventually, KubeError, type KubeApi } from './kubeApi.ts'

/**
 * Waits until the API server itself judges pods: a malformed one is refused by the grammar, and a well-formed one, once
 * stamped, for want of permission. To be asked while no webhook serves, or it could be the webhook that answers.
 */
export async function awaitBackstop(api: KubeApi, signal: AbortSignal): Promise<void> {
  const annotated = (value: string): object => ({
    metadata: { name: 'bed-backstop', annotations: { [`${PREFIX}sg-00000000`]: value } },
    spec: { containers: [{ name: 'trial', image: 'trial' }] }
  })
  for (const [value, policy] of [
    ['malformed', 'kube-sg-grammar'],
    ['tcp:443', 'kube-sg-permission']
  ] as const) {
    await eventually(
      `the policy ${policy} to be in effect`,
      async () => {
        try {
          await api.call('POST', '/api/v1/namespaces/default/pods?dryRun=All', annotated(value))
        } catch (error) {
          if (error instanceof KubeError && error.message.includes(`'${policy}' denied request`)) return true
          throw error
        }
        return undefined
      },
      { signal }
    )
  }
}
