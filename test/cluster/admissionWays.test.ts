/**
 * Every way to our annotations, on a real API server: what each request comes to, and which ones we never see. Past 200
 * lines because a control plane of its own for each part would cost more than the length.
 */
import t from 'tap'
import { eventually, startBed } from '../../bed/bed.ts'
import type { Answer, Bed, KubeObject } from '../../bed/bed.ts'
import {
  A,
  admissionOf,
  B,
  FINALIZER,
  GATE,
  MANAGED,
  pathOf,
  permission,
  pod,
  refusal,
  UNSEEN,
  workloads
} from './admissionFixture.ts'

// No workers and no nodes' kubelets: what admission leaves behind stays as it is.
const bed: Bed = await startBed({ workers: 0, kwok: false })
t.teardown(() => bed.stop())
const { namespace, create, podOf, patch, arrived, decided } = admissionOf(bed)
const annotate = (ns: string, name: string, annotations: object, subresource?: string): Promise<KubeObject> =>
  patch(ns, name, { metadata: { annotations } }, subresource)
const annotationsOf = async (ns: string, name: string): Promise<unknown> =>
  (await podOf(ns, name)).metadata?.annotations

t.test('a pod is created: stamped and judged, also when the API server makes up its name', async (t) => {
  const ns = await namespace()
  t.match(await create(pod(ns, 'good', { [A]: 'tcp:443' })), { code: 0, stderr: '' })
  t.match((await podOf(ns, 'good')).metadata, { finalizers: [FINALIZER], labels: { [MANAGED]: 'true' } })
  t.match((await create(pod(ns, 'bad', { [A]: 'tpc:443' }))).stderr, /^The Pod "bad" is invalid: /)
  const generated = (value: string) =>
    create(pod(ns, '', { [A]: value }, { name: undefined, generateName: 'made-up-' }), '-o=json')
  t.match((await generated('tpc:443')).stderr, /^The Pod "made-up-.{5}" is invalid: /)
  const made = JSON.parse((await generated('tcp:443')).stdout) as KubeObject
  t.match(made.metadata, { name: /^made-up-.{5}$/, finalizers: [FINALIZER] })
})

t.test('an edit is judged by the keys it changes, whether it is a PUT, a patch or a server-side apply', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'p', { [A]: 'tcp:443' }))
  t.match(await refusal(annotate(ns, 'p', { [A]: 'tcp:9-8' })), { status: 422 })
  t.match(await refusal(annotate(ns, 'p', { [B]: 'tcp:443' })), { status: 403 })
  t.match(await refusal(annotate(ns, 'p', { 'sg.amazonaws.com': 'tcp:443' })), { status: 422 })
  const now = await podOf(ns, 'p')
  const put = { ...now, metadata: { ...now.metadata, annotations: { [A]: 'tcp:0' } } }
  t.match(await refusal(bed.api.call('PUT', pathOf(ns, 'p'), put)), { status: 422 })
  const json = JSON.stringify([{ op: 'replace', path: `/metadata/annotations/${A.replace('/', '~1')}`, value: '' }])
  t.match((await bed.kubectl(['patch', 'pod', '-n', ns, 'p', '--type=json', '-p', json])).stderr, /must not be empty/)
  const apply = (name: string, value: string): Promise<Answer> =>
    bed.kubectl(
      ['apply', '--server-side', '--force-conflicts', '-f', '-'],
      JSON.stringify(pod(ns, name, { [A]: value }))
    )
  t.match((await apply('p', 'tpc:1')).stderr, /did you mean 'tcp:1'/)
  t.match(await apply('p', 'tcp:1'), { code: 0, stderr: '' })
  t.match((await apply('new', 'tpc:1')).stderr, /did you mean 'tcp:1'/)
  t.match(await apply('new', 'tcp:1'), { code: 0, stderr: '' })
  t.same((await podOf(ns, 'new')).metadata?.finalizers, [FINALIZER])
})

t.test('our keys can always be taken away, without permission and without the stamp too', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'p', { [A]: 'tcp:443', [GATE]: 'false' }))
  await bed.kubectl(['delete', 'rolebinding', '-n', ns, 'use-sg-0123abcd'])
  await patch(ns, 'p', { metadata: { finalizers: null, labels: { [MANAGED]: null } } })
  await annotate(ns, 'p', { [GATE]: null })
  t.same(await annotationsOf(ns, 'p'), { [A]: 'tcp:443' })
  await annotate(ns, 'p', { [A]: null })
  t.same(await annotationsOf(ns, 'p'), undefined)
})

