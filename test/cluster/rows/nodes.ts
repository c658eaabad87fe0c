/** Nodes that fall silent or go away under a pod. */
import { STARTED } from '../kubelet.ts'
import { row } from '../scene.ts'
import type { Row, Scene } from '../scene.ts'

const HTTPS = 'tcp 443-443'
/** Milliseconds: the garbage collector of pods looks every 20 s, and waits 40 s after a node is gone. */
const COLLECTED = 150_000

let nodes = 0

/** A node of the scene's own, on which nothing else is scheduled. @returns what a pod needs in its spec to run there */
async function nodeFor(scene: Scene): Promise<{ node: string; spec: Record<string, unknown> }> {
  const index = ++nodes
  const node = `${scene.namespace}-node`
  await scene.call('POST', '/api/v1/nodes', {
    metadata: { name: node, labels: { 'kubernetes.io/hostname': node } },
    spec: {
      podCIDRs: [`10.64.${String(110 + index)}.0/24`, `fd00:64::${String(index)}:0:0/96`],
      podCIDR: `10.64.${String(110 + index)}.0/24`,
      taints: [{ key: 'row', value: node, effect: 'NoSchedule' }]
    },
    status: {
      addresses: [{ type: 'InternalIP', address: `10.63.1.${String(index)}` }],
      capacity: { cpu: '1k', memory: '1Ti', pods: '1k' },
      allocatable: { cpu: '1k', memory: '1Ti', pods: '1k' }
    }
  })
  const tolerations = [{ key: 'row', operator: 'Exists' }]
  return { node, spec: { nodeSelector: { 'kubernetes.io/hostname': node }, tolerations } }
}

/** The node says nothing any more, and the control plane has noticed. */
async function silence({ bed }: Scene, node: string): Promise<void> {
  await bed.api.patch(`/api/v1/nodes/${node}`, {
    metadata: { annotations: { 'node-ready.stage.kwok.x-k8s.io/delay': '1h' } }
  })
  const now = new Date().toISOString().replace(/\.\d+Z/, 'Z')
  await bed.api.patch(`/api/v1/nodes/${node}/status`, {
    status: {
      conditions: [
        {
          type: 'Ready',
          status: 'Unknown',
          reason: 'NodeStatusUnknown',
          lastHeartbeatTime: now,
          lastTransitionTime: now
        }
      ]
    }
  })
}

async function taints(scene: Scene, node: string): Promise<readonly { key: string }[]> {
  const { spec } = await scene.call('GET', `/api/v1/nodes/${node}`)
  return (spec as { taints?: { key: string }[] }).taints ?? []
}

export const NODES: readonly Row[] = [
  row('a NotReady node: its pods keep their rules, also once they are being evicted from it', async (scene, t) => {
    const { yard } = scene
    const { node, spec } = await nodeFor(scene)
    const soon = {
      key: 'node.kubernetes.io/unreachable',
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: 1
    }
    await scene.pod('staying', { annotations: STARTED, spec })
    await scene.pod('evicted', {
      annotations: STARTED,
      spec: { ...spec, tolerations: [...(spec.tolerations as object[]), soon] }
    })
    await scene.granted([HTTPS], 'staying', 'evicted')
    await silence(scene, node)
    await yard.until('the taint', async () =>
      (await taints(scene, node)).some(({ key }) => key.endsWith('unreachable'))
    )
    await yard.until(
      'one to be evicted',
      async () => (await yard.get('evicted'))?.metadata?.deletionTimestamp !== undefined
    )
    await scene.caughtUp()
    await scene.granted([HTTPS], 'staying', 'evicted')
    t.equal((await yard.get('staying'))?.metadata?.deletionTimestamp, undefined)
    await scene.ends(['staying', 'evicted'], () => scene.call('DELETE', `/api/v1/nodes/${node}`))
    await scene.holds([])
    await scene.released('staying')
    await scene.released('evicted')
  }),

  row(
    'the Node object is gone: its pods have ended, before and after the garbage collector finds them',
    async (scene, t) => {
      const { yard } = scene
      const { node, spec } = await nodeFor(scene)
      await scene.pod('lost', { annotations: STARTED, spec })
      await scene.granted([HTTPS], 'lost')
      await scene.ends(['lost'], () => scene.call('DELETE', `/api/v1/nodes/${node}`))
      await scene.holds([])
      await scene.released('lost')
      t.equal((await yard.get('lost'))?.metadata?.deletionTimestamp, undefined, 'nobody had deleted it yet')
      await yard.until(
        'the garbage collector to take it',
        async () => (await yard.get('lost')) === undefined,
        COLLECTED
      )
    }
  ),

  row('PodGC: a pod on a node out of service is ended by the garbage collector, and not sooner', async (scene) => {
    const { bed, yard } = scene
    const { node, spec } = await nodeFor(scene)
    await scene.pod('stuck', { annotations: STARTED, spec })
    await scene.granted([HTTPS], 'stuck')
    await silence(scene, node)
    await yard.delete('stuck')
    await scene.caughtUp()
    await scene.granted([HTTPS], 'stuck')
    const outOfService = { key: 'node.kubernetes.io/out-of-service', value: 'nodeshutdown', effect: 'NoExecute' }
    await scene.ends(['stuck'], async () => {
      const all = [...(await taints(scene, node)), outOfService]
      await bed.api.patch(`/api/v1/nodes/${node}`, { spec: { taints: all } })
    })
    await yard.until('the garbage collector to take it', async () => (await yard.get('stuck')) === undefined, COLLECTED)
  })
]
