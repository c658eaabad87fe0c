/** What happens while no worker lives, and what workers find when they start. Each row takes the bed's workers for itself. */
import { BY_HAND, STARTED } from '../kubelet.ts'
import { FINALIZER, LABEL, openYard, ruleOn } from '../pods.ts'
import { row } from '../scene.ts'
import type { Row, Scene } from '../scene.ts'
import { leaders, WORKERS } from '../workers.ts'

const HTTPS = 'tcp 443-443'
const REVOKE = 'RevokeSecurityGroupIngress'

/** Does something while no worker lives. */
async function unwatched({ bed }: Scene, act: () => Promise<void>): Promise<void> {
  await Promise.all(WORKERS.map((name) => bed.ctl('kill', name)))
  await act()
  await Promise.all(WORKERS.map((name) => bed.ctl('start', name)))
}

/** Status of a worker's health endpoint; 0 when it does not answer. */
async function health({ bed }: Scene, worker: string, path: string): Promise<number> {
  const url = (bed.env[`METRICS_${worker.toUpperCase().replace('-', '_')}`] ?? '').replace('/metrics', path)
  return fetch(url, { signal: AbortSignal.timeout(2000) }).then(
    ({ status }) => status,
    () => 0
  )
}

const restarts = async ({ bed }: Scene): Promise<readonly number[]> =>
  (await bed.status()).filter(({ name }) => name.startsWith('worker-')).map((status) => status.restarts)