t.test('no way through pods/status, whatever the value, and the status goes on', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'p', { [A]: 'tcp:443' }))
  const told = {
    status: 403,
    message: new RegExp(`annotations\\[${A}\\] must not be changed through pods/status: annotate`)
  }
  for (const value of ['tcp:1-100', 'tpc:1', null])
    t.match(await refusal(annotate(ns, 'p', { [A]: value }, 'status')), told)
  t.match(await refusal(annotate(ns, 'p', { [B]: 'tcp:443' }, 'status')), { status: 403 })
  const now = await podOf(ns, 'p')
  const put = { ...now, metadata: { ...now.metadata, annotations: {} } }
  t.match(await refusal(bed.api.call('PUT', `${pathOf(ns, 'p')}/status`, put)), told)
  t.same(await annotationsOf(ns, 'p'), { [A]: 'tcp:443' })
  const before = await arrived()
  await patch(ns, 'p', { status: { message: 'x' }, metadata: { annotations: { other: 'y' } } }, 'status')
  await patch(ns, 'p', { metadata: { finalizers: null } }, 'status')
  t.equal(await arrived(), before, 'what leaves our keys alone is not asked about')
  t.match(await podOf(ns, 'p'), { metadata: { annotations: { other: 'y', [A]: 'tcp:443' } }, status: { message: 'x' } })
})

t.test('no way through pods/binding and bindings, and a scheduler goes on', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'p', { [A]: 'tcp:443' }, {}, { schedulerName: 'nobody' }))
  await create(pod(ns, 'plain', {}, {}, { schedulerName: 'nobody' }))
  const target = { apiVersion: 'v1', kind: 'Node', name: 'n' }
  const binding = (name: string, annotations?: object) => ({
    apiVersion: 'v1',
    kind: 'Binding',
    metadata: { name, annotations },
    target
  })
  for (const [name, annotations] of [
    ['p', { [A]: 'tcp:1-100' }],
    ['plain', { [A]: 'tcp:443' }],
    ['plain', { 'sg.amazonaws.com': 'x' }]
  ] as const) {
    const body = binding(name, annotations)
    const [key] = Object.keys(annotations)
    const told = (through: string) => ({
      status: 403,
      message: new RegExp(`annotations\\[${key}\\] must not be changed through ${through}: `)
    })
    t.match(await refusal(bed.api.call('POST', `${pathOf(ns, name)}/binding`, body)), told('pods/binding'))
    t.match(await refusal(bed.api.call('POST', `/api/v1/namespaces/${ns}/bindings`, body)), told('bindings'))
  }
  const before = await arrived()
  await bed.api.call('POST', `${pathOf(ns, 'p')}/binding`, binding('p', { other: 'y' }))
  await bed.api.call('POST', `/api/v1/namespaces/${ns}/bindings`, binding('plain'))
  t.equal(await arrived(), before)
  t.match(await podOf(ns, 'p'), { metadata: { annotations: { [A]: 'tcp:443', other: 'y' } }, spec: { nodeName: 'n' } })
})

t.test('ephemeralcontainers and resize cannot change annotations, and are not asked about', async (t) => {
  const ns = await namespace()
  const resources = { requests: { cpu: '1' }, limits: { cpu: '2' } }
  const containers = [{ name: 'c', image: 'x', resources }]
  await create(pod(ns, 'p', { [A]: 'tcp:443' }, {}, { containers }))
  const before = await arrived()
  const through = (subresource: string, spec: object): Promise<Answer> => {
    const body = JSON.stringify({
      metadata: { annotations: { [A]: 'all', [B]: 'all' }, finalizers: null, labels: { [MANAGED]: null } },
      spec
    })
    return bed.kubectl(['patch', 'pod', '-n', ns, 'p', `--subresource=${subresource}`, '-p', body])
  }
  t.match(await through('ephemeralcontainers', { ephemeralContainers: [{ name: 'debug', image: 'x' }] }), { code: 0 })
  t.match(await through('resize', { containers: [{ name: 'c', resources: { requests: { cpu: '500m' } } }] }), {
    code: 0
  })
  t.match(await podOf(ns, 'p'), {
    metadata: {
      annotations: { [A]: 'tcp:443', [B]: undefined },
      finalizers: [FINALIZER],
      labels: { [MANAGED]: 'true' }
    },
    spec: { ephemeralContainers: [{ name: 'debug' }], containers: [{ resources: { requests: { cpu: '500m' } } }] }
  })
  t.equal(await arrived(), before)
})

