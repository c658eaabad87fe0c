/**
 * What is done to pods before and in an outage of the webhook, and what must come of it, with the backstop and without it.
 * Long, as what one act leaves the next one needs.
 */
import type { Test } from 'tap'
import type { KubeObject } from '../../bed/bed.ts'
import { FINALIZER, LABEL } from './pods.ts'
import {
  status,
  refusal,
  pods,
  pod,
  inParallel,
  groupOf,
  judged,
  reviews,
  DELAY,
  podOfJob,
  GATE,
  CONDITION,
  key,
  MALFORMED
} from './outageStage.ts'
import type { Stage } from './outageStage.ts'

export async function together(t: Test, stage: Stage): Promise<void> {
  const { bed, yard } = stage
  const group = groupOf(stage, 0)
  const before = await reviews(bed)
  const annotations = { [key(group)]: 'tcp:443', [GATE]: 'true' }
  const gates = { readinessGates: [{ conditionType: 'example.com/other' }] }
  const labels = { app: 'x' }
  await bed.api.call(
    'POST',
    pods('default'),
    pod('both', annotations, gates, { labels, finalizers: ['example.com/other'] })
  )
  const made = await yard.get('both')
  t.same(made?.metadata?.finalizers, ['example.com/other', FINALIZER])
  t.match(made?.metadata?.labels, { app: 'x', [LABEL]: 'true' })
  t.match(made?.spec, { readinessGates: [{ conditionType: 'example.com/other' }, { conditionType: CONDITION }] })
  t.ok(
    (await reviews(bed)) >= before + 2,
    'the webhook is asked as well, and trusted: it got its certificate authority'
  )
  await yard.granted(group, ['tcp 443-443'], 'both')
  await yard.patch('both', { metadata: { annotations: { [key(group)]: 'tcp:444' } } })
  await yard.granted(group, ['tcp 444-444'], 'both')
  t.same((await yard.get('both'))?.metadata?.finalizers, ['example.com/other', FINALIZER])
  await yard.patch('both', { metadata: { finalizers: [FINALIZER] } })
  await yard.delete('both')
  await yard.gone('both')
  await yard.empty(group)
}

/** Its replicas are there and say nothing, which is worse than gone: each call waits for its timeout. */
export async function hang(t: Test, stage: Stage): Promise<void> {
  const { bed, yard } = stage
  const group = groupOf(stage, 0)
  const replicas = ['webhook-0', 'webhook-1']
  await Promise.all(replicas.map((name) => bed.ctl('pause', name)))
  try {
    const create = (namespace: string, name: string, value: string): Promise<number> =>
      status(bed.api.call('POST', pods(namespace), pod(name, { [key(group)]: value })))
    const answers = [
      create('default', 'good', 'tcp:443'),
      create('default', 'malformed', 'tpc:443'),
      create('locked', 'unpermitted', 'tcp:443')
    ]
    t.same(await Promise.all(answers), [judged(stage, 0), judged(stage, 422), judged(stage, 403)])
    t.equal(await status(bed.api.call('POST', pods('default'), pod('plain', { a: 'b' }))), 0, 'others are not held up')
  } finally {
    await Promise.all(replicas.map((name) => bed.ctl('resume', name)))
    const dry = pod('probe', { [key(group)]: 'tcp:443' })
    const probe = (): Promise<number> => status(bed.api.call('POST', `${pods('default')}?dryRun=All`, dry))
    await yard.until('the webhook to answer again', async () => (await probe()) === 0)
  }
  await yard.delete('plain')
  if (!stage.backstop) return
  t.same((await yard.get('good'))?.metadata?.finalizers, [FINALIZER])
  await yard.granted(group, ['tcp 443-443'], 'good')
  await yard.delete('good')
  await yard.empty(group)
}

