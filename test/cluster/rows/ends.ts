/** Every way in which a pod ends, and what is no end. */
import { FINALIZER } from '../pods.ts'
import { STARTED } from '../kubelet.ts'
import { row } from '../scene.ts'
import type { Row, Scene } from '../scene.ts'

const HTTPS = 'tcp 443-443'
const PODS = '/api/v1/namespaces/{ns}/pods'

/** Names of the pods with this label, once there are so many that still run. */
async function running({ yard }: Scene, label: string, value: string, count: number): Promise<readonly string[]> {
  let names: string[] = []
  await yard.until(`${String(count)} running pods with ${label}=${value}`, async () => {
    names = (await yard.pods())
      .filter(({ metadata, status }) => metadata?.labels?.[label] === value && status?.phase === 'Running')
      .map(({ metadata }) => metadata?.name ?? '')
    return names.length === count
  })
  return names
}

export const ENDS: readonly Row[] = [
  row('a Job: each of its pods loses access when it completes, and the Job is not held up', async (scene, t) => {
    const { kubelet, yard } = scene
    await scene.call('POST', '/apis/batch/v1/namespaces/{ns}/jobs', {
      metadata: { name: 'job' },
      spec: {
        completions: 2,
        parallelism: 1,
        template: {
          metadata: { annotations: { ...scene.asks(), ...STARTED } },
          spec: { restartPolicy: 'Never', containers: [{ name: 'app', image: 'example.com/app' }] }
        }
      }
    })
    for (let completed = 0; completed < 2; completed++) {
      const [name = ''] = await running(scene, 'batch.kubernetes.io/job-name', 'job', 1)
      await scene.granted([HTTPS], name)
      await scene.ends([name], () => kubelet.finish(name, 'Succeeded'))
      await scene.released(name)
      t.ok((await yard.get(name))?.status?.podIP, 'its status goes on naming the address')
    }
    await yard.until('the Job to be complete', async () => {
      const job = await scene.call('GET', '/apis/batch/v1/namespaces/{ns}/jobs/job')
      return (job.status as { succeeded?: number; completionTime?: string }).completionTime !== undefined
    })
  }),

  row('a pod that fails loses access, deleted or not', async (scene) => {
    await scene.pod('failing', { annotations: STARTED, spec: { restartPolicy: 'Never' } })
    await scene.granted([HTTPS], 'failing')
    await scene.ends(['failing'], () => scene.kubelet.finish('failing', 'Failed'))
    await scene.holds([])
    await scene.released('failing')
    await scene.yard.reason('failing', 'RulesRevoked')
  }),

  row('grace 0: a draining pod keeps its rules until the kubelet removes the object', async (scene, t) => {
    await scene.pod('draining', { annotations: STARTED })
    await scene.granted([HTTPS], 'draining')
    await scene.yard.delete('draining')
    await scene.caughtUp()
    await scene.granted([HTTPS], 'draining')
    t.ok((await scene.yard.get('draining'))?.metadata?.finalizers?.includes(FINALIZER))
    await scene.ends(['draining'], () => scene.kubelet.remove('draining'))
    await scene.yard.gone('draining')
  }),

  row('all containers terminated: not one of two, and not while a sidecar runs', async (scene) => {
    const { kubelet, yard } = scene
    const containers = ['app', 'second'].map((name) => ({ name, image: 'example.com/app' }))
    const sidecar = { name: 'sidecar', image: 'example.com/sidecar', restartPolicy: 'Always' }
    await scene.pod('pair', { annotations: STARTED, spec: { containers, initContainers: [sidecar] } })
    await scene.granted([HTTPS], 'pair')
    await yard.delete('pair')
    await kubelet.terminate('pair', ['app'])
    await scene.caughtUp()
    await scene.granted([HTTPS], 'pair')
    await kubelet.terminate('pair')
    await scene.caughtUp()
    await scene.granted([HTTPS], 'pair')
    const over = new Date(Date.now() + 1000).toISOString()
    await scene.ends(['pair'], () =>
      kubelet.status('pair', {
        initContainerStatuses: [
          {
            ...{ name: 'sidecar', image: 'example.com/sidecar', imageID: '', ready: false, restartCount: 0 },
            state: { terminated: { exitCode: 0, reason: 'Completed', startedAt: over, finishedAt: over } }
          }
        ]
      })
    )
    await scene.holds([])
    await scene.released('pair')
    await kubelet.remove('pair')
    await yard.gone('pair')
  }),

  row('force delete: the object goes at once, and the rules with it', async (scene) => {
    await scene.pod('forced', { annotations: STARTED })
    await scene.granted([HTTPS], 'forced')
    await scene.ends(['forced'], () => scene.yard.delete('forced', '--force', '--grace-period=0'))
    await scene.yard.gone('forced')
  }),

  row('eviction: refused by a budget it changes nothing, granted it is a delete like any other', async (scene, t) => {
    const { kubelet, yard } = scene
    const budgets = '/apis/policy/v1/namespaces/{ns}/poddisruptionbudgets'
    await scene.call('POST', budgets, {
      metadata: { name: 'all' },
      spec: { minAvailable: '100%', selector: { matchLabels: { 'sg.amazonaws.com/managed': 'true' } } }
    })
    await scene.pod('evicted', { annotations: STARTED })
    await scene.granted([HTTPS], 'evicted')
    const evict = () =>
      scene.call('POST', `${PODS}/evicted/eviction`, {
        ...{ apiVersion: 'policy/v1', kind: 'Eviction' },
        metadata: { name: 'evicted', namespace: scene.namespace }
      })
    await t.rejects(evict(), { message: /answered 429/ })
    await scene.call('DELETE', `${budgets}/all`)
    await yard.until('the eviction to be granted', async () => evict().then(() => true))
    await scene.caughtUp()
    await scene.granted([HTTPS], 'evicted')
    await scene.ends(['evicted'], () => kubelet.finish('evicted', 'Succeeded'))
    await yard.gone('evicted')
  }),

  row('namespace deletion: its pods drain and go, and the namespace with them', async (scene) => {
    const { yard } = scene
    await scene.pod('one')
    await scene.pod('two', { ports: 'tcp:80', annotations: { 'pod-terminate.stage.kwok.x-k8s.io/delay': '2s' } })
    const held = async () => [await yard.addresses('one'), await yard.addresses('two')] as const
    const [one, two] = await held()
    const rules = [...one.map((ip) => [HTTPS, ip]), ...two.map((ip) => ['tcp 80-80', ip])]
    await scene.holds(
      rules.map(([ports, ip]) => `${ports ?? ''} ${ip ?? ''}/${ip?.includes(':') === true ? '128' : '32'}`)
    )
    await scene.ends(['one', 'two'], () => scene.call('DELETE', '/api/v1/namespaces/{ns}'))
    await scene.holds([])
    await yard.until('the namespace to be gone', async () => {
      const { items } = (await scene.call('GET', '/api/v1/namespaces')) as unknown as {
        items: { metadata: { name: string } }[]
      }
      return !items.some(({ metadata }) => metadata.name === scene.namespace)
    })
  }),

  row('unscheduled: a pod deleted before it had a node goes at once, and EC2 is not asked', async (scene, t) => {
    await scene.pod('pending', { spec: { nodeSelector: { nowhere: 'to-be-found' } } })
    t.ok((await scene.yard.get('pending'))?.metadata?.finalizers?.includes(FINALIZER))
    await scene.yard.delete('pending')
    await scene.yard.gone('pending')
    t.same(await writes(scene), [])
  }),

  row('never had an address: rejected by its kubelet, or deleted while it starts', async (scene, t) => {
    const { kubelet, yard } = scene
    const annotations = { ...STARTED, 'pod-ready.stage.kwok.x-k8s.io/delay': '1h' }
    for (const name of ['rejected', 'starting']) {
      await scene.pod(name, { annotations })
      await yard.until(`${name} to have a node`, async () => (await yard.get(name))?.spec?.nodeName !== undefined)
    }
    await kubelet.status('rejected', { phase: 'Failed', reason: 'OutOfcpu', message: 'Node did not have enough cpu' })
    await scene.released('rejected')
    await yard.delete('starting')
    await kubelet.remove('starting')
    await yard.gone('starting')
    t.same(await writes(scene), [])
  }),

  row(
    'CrashLoopBackOff: a pod whose containers crash, or have all ended for a moment, keeps its rules, deleted or not',
    async (scene) => {
      const { kubelet, yard } = scene
      await scene.pod('crashing', { annotations: STARTED })
      await scene.granted([HTTPS], 'crashing')
      await kubelet.crash('crashing')
      await scene.caughtUp()
      await scene.granted([HTTPS], 'crashing')
      await kubelet.terminate('crashing', undefined, Date.now() - 2000)
      await scene.caughtUp()
      await scene.granted([HTTPS], 'crashing')
      // It may be running again: what the kubelet makes of the delete is the end.
      await yard.delete('crashing')
      await scene.caughtUp()
      await scene.granted([HTTPS], 'crashing')
      await scene.ends(['crashing'], () => kubelet.finish('crashing', 'Failed'))
      await scene.holds([])
      await scene.released('crashing')
      await yard.gone('crashing')
    }
  ),

  row('StatefulSet: the same name with a new uid has rules of its own, and the old ones go', async (scene, t) => {
    const { yard } = scene
    await scene.call('POST', '/apis/apps/v1/namespaces/{ns}/statefulsets', statefulSet(scene))
    await yard.until('web-0', async () => (await yard.get('web-0')) !== undefined)
    await scene.granted([HTTPS], 'web-0')
    const first = await yard.get('web-0')
    await scene.ends(['web-0'], () => yard.delete('web-0'))
    await yard.until('another web-0', async () => {
      const pod = await yard.get('web-0')
      return pod !== undefined && pod.metadata?.uid !== first?.metadata?.uid
    })
    await scene.granted([HTTPS], 'web-0')
    scene.wanted(await scene.ours())
    await scene.caughtUp()
    await scene.granted([HTTPS], 'web-0')
    t.not((await yard.get('web-0'))?.metadata?.uid, first?.metadata?.uid)
    await scene.ends(['web-0'], () => scene.call('DELETE', '/apis/apps/v1/namespaces/{ns}/statefulsets/web'))
    await yard.gone('web-0')
  }),

  row('the same name with a new uid, though the old object went without us and EC2 let nothing go', async (scene) => {
    const { bed, group, yard } = scene
    await scene.call('POST', '/apis/apps/v1/namespaces/{ns}/statefulsets', statefulSet(scene))
    await yard.until('web-0', async () => (await yard.get('web-0')) !== undefined)
    await scene.granted([HTTPS], 'web-0')
    const first = await yard.get('web-0')
    const old = await scene.ours()
    await bed.fault({ action: 'RevokeSecurityGroupIngress', groupId: group, fault: 'internalError' })
    await scene.ends(['web-0'], () => yard.delete('web-0', '--force', '--grace-period=0'))
    await yard.patch('web-0', { metadata: { finalizers: null } })
    await yard.until('another web-0', async () => {
      const pod = await yard.get('web-0')
      return pod !== undefined && pod.metadata?.uid !== first?.metadata?.uid
    })
    const young = (await yard.addresses('web-0')).map((ip) => `${HTTPS} ${ip}/${ip.includes(':') ? '128' : '32'}`)
    await scene.holds([...new Set([...old, ...young])])
    await bed.clearFaults(group)
    await scene.granted([HTTPS], 'web-0')
    scene.wanted(young)
    await scene.ends(['web-0', ...young], () => scene.call('DELETE', '/apis/apps/v1/namespaces/{ns}/statefulsets/web'))
    await yard.gone('web-0')
  })
]

const statefulSet = (scene: Scene): object => ({
  metadata: { name: 'web' },
  spec: {
    serviceName: 'web',
    replicas: 1,
    selector: { matchLabels: { app: 'web' } },
    template: {
      metadata: { labels: { app: 'web' }, annotations: scene.asks() },
      spec: { containers: [{ name: 'app', image: 'example.com/app' }] }
    }
  }
})

/** Calls of the worker that would change the scene's group. */
async function writes({ bed, group }: Scene): Promise<readonly string[]> {
  return (await bed.calls())
    .filter(
      ({ accessKey, action, groupId }) =>
        accessKey === 'bed-worker' && groupId === group && !action.startsWith('Describe')
    )
    .map(({ action }) => action)
}