t.test('what does not touch our keys never arrives: plain pods, edits, evictions, deletions', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'ours', { [A]: 'tcp:443' }))
  const before = await arrived()
  for (const name of ['plain', 'evicted']) t.match(await create(pod(ns, name, { 'example.com/x': 'y' })), { code: 0 })
  await patch(ns, 'ours', { metadata: { labels: { x: 'y' }, annotations: { 'example.com/x': 'y' } } })
  await patch(ns, 'ours', { metadata: { labels: { [MANAGED]: null } } })
  await patch(ns, 'ours', { metadata: { finalizers: null } })
  const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'evicted' } }
  await bed.api.call('POST', `${pathOf(ns, 'evicted')}/eviction`, eviction)
  await bed.kubectl(['delete', 'pod', '-n', ns, 'plain', 'ours', '--now', '--timeout=30s'])
  await bed.kubectl(['create', 'deployment', '-n', ns, 'd', '--image=x', '--replicas=3'])
  await eventually('its pods', async () => {
    const { items } = (await bed.api.call('GET', `/api/v1/namespaces/${ns}/pods`)) as { items?: KubeObject[] }
    return items?.length === 3 || undefined
  })
  await bed.kubectl(['scale', 'deployment', '-n', ns, 'd', '--replicas=0'])
  t.equal(await arrived(), before)
})

t.test("mirror pods are the kubelet's own: neither stamped nor judged, and they stay mirrors", async (t) => {
  const ns = await namespace()
  const mirror = { 'kubernetes.io/config.mirror': 'x' }
  const before = await arrived()
  t.match(await create(pod(ns, 'p', { ...mirror, [B]: 'tpc:1' }, {}, { nodeName: 'n' })), { code: 0, stderr: '' })
  t.equal(await arrived(), before)
  t.same((await podOf(ns, 'p')).metadata?.finalizers, undefined)
  for (const subresource of [undefined, 'status'])
    t.match(await refusal(annotate(ns, 'p', { 'kubernetes.io/config.mirror': null }, subresource)), { status: 422 })
})

for (const { kind, apiVersion, path, body } of workloads())
  t.test(`a mistake in a ${kind} is told at once`, async (t) => {
    const ns = await namespace()
    const object = (annotations: object, podSpec?: object): KubeObject => ({
      apiVersion,
      kind,
      metadata: { name: 'w', namespace: ns },
      ...body(annotations, podSpec)
    })
    const dryRun = (...of: Parameters<typeof object>): Promise<Answer> => create(object(...of), '--dry-run=server')
    const mistake = `The ${kind} "w" is invalid: ${path}.metadata.annotations[${A}]: Invalid value: "tpc:443": protocol must be 'tcp', 'udp', 'icmp', 'icmpv6', 'all' or a number from 0 to 255; did you mean 'tcp:443'?\n`
    t.equal((await dryRun({ [A]: 'tpc:443' })).stderr, mistake)
    t.match(await dryRun({ [A]: 'tcp:443' }), { code: 0, stderr: '' })
    t.match(
      (await dryRun({ [A]: 'tcp:443' }, { hostNetwork: true })).stderr,
      new RegExp(`: ${path}.spec.hostNetwork: `)
    )
    const warning = `Warning: service account 'default' of namespace '${ns}' may not use security group 'sg-0123abce'; give it a Role: apiGroups [sg.amazonaws.com], resources [securitygroups], resourceNames [sg-0123abce], verbs [use]\n`
    t.match(await dryRun({ [A]: 'tcp:443', [B]: 'tcp:443' }), { code: 0, stderr: warning })
  })

t.test('what a controller made is not judged again, and its pods are', async (t) => {
  const ns = await namespace()
  const [deployment] = workloads()
  const [deployments, replicaSets] = [await decided('deployments'), await decided('replicasets')]
  const object = { ...deployment?.body({ [B]: 'tcp:443' }), apiVersion: 'apps/v1', kind: 'Deployment' }
  t.match((await create({ ...object, metadata: { name: 'w', namespace: ns } })).stderr, /^Warning: .* may not use/)
  const note = await eventually('an Event of the ReplicaSet', async () => {
    const { items } = (await bed.api.call('GET', `/api/v1/namespaces/${ns}/events`)) as { items?: KubeObject[] }
    return items?.find(({ reason }) => reason === 'FailedCreate')?.message as string | undefined
  })
  t.same([await decided('deployments'), await decided('replicasets')], [deployments + 1, replicaSets])
  t.match(note, /service account 'default' .* may not use security group 'sg-0123abce'; to permit it, apply:\n/)
  await bed.apply(permission(ns, 'sg-0123abce'))
  await eventually('the pod', async () => {
    const { items } = (await bed.api.call('GET', `/api/v1/namespaces/${ns}/pods`)) as { items?: KubeObject[] }
    return items?.some(({ metadata }) => metadata?.finalizers?.includes(FINALIZER)) === true || undefined
  })
})

