/** The nodes of the bed, and when pods can be made and run there. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseAllDocuments } from 'yaml'
import { eventually, type KubeApi, type KubeObject } from './kubeApi.ts'

export async function createNodes(api: KubeApi): Promise<void> {
  const text = await readFile(join(import.meta.dirname, 'kwok', 'nodes.yaml'), 'utf8')
  for (const document of parseAllDocuments(text)) await api.call('POST', '/api/v1/nodes', document.toJS())
}

/** A pod is refused before its service account exists, and is not scheduled while the nodes are tainted not-ready. */
export async function awaitPods(api: KubeApi, nodes: boolean, signal: AbortSignal): Promise<void> {
  await eventually(
    'the service account of the namespace default',
    () => api.call('GET', '/api/v1/namespaces/default/serviceaccounts/default'),
    { signal }
  )
  if (!nodes) return
  const ask = async (): Promise<true | undefined> => {
    const { items } = (await api.call('GET', '/api/v1/nodes')) as unknown as { items: KubeObject[] }
    const tainted = items.some((node) => ((node.spec as { taints?: unknown[] }).taints ?? []).length > 0)
    return items.length > 0 && !tainted ? true : undefined
  }
  await eventually('the nodes to be ready and untainted', ask, { signal })
}