export async function workloads(t: Test, { bed, groups: [group = ''] }: Stage): Promise<void> {
  const deployment = (value: string): KubeObject => ({
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: { name: 'w' },
    spec: {
      selector: { matchLabels: { a: 'b' } },
      template: {
        metadata: { labels: { a: 'b' }, annotations: { [key(group)]: value } },
        spec: { containers: [{ name: 'c', image: 'x' }] }
      }
    }
  })
  const path = '/apis/apps/v1/namespaces/default/deployments?dryRun=All'
  t.match(await refusal(bed.api.call('POST', path, deployment('tpc:443'))), {
    status: 422,
    message: /did you mean 'tcp:443'/
  })
}

export async function createMany(t: Test, stage: Stage): Promise<void> {
  const { bed, yard, backstop } = stage
  const names = Array.from({ length: 200 }, (_, index) => `many-${index}`)
  const wrong: string[] = []
  const expect = async (what: string, wanted: number, call: Promise<unknown>): Promise<void> => {
    const found = await status(call)
    if (found !== wanted) wrong.push(`${what}: ${found} in place of ${wanted}`)
  }
  await inParallel([...names.entries()], async ([index, name]) => {
    const good = pod(name, { [key(groupOf(stage, index))]: 'tcp:443' }, { schedulerName: 'nobody' })
    await expect(name, judged(stage, 0), bed.api.call('POST', pods('default'), good))
    if (index % 4 === 0) {
      const malformed = MALFORMED[(index / 4) % MALFORMED.length] ?? {}
      const bad = pod(`bad-${index}`, malformed)
      await expect(JSON.stringify(malformed), judged(stage, 422), bed.api.call('POST', pods('default'), bad))
      await expect(
        'hostNetwork',
        judged(stage, 422),
        bed.api.call('POST', pods('default'), {
          ...good,
          metadata: { ...good.metadata, name: `host-${index}` },
          spec: { ...(good.spec as object), hostNetwork: true }
        })
      )
      await expect('not permitted', judged(stage, 403), bed.api.call('POST', pods('locked'), good))
      await expect(
        'a plain pod',
        0,
        bed.api.call('POST', pods('locked'), pod(`plain-${index}`, {}, { schedulerName: 'nobody' }))
      )
    }
  })
  t.same(
    wrong,
    [],
    backstop ? 'none blocked, none malformed, none unpermitted' : 'all that is ours waits, and nothing else'
  )
  const made = (await yard.pods()).filter(({ metadata }) => metadata?.name?.startsWith('many-'))
  t.equal(made.length, backstop ? 200 : 0)
  const unstamped = made.filter(
    ({ metadata }) => metadata?.finalizers?.join() !== FINALIZER || metadata.labels?.[LABEL] !== 'true'
  )
  t.same(unstamped, [], 'all stamped, once')
  t.notOk((await yard.pods()).some(({ metadata }) => /^(bad|host)-/.test(metadata?.name ?? '')))
  for (const { metadata } of made) await yard.delete(metadata?.name ?? '')
  if (backstop) await yard.gone('many-0')
}