t.test('annotations on a workload itself, and a template that changes its account or its network', async (t) => {
  const ns = await namespace()
  const deployment = (own: Record<string, string>, onPods: object, podSpec: object = {}): KubeObject => {
    const body = workloads()[0]?.body(onPods, podSpec) as { spec: object }
    const metadata = { name: 'w', namespace: ns, annotations: own }
    return { apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: { ...body.spec, replicas: 0 } }
  }
  const replace = (object: KubeObject): Promise<Answer> => bed.kubectl(['replace', '-f', '-'], JSON.stringify(object))
  const misplaced = `Warning: metadata.annotations[${A}]: has no effect here: kube-sg reads what is on the pods; write it below spec.template.metadata.annotations\n`
  t.match(await create(deployment({ [A]: 'tcp:443' }, {})), { code: 0, stderr: misplaced })
  t.match(await replace(deployment({}, { [A]: 'tcp:443' })), { code: 0, stderr: '' })
  t.match((await replace(deployment({}, { [A]: 'tcp:443' }, { serviceAccountName: 'db' }))).stderr, /^Warning: .*'db'/)
  t.match((await replace(deployment({}, { [A]: 'tcp:443' }, { hostNetwork: true }))).stderr, /hostNetwork/)
})

t.test('scale and status of a workload cannot change its template, and are not asked about', async (t) => {
  const ns = await namespace()
  const body = workloads()[0]?.body({ [A]: 'tcp:443' }) as { spec: object }
  const metadata = { name: 'w', namespace: ns }
  await create({ apiVersion: 'apps/v1', kind: 'Deployment', metadata, spec: { ...body.spec, replicas: 0 } })
  const before = await arrived()
  const path = `/apis/apps/v1/namespaces/${ns}/deployments/w`
  const spec = { template: { metadata: { annotations: { [A]: 'tpc:1', [B]: 'all' } } } }
  await bed.api.patch(`${path}/status`, { spec, status: { replicas: 7 } })
  await bed.api.patch(`${path}/scale`, { metadata: { annotations: { [B]: 'all' } }, spec: { ...spec, replicas: 0 } })
  t.equal(await arrived(), before)
  const found = (await bed.api.call('GET', path)) as unknown as { spec: typeof spec; metadata: object }
  t.same(found.spec.template.metadata.annotations, { [A]: 'tcp:443' })
  t.notMatch(found.metadata, { annotations: { [B]: 'all' } })
})

/** As Pod Security asks for it in our own namespace. */
const RESTRICTED = {
  securityContext: { runAsNonRoot: true, runAsUser: 1, seccompProfile: { type: 'RuntimeDefault' } },
  containers: [
    { name: 'c', image: 'x', securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } }
  ]
}

t.test('kube-system and our own namespace are never asked about', async (t) => {
  const before = await arrived()
  for (const ns of ['kube-system', 'kube-sg']) {
    t.match(await create(pod(ns, 'unasked', { [A]: 'tpc:443' }, {}, RESTRICTED)), { code: 0 }, ns)
    t.same((await podOf(ns, 'unasked')).metadata?.finalizers, undefined)
    await bed.kubectl(['delete', 'pod', '-n', ns, 'unasked', '--now', '--timeout=30s'])
  }
  t.equal(await arrived(), before)
})