export const RESTARTS: readonly Row[] = [
  row('pods that ended, came, changed and went while no worker lived', async (scene, t) => {
    const { kubelet, yard } = scene
    const [kept] = scene.addresses()
    for (const name of ['completed', 'deleted', 'edited']) await scene.pod(name, { annotations: STARTED })
    await scene.pod('kept', { annotations: BY_HAND })
    await kubelet.run('kept', [kept])
    await yard.until('all to be granted', async () => (await scene.ours()).length === 7)
    await unwatched(scene, async () => {
      await scene.ends(['completed', 'deleted', 'edited'], () => kubelet.finish('completed', 'Succeeded'))
      await yard.delete('deleted', '--force', '--grace-period=0')
      await yard.patch('edited', { metadata: { annotations: scene.asks('tcp:80') } })
      await scene.pod('young', { annotations: STARTED })
      await yard.addresses('young')
      t.ok((await yard.get('deleted'))?.metadata?.finalizers?.includes(FINALIZER), 'held meanwhile')
    })
    const rules = [
      ...(await yard.addresses('edited')).map((ip) => ruleOn('tcp 80-80', ip)),
      ...(await yard.addresses('young')).map((ip) => ruleOn(HTTPS, ip)),
      ruleOn(HTTPS, kept)
    ]
    await scene.holds(rules)
    await yard.gone('deleted')
    await scene.released('completed')
    scene.wanted(rules)
    for (const name of ['edited', 'young', 'kept']) await scene.ends(rules, () => kubelet.finish(name, 'Succeeded'))
  }),

  row('an orphan: the object went, finalizer and all, while no worker lived', async (scene) => {
    const { yard } = scene
    await scene.pod('orphaned', { annotations: STARTED })
    await scene.granted([HTTPS], 'orphaned')
    await unwatched(scene, () =>
      scene.ends(['orphaned'], async () => {
        await yard.delete('orphaned', '--force', '--grace-period=0')
        await yard.patch('orphaned', { metadata: { finalizers: null } })
        await yard.gone('orphaned')
      })
    )
    await scene.holds([])
  }),

  row(
    'marks taken off while no worker lived: a living pod gets them back, an ended one is released',
    async (scene, t) => {
      const { kubelet, yard } = scene
      const unmarked = { metadata: { labels: { [LABEL]: null } } }
      await scene.pod('living', { annotations: STARTED })
      await scene.pod('ended', { annotations: STARTED })
      await scene.granted([HTTPS], 'living', 'ended')
      await unwatched(scene, async () => {
        await yard.patch('living', unmarked)
        await yard.patch('living', { metadata: { finalizers: null } }, 'status')
        await yard.patch('ended', unmarked)
        await scene.ends(['ended'], () => yard.delete('ended', '--force', '--grace-period=0'))
        t.ok((await yard.get('ended'))?.metadata?.finalizers?.includes(FINALIZER))
      })
      await yard.gone('ended')
      await yard.until('the marks to be back', async () => {
        const { finalizers, labels } = (await yard.get('living'))?.metadata ?? {}
        return finalizers?.includes(FINALIZER) === true && labels?.[LABEL] === 'true'
      })
      await scene.granted([HTTPS], 'living')
      await scene.ends(['living'], () => kubelet.finish('living', 'Succeeded'))
    }
  ),

  row('the deadline counts from the end of the pod, and not from the start of the worker', async (scene, t) => {
    const { bed, group, kubelet, yard } = scene
    await scene.pod('late', { annotations: STARTED })
    await scene.granted([HTTPS], 'late')
    const rules = await scene.ours()
    await bed.fault({ action: REVOKE, groupId: group, fault: 'unauthorized' })
    await unwatched(scene, async () => {
      await yard.delete('late')
      await scene.ends(rules, () => kubelet.finish('late', 'Succeeded', Date.now() - 3_600_000))
    })
    // MAX_HOLD is much longer here than any test waits.
    t.match(await yard.event('late', 'FinalizerHoldExceeded'), 'released after MAX_HOLD')
    await scene.released('late')
    t.same(await scene.ours(), rules)
    t.ok(
      (await bed.calls()).some((call) => call.action === REVOKE && call.groupId === group),
      'an attempt was made'
    )
    await bed.clearFaults(group)
    await scene.holds([])
    await yard.gone('late')
  }),

  row('what came past the webhook is judged by the worker: malformed, and not permitted', async (scene, t) => {
    const { bed, group } = scene
    // The webhook does not look at this namespace.
    const path = '/api/v1/namespaces/kube-system/pods'
    const containers = [{ name: 'app', image: 'example.com/app' }]
    const make = (name: string, ports: string) =>
      scene.call('POST', path, { metadata: { name, annotations: scene.asks(ports) }, spec: { containers } })
    await unwatched(scene, async () => {
      await make('malformed', 'tcp:70000')
      await make('unpermitted', 'tcp:443')
    })
    const reasonOf = async (name: string): Promise<string> => {
      const { status } = await scene.call('GET', `${path}/${name}`)
      const { conditions = [] } = status as { conditions?: { type: string; reason?: string }[] }
      return conditions.find(({ type }) => type === 'sg.amazonaws.com/rules-in-effect')?.reason ?? ''
    }
    await scene.yard.until(
      'the malformed one to be told',
      async () => (await reasonOf('malformed')) === 'InvalidAnnotation'
    )
    await scene.yard.until('the other one to be told', async () => (await reasonOf('unpermitted')) === 'NotPermitted')
    await scene.caughtUp()
    t.same(await scene.ours(), [])
    const system = await openYard(bed, 'kube-system')
    const rules = (await system.addresses('unpermitted')).map((ip) => ruleOn(HTTPS, ip))
    await scene.holds(rules)
    t.ok((await system.get('unpermitted'))?.metadata?.finalizers?.includes(FINALIZER), 'it has its marks by now')
    await scene.ends(rules, () => system.delete('unpermitted'))
    await system.gone('unpermitted')
    await system.delete('malformed')
    await system.gone('malformed')
    t.equal((await bed.rules(group)).length, 1)
  }),

  row('EC2 is silent when the workers start: they live, are not ready, and serve when it is back', async (scene, t) => {
    const { bed, yard } = scene
    await scene.pod('patient', { annotations: STARTED })
    await scene.granted([HTTPS], 'patient')
    const rules = await scene.ours()
    const before = await restarts(scene)
    await Promise.all(WORKERS.map((name) => bed.ctl('kill', name)))
    await scene.ends(rules, () => scene.kubelet.finish('patient', 'Succeeded'))
    await bed.ctl('pause', 'ec2')
    const started = Promise.all(WORKERS.map((name) => bed.ctl('start', name)))
    started.catch(() => undefined)
    try {
      let leader = ''
      await yard.until('one to lead', async () => (leader = (await leaders(bed))[0] ?? '') !== '')
      t.match(await yard.reason('patient', 'RevokeFailed'), 'EC2')
      t.equal(await health(scene, leader, '/livez'), 200)
      t.equal(await health(scene, leader, '/readyz'), 503)
    } finally {
      await bed.ctl('resume', 'ec2')
    }
    await started
    await scene.holds([])
    await scene.released('patient')
    t.same(await restarts(scene), before, 'nobody ended over it')
  })
]