export async function editMany(t: Test, stage: Stage): Promise<void> {
  const { bed, yard } = stage
  const group = groupOf(stage, 1)
  const annotate = (name: string, annotations: object): Promise<number> =>
    status(yard.patch(name, { metadata: { annotations } }))
  t.equal(await annotate('living', { [key(group)]: 'tcp:5050-5000' }), judged(stage, 422))
  t.equal(await annotate('living', { [key(group)]: 'tcp:443,udp:53' }), judged(stage, 0))
  t.equal(await annotate('living', { 'example.com/x': 'y' }), 0, "what is not ours is nobody's business")
  t.equal(await status(yard.patch('living', { metadata: { labels: { x: 'y' } } })), 0)
  const hidden = { metadata: { annotations: { [key(group)]: 'tcp:1-100' } } }
  t.equal(await status(yard.patch('living', hidden, 'status')), judged(stage, 403))
  t.equal(await status(yard.patch('living', { status: { message: 'x' } }, 'status')), 0)
  const binding = {
    ...hidden,
    apiVersion: 'v1',
    kind: 'Binding',
    target: { apiVersion: 'v1', kind: 'Node', name: 'node-0' }
  }
  await bed.api.call('POST', pods('default'), pod('unbound', {}, { schedulerName: 'nobody' }))
  const bind = (path: string): Promise<number> =>
    status(
      bed.api.call('POST', `/api/v1/namespaces/default/${path}`, {
        ...binding,
        metadata: { ...hidden.metadata, name: 'unbound' }
      })
    )
  t.equal(await bind('pods/unbound/binding'), judged(stage, 403))
  t.equal(await bind('bindings'), judged(stage, 403))
  t.same((await yard.get('unbound'))?.metadata?.annotations, undefined)
  await yard.granted(group, stage.backstop ? ['tcp 443-443', 'udp 53-53'] : ['tcp 443-443'], 'living')
  const asWorker = [
    '--as=system:serviceaccount:kube-sg:kube-sg-worker',
    'annotate',
    'pod',
    'living',
    '--overwrite',
    `${key(group)}=nonsense`
  ]
  t.match(await bed.kubectl(asWorker), { code: 0 }, 'the worker is never in its own way')
  await yard.empty(group)
}

/** A Job runs to its end, its pod is released and can still be edited, and both can be deleted. */
export async function finish(t: Test, stage: Stage, name: string): Promise<void> {
  const { bed, yard } = stage
  const worker = await podOfJob(bed, name)
  await yard.patch(worker, { metadata: { annotations: { [DELAY]: '0s' } } })
  const path = `/apis/batch/v1/namespaces/default/jobs/${name}`
  await yard.until(`the Job ${name} to be complete`, async () => {
    const { succeeded } = ((await bed.api.call('GET', path)).status ?? {}) as { succeeded?: number }
    return succeeded === 1
  })
  await yard.until('its pod to be released', async () => {
    const { metadata, status } = (await yard.get(worker)) ?? {}
    return status?.phase === 'Succeeded' && metadata?.finalizers === undefined
  })
  t.equal(await status(yard.patch(worker, { metadata: { labels: { x: 'y' } } })), 0, 'a released pod can be edited')
  const group = groupOf(stage, 1)
  const ours = (value: string): Promise<number> =>
    status(yard.patch(worker, { metadata: { annotations: { [key(group)]: value } } }))
  t.equal(await ours('tcp:80'), judged(stage, 0), 'its annotation too, and no finalizer comes back')
  t.equal(await ours('tpc:80'), judged(stage, 422))
  t.equal((await yard.get(worker))?.metadata?.finalizers, undefined)
  await bed.api.call('DELETE', `${path}?propagationPolicy=Background`)
  await yard.gone(worker)
  await yard.until('the Job to be gone', () => bed.api.answers(path).then((answers) => !answers))
}

export async function end(t: Test, stage: Stage): Promise<void> {
  const { yard } = stage
  const group = groupOf(stage, 5)
  t.equal(await status(yard.patch('stripped', { metadata: { finalizers: null } })), 0, 'the finalizer can be removed')
  await yard.patch('doomed', { metadata: { finalizers: [FINALIZER, 'example.com/other'] } })
  await yard.delete('doomed')
  const late = { metadata: { annotations: { [key(group)]: 'tcp:80' } } }
  t.equal(await status(yard.patch('doomed', late)), judged(stage, 0), 'a deleting pod can be edited')
  await yard.until(
    'ours to be off',
    async () => (await yard.get('doomed'))?.metadata?.finalizers?.join() === 'example.com/other'
  )
  t.equal(await status(yard.patch('doomed', { metadata: { finalizers: null } })), 0)
  for (const name of ['stripped', 'living', 'unbound']) await yard.delete(name)
  for (const name of ['doomed', 'stripped', 'living']) await yard.gone(name)
  for (const each of stage.groups) await yard.empty(each)
}