t.test('what is bad already never blocks an edit that leaves it alone', async (t) => {
  const ns = await namespace()
  const bad = { [A]: 'tpc:1', 'sg.amazonaws.com/egress': '', 'sg.amazonaws.com': 'x', ...manyGroups(20) }
  t.match(await create(pod(ns, 'p', bad, {}, { hostNetwork: true }), ...UNSEEN), { code: 0 })
  const before = await arrived()
  await patch(ns, 'p', { metadata: { labels: { x: 'y' }, annotations: { other: 'z' }, finalizers: ['example.com/x'] } })
  await patch(ns, 'p', { metadata: { finalizers: null }, spec: { activeDeadlineSeconds: 100 } })
  await patch(ns, 'p', { status: { phase: 'Succeeded' } }, 'status')
  t.equal(await arrived(), before)
  await annotate(ns, 'p', { 'sg.amazonaws.com/egress': null })
  t.match(await refusal(annotate(ns, 'p', { [A]: 'tpc:2' })), { status: 422 })
  t.match(await bed.kubectl(['delete', 'pod', '-n', ns, 'p', '--now', '--timeout=30s']), { code: 0 })
})

const manyGroups = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`sg.amazonaws.com/sg-000000${10 + index}`, 'tcp:1']))

t.test('a pod that has ended or is being deleted can be edited, released and deleted', async (t) => {
  const ns = await namespace()
  for (const phase of ['Succeeded', 'Failed']) {
    const name = phase.toLowerCase()
    await create(pod(ns, name, { [A]: 'tcp:443' }))
    await patch(ns, name, { status: { phase } }, 'status')
    await patch(ns, name, { metadata: { finalizers: null } })
    await annotate(ns, name, { [A]: 'tcp:444' })
    t.same((await podOf(ns, name)).metadata?.finalizers, undefined, 'a released pod is not held again')
    t.match(await refusal(annotate(ns, name, { [A]: 'tpc:1' })), { status: 422 }, 'nobody meant that')
    t.match(await bed.kubectl(['delete', 'pod', '-n', ns, name, '--now', '--timeout=30s']), { code: 0 })
  }
  await create(pod(ns, 'dying', { [A]: 'tcp:443' }, { finalizers: ['example.com/x', FINALIZER] }))
  await bed.kubectl(['delete', 'pod', '-n', ns, 'dying', '--now', '--wait=false'])
  await patch(ns, 'dying', { metadata: { labels: { x: 'y' }, annotations: { other: 'y' } } })
  await patch(ns, 'dying', { metadata: { finalizers: ['example.com/x'] } })
  await annotate(ns, 'dying', { [A]: 'tcp:444' })
  t.same((await podOf(ns, 'dying')).metadata?.finalizers, ['example.com/x'], 'nor is one that is going')
  await patch(ns, 'dying', { metadata: { finalizers: null } })
  t.match(await refusal(podOf(ns, 'dying')), { status: 404 })
})

t.test('without any webhook: others go on, annotated pods wait, every pod can be released and deleted', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'old', { [A]: 'tcp:443' }))
  await Promise.all(['webhook-0', 'webhook-1'].map((name) => bed.ctl('stop', name)))
  const bad = workloads().map(({ kind, apiVersion, body }) => ({
    apiVersion,
    kind,
    metadata: { name: 'w', namespace: ns },
    ...body({ [A]: 'tpc:443' })
  }))
  try {
    t.match(await create(pod(ns, 'plain', {})), { code: 0 })
    const waits = await create(pod(ns, 'new', { [A]: 'tcp:443' }))
    t.match(waits.stderr, /failed calling webhook "stamp\.sg\.amazonaws\.com"/)
    t.match(await refusal(annotate(ns, 'old', { [A]: 'tcp:444' })), { status: 500 })
    t.match(await refusal(annotate(ns, 'old', { [A]: 'tcp:444' }, 'status')), { status: 500 })
    for (const object of bad) t.match(await create(object), { code: 0 }, `${object.kind}: its pods will be checked`)
    await patch(ns, 'old', { metadata: { labels: { x: 'y' } } })
    await patch(ns, 'old', { status: { phase: 'Succeeded' } }, 'status')
    await patch(ns, 'old', { metadata: { finalizers: null } })
    t.match(await bed.kubectl(['delete', 'pod', '-n', ns, 'old', '--now', '--timeout=30s']), { code: 0 })
  } finally {
    await Promise.all(['webhook-0', 'webhook-1'].map((name) => bed.ctl('start', name)))
  }
  await eventually(
    'the webhook',
    async () => (await create(pod(ns, 'new', { [A]: 'tcp:443' }))).code === 0 || undefined
  )
  for (const { kind } of bad) {
    t.match(await bed.kubectl(['label', kind, '-n', ns, 'w', 'x=y']), { code: 0, stderr: '' }, `${kind} can be edited`)
    t.match(await bed.kubectl(['delete', kind, '-n', ns, 'w', '--wait=false']), { code: 0 }, `${kind} can be deleted`)
  }
})
