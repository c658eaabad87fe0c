/** The webhook behind a real API server: what users see, what never arrives, and every way to our annotations. */
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { eventually, startBed } from '../../bed/bed.ts'
import type { Answer, Bed, KubeObject } from '../../bed/bed.ts'

const A = 'sg.amazonaws.com/sg-0123abcd'
const B = 'sg.amazonaws.com/sg-0123abce'
const FINALIZER = 'sg.amazonaws.com/revoke-rules'
const MANAGED = 'sg.amazonaws.com/managed'

// No workers and no nodes' kubelets: what admission leaves behind stays as it is.
const bed: Bed = await startBed({ workers: 0, kwok: false })
t.teardown(() => bed.stop())
let count = 0

/** A namespace whose default service account may use group A. */
async function namespace(): Promise<string> {
  const name = `admission-${++count}`
  await bed.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name } }])
  await bed.apply(permission(name, 'sg-0123abcd'))
  await eventually('the service account', () =>
    bed.api.answers(`/api/v1/namespaces/${name}/serviceaccounts/default`).then((so) => so || undefined)
  )
  return name
}

function permission(namespace: string, groupId: string): KubeObject[] {
  const metadata = { name: `use-${groupId}`, namespace }
  const rule = {
    apiGroups: ['sg.amazonaws.com'],
    resources: ['securitygroups'],
    resourceNames: [groupId],
    verbs: ['use']
  }
  return [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata, rules: [rule] },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', namespace, name: 'default' }]
    }
  ]
}

const pod = (
  namespace: string,
  name: string,
  annotations: object,
  more: object = {},
  spec: object = {}
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name, namespace, annotations, ...more } as NonNullable<KubeObject['metadata']>,
  spec: { containers: [{ name: 'c', image: 'x' }], ...spec }
})

const create = (object: KubeObject, ...flags: string[]): Promise<Answer> =>
  bed.kubectl(['create', ...flags, '-f', '-'], JSON.stringify(object))
const podOf = (namespace: string, name: string): Promise<KubeObject> =>
  bed.api.call('GET', `/api/v1/namespaces/${namespace}/pods/${name}`)

/** What the API server answered instead of success. */
const refusal = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no refusal',
    (error: unknown) => error
  )

/** How often each path was called, by both replicas. */
async function reviews(path: string): Promise<number> {
  const urls = [bed.env.METRICS_WEBHOOK_0, bed.env.METRICS_WEBHOOK_1]
  const texts = await Promise.all(urls.map(async (url) => (await fetch(url ?? '')).text()))
  const line = new RegExp(`^controller_runtime_webhook_requests_total\\{webhook="${path}",code="\\d+"\\} (\\d+)$`, 'gm')
  return texts.flatMap((text) => [...text.matchAll(line)].map((match) => Number(match[1]))).reduce((a, b) => a + b, 0)
}

t.test('three mistakes, all three told, as kubectl prints them', async (t) => {
  const ns = await namespace()
  const answer = await create(
    pod(ns, 'bad', { [A]: 'tpc:443, tcp:5050-5000', 'sg.amazonaws.com/sg-1A2B3C4D': 'tcp:443' })
  )
  t.equal(answer.code, 1)
  t.equal(
    answer.stderr,
    `The Pod "bad" is invalid: 
* metadata.annotations[sg.amazonaws.com/sg-0123abcd]: Invalid value: "tpc:443": protocol must be 'tcp', 'udp', 'icmp', 'icmpv6', 'all' or a number from 0 to 255; did you mean 'tcp:443'?
* metadata.annotations[sg.amazonaws.com/sg-0123abcd]: Invalid value: "tcp:5050-5000": first port must be less than or equal to last port; did you mean 'tcp:5000-5050'?
* metadata.annotations[sg.amazonaws.com/sg-1A2B3C4D]: Invalid value: "sg.amazonaws.com/sg-1A2B3C4D": security group id must be 'sg-' and 8 or 17 hexadecimal digits in lower case; did you mean 'sg-1a2b3c4d'?
`
  )
})

t.test('a good pod is stamped once, also when others have finalizers and labels', async (t) => {
  const ns = await namespace()
  const more = { labels: { app: 'x' }, finalizers: ['example.com/other'] }
  const gate = { 'sg.amazonaws.com/readiness-gate': 'true' }
  t.match(await create(pod(ns, 'good', { [A]: 'tcp:443', ...gate }, more)), { code: 0, stderr: '' })
  const made = await podOf(ns, 'good')
  t.same(made.metadata?.finalizers, ['example.com/other', FINALIZER])
  t.same(made.metadata?.labels, { app: 'x', [MANAGED]: 'true' })
  t.match(made.spec, { readinessGates: [{ conditionType: 'sg.amazonaws.com/rules-in-effect' }] })
})

t.test('groups that are not permitted: the printed Roles permit them, each by itself', async (t) => {
  const ns = await namespace()
  const refused = await create(pod(ns, 'p', { [B]: 'tcp:443', 'sg.amazonaws.com/sg-0123abcf': 'tcp:443' }))
  t.equal(refused.code, 1)
  const [sentence, ...yaml] = refused.stderr.trimEnd().split('\n')
  t.equal(
    sentence,
    `Error from server (Forbidden): error when creating "STDIN": admission webhook "pods.sg.amazonaws.com" denied the request: service account 'default' of namespace '${ns}' may not use security groups 'sg-0123abce', 'sg-0123abcf'; to permit it, apply:`
  )
  t.equal(parseAllDocuments(yaml.join('\n')).length, 4)
  await bed.apply(yaml.join('\n'))
  const other = await create(pod(ns, 'p', { [B]: 'tcp:443', 'sg.amazonaws.com/sg-0123abc0': 'tcp:443' }))
  const [, ...more] = other.stderr.trimEnd().split('\n')
  await bed.apply(more.join('\n'))
  const all = { [B]: 'tcp:443', 'sg.amazonaws.com/sg-0123abcf': 'tcp:443', 'sg.amazonaws.com/sg-0123abc0': 'tcp:443' }
  await eventually('the permission', async () => (await create(pod(ns, 'p', all))).code === 0 || undefined)
})

t.test('what is printed can be applied, whatever the names look like', async (t) => {
  const ns = '2024'
  await bed.apply(
    [
      { kind: 'Namespace', metadata: { name: ns } },
      ...['on', '1e3', 'null'].map((name) => ({ kind: 'ServiceAccount', metadata: { name, namespace: ns } }))
    ].map((object) => ({ apiVersion: 'v1', ...object }))
  )
  for (const serviceAccountName of ['on', '1e3', 'null']) {
    const ours = pod(ns, `p-${serviceAccountName}`, { [A]: 'tcp:443' }, {}, { serviceAccountName })
    const [, ...yaml] = (await create(ours)).stderr.trimEnd().split('\n')
    t.match(await bed.kubectl(['apply', '-f', '-'], yaml.join('\n')), { code: 0 }, serviceAccountName)
    await eventually('the permission', async () => (await create(ours)).code === 0 || undefined)
  }
})

t.test('what does not touch our annotations never reaches the webhook', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'ours', { [A]: 'tcp:443' }))
  const before = (await reviews('/mutate')) + (await reviews('/validate'))
  const path = `/api/v1/namespaces/${ns}/pods/ours`
  t.match(await create(pod(ns, 'plain', { 'example.com/x': 'y' })), { code: 0 })
  await bed.api.patch(path, { metadata: { labels: { x: 'y' }, annotations: { 'example.com/x': 'y' } } })
  await bed.api.patch(path, { metadata: { labels: { [MANAGED]: null } } })
  await bed.api.patch(`${path}/status`, { status: { message: 'x' } })
  await bed.api.patch(path, { metadata: { finalizers: null } })
  await bed.kubectl(['delete', 'pod', '-n', ns, 'plain', 'ours', '--now'])
  t.equal((await reviews('/mutate')) + (await reviews('/validate')), before)
})

t.test('taking the stamp away is allowed, and an edit of ours brings it back', async (t) => {
  const ns = await namespace()
  const path = `/api/v1/namespaces/${ns}/pods/p`
  await create(pod(ns, 'p', { [A]: 'tcp:443' }))
  await bed.api.patch(path, { metadata: { finalizers: null, labels: { [MANAGED]: null } } })
  t.same((await podOf(ns, 'p')).metadata?.finalizers, undefined)
  await bed.api.patch(path, { metadata: { annotations: { [A]: 'tcp:444' } } })
  t.same((await podOf(ns, 'p')).metadata?.finalizers, [FINALIZER])
  t.same((await podOf(ns, 'p')).metadata?.labels, { [MANAGED]: 'true' })
})

t.test('taking one of ours away is allowed without the stamp too', async (t) => {
  const ns = await namespace()
  const path = `/api/v1/namespaces/${ns}/pods/p`
  await create(pod(ns, 'p', { [A]: 'tcp:443', 'sg.amazonaws.com/readiness-gate': 'false' }))
  await bed.api.patch(path, { metadata: { finalizers: null, labels: { [MANAGED]: null } } })
  await bed.api.patch(path, { metadata: { annotations: { 'sg.amazonaws.com/readiness-gate': null } } })
  t.same((await podOf(ns, 'p')).metadata?.annotations, { [A]: 'tcp:443' })
})

t.test('a manifest that says how its pod ended makes a new pod, stamped as any other', async (t) => {
  const ns = await namespace()
  for (const phase of ['Succeeded', 'Failed']) {
    const name = phase.toLowerCase()
    t.match(await create({ ...pod(ns, name, { [A]: 'tcp:443' }), status: { phase } }), { code: 0, stderr: '' })
    const made = await podOf(ns, name)
    t.same(made.metadata?.finalizers, [FINALIZER])
    t.same(made.metadata?.labels, { [MANAGED]: 'true' })
    t.match(made.status, { phase: 'Pending' })
  }
})

t.test('our finalizer without our annotations gets the label, at CREATE and UPDATE', async (t) => {
  const ns = await namespace()
  const finalizers = [FINALIZER]
  await create(pod(ns, 'born', {}, { finalizers }))
  t.same((await podOf(ns, 'born')).metadata?.labels, { [MANAGED]: 'true' })
  await create(pod(ns, 'edited', {}))
  await bed.api.patch(`/api/v1/namespaces/${ns}/pods/edited`, { metadata: { finalizers } })
  t.same((await podOf(ns, 'edited')).metadata?.labels, { [MANAGED]: 'true' })
  await bed.api.patch(`/api/v1/namespaces/${ns}/pods/edited`, { metadata: { labels: { [MANAGED]: null } } })
  t.same((await podOf(ns, 'edited')).metadata?.labels, undefined, 'taking it away is not denied')
})

t.test('a readiness gate without rules to wait for is refused, and one that comes too late warned about', async (t) => {
  const ns = await namespace()
  const gate = 'sg.amazonaws.com/readiness-gate'
  const answer = await create(pod(ns, 'p', { [gate]: 'true' }))
  t.match(
    answer.stderr,
    /^The Pod "p" is invalid: metadata\.annotations\[.*\]: .* needs the annotation of a security group/
  )
  await create(pod(ns, 'p', { [A]: 'tcp:443' }))
  const late = await bed.kubectl(['annotate', 'pod', '-n', ns, 'p', `${gate}=true`])
  const warning = `Warning: metadata.annotations[${gate}]: takes effect only on pods that are created with it\n`
  t.match(late, { code: 0, stderr: warning })
})

t.test('megabytes of hostile annotations keep nobody waiting', async (t) => {
  const ns = await namespace()
  const annotations = (count: number, value: string) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [`sg.amazonaws.com/sg-${index.toString(16).padStart(8, '0')}`, value])
    )
  const hostile = [annotations(700, `x${' '.repeat(4050)}x`), annotations(60, 'tpc,'.repeat(1000))]
  const path = `/api/v1/namespaces/${ns}/pods?dryRun=All`
  const refusals = Array.from({ length: 4 }, () => hostile)
    .flat()
    .map((annotations, index) => refusal(bed.api.call('POST', path, pod(ns, `hostile-${index}`, annotations))))
  for (let index = 0; index < 5; index++)
    t.match(await create(pod(ns, `bystander-${index}`, { [A]: 'tcp:443' })), { code: 0, stderr: '' })
  for (const answer of await Promise.all(refusals)) t.match(answer, { status: 422 }, 'judged, not given up on')
})

t.test('an update answers for the keys it changes', async (t) => {
  const ns = await namespace()
  const path = `/api/v1/namespaces/${ns}/pods/p`
  await create(pod(ns, 'p', { [A]: 'tcp:443' }))
  const annotate = (annotations: object) => bed.api.patch(path, { metadata: { annotations } })
  t.match(await refusal(annotate({ [A]: 'tcp:9-8' })), { status: 422 })
  t.match(await refusal(annotate({ [B]: 'tcp:443' })), { status: 403 })
  t.match(await refusal(annotate({ 'sg.amazonaws.com': 'tcp:443' })), { status: 422 })
  await bed.kubectl(['delete', 'rolebinding', '-n', ns, 'use-sg-0123abcd'])
  await annotate({ [A]: null })
  t.equal((await podOf(ns, 'p')).metadata?.annotations?.[A], undefined)
})

t.test('no way around: pods/status, pods/binding and bindings', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'p', { [A]: 'tcp:443' }, {}, { schedulerName: 'nobody' }))
  const path = `/api/v1/namespaces/${ns}/pods/p`
  const annotations = { [A]: 'tcp:1-100' }
  const told = (through: string) => ({
    status: 403,
    message: new RegExp(
      `metadata\\.annotations\\[${A}\\] must not be changed through ${through}: annotate the pod itself`
    )
  })
  t.match(await refusal(bed.api.patch(`${path}/status`, { metadata: { annotations } })), told('pods/status'))
  const target = { apiVersion: 'v1', kind: 'Node', name: 'n' }
  const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'p', annotations }, target }
  t.match(await refusal(bed.api.call('POST', `${path}/binding`, binding)), told('pods/binding'))
  t.match(await refusal(bed.api.call('POST', `/api/v1/namespaces/${ns}/bindings`, binding)), told('bindings'))
  t.equal((await podOf(ns, 'p')).metadata?.annotations?.[A], 'tcp:443')
  await bed.api.call('POST', `${path}/binding`, { ...binding, metadata: { name: 'p' } })
})

const template = (annotations: object): object => ({
  metadata: { labels: { a: 'b' }, annotations },
  spec: { containers: [{ name: 'c', image: 'x' }] }
})
const selector = { matchLabels: { a: 'b' } }
const once = (annotations: object): object => {
  const { spec, ...rest } = template(annotations) as { spec: object }
  return { ...rest, spec: { ...spec, restartPolicy: 'Never' } }
}
const workloads: [kind: string, apiVersion: string, path: string, body: (annotations: object) => object][] = [
  [
    'Deployment',
    'apps/v1',
    'spec.template',
    (annotations) => ({ spec: { selector, template: template(annotations) } })
  ],
  [
    'StatefulSet',
    'apps/v1',
    'spec.template',
    (annotations) => ({ spec: { selector, template: template(annotations) } })
  ],
  ['DaemonSet', 'apps/v1', 'spec.template', (annotations) => ({ spec: { selector, template: template(annotations) } })],
  [
    'ReplicaSet',
    'apps/v1',
    'spec.template',
    (annotations) => ({ spec: { selector, template: template(annotations) } })
  ],
  [
    'ReplicationController',
    'v1',
    'spec.template',
    (annotations) => ({ spec: { selector: { a: 'b' }, template: template(annotations) } })
  ],
  ['Job', 'batch/v1', 'spec.template', (annotations) => ({ spec: { template: once(annotations) } })],
  [
    'CronJob',
    'batch/v1',
    'spec.jobTemplate.spec.template',
    (annotations) => ({ spec: { schedule: '1 1 1 1 *', jobTemplate: { spec: { template: once(annotations) } } } })
  ],
  ['PodTemplate', 'v1', 'template', (annotations) => ({ template: template(annotations) })]
]
for (const [kind, apiVersion, path, body] of workloads)
  t.test(`a mistake in a ${kind} is told at once`, async (t) => {
    const ns = await namespace()
    const metadata = { name: 'w', namespace: ns }
    const dryRun = (annotations: object): Promise<Answer> =>
      create({ apiVersion, kind, metadata, ...body(annotations) }, '--dry-run=server')
    t.equal(
      (await dryRun({ [A]: 'tpc:443' })).stderr,
      `The ${kind} "w" is invalid: ${path}.metadata.annotations[${A}]: Invalid value: "tpc:443": protocol must be 'tcp', 'udp', 'icmp', 'icmpv6', 'all' or a number from 0 to 255; did you mean 'tcp:443'?\n`
    )
    t.match(await dryRun({ [A]: 'tcp:443' }), { code: 0, stderr: '' })
    const warned = await dryRun({ [A]: 'tcp:443', [B]: 'tcp:443' })
    const warning = `Warning: service account 'default' of namespace '${ns}' may not use security group 'sg-0123abce'; give it a Role: apiGroups [sg.amazonaws.com], resources [securitygroups], resourceNames [sg-0123abce], verbs [use]\n`
    t.match(warned, { code: 0, stderr: warning })
  })

t.test(
  'annotations on a Deployment itself are warned about, and so is a template that changes its account',
  async (t) => {
    const ns = await namespace()
    const metadata = { name: 'w', namespace: ns }
    const deployment = (own: Record<string, string>, onPods: object, spec: object = {}): KubeObject => {
      const pods = template(onPods) as { spec: object }
      return {
        apiVersion: 'apps/v1',
        kind: 'Deployment',
        metadata: { ...metadata, annotations: own },
        spec: { replicas: 0, selector, template: { ...pods, spec: { ...pods.spec, ...spec } } }
      }
    }
    const replace = (object: KubeObject): Promise<Answer> => bed.kubectl(['replace', '-f', '-'], JSON.stringify(object))
    const misplaced = `Warning: metadata.annotations[${A}]: has no effect here: kube-sg reads what is on the pods; write it below spec.template.metadata.annotations\n`
    t.match(await create(deployment({ [A]: 'tcp:443' }, {})), { code: 0, stderr: misplaced })
    t.match(await replace(deployment({}, { [A]: 'tcp:443' })), { code: 0, stderr: '' })
    t.match(
      (await replace(deployment({}, { [A]: 'tcp:443' }, { serviceAccountName: 'db' }))).stderr,
      /^Warning: .*'db'/
    )
    t.match(await replace(deployment({}, { [A]: 'tcp:443' }, { hostNetwork: true })), {
      code: 1,
      stderr: /hostNetwork/
    })
  }
)

t.test('hostNetwork is refused', async (t) => {
  const ns = await namespace()
  const answer = await create(pod(ns, 'p', { [A]: 'tcp:1' }, {}, { hostNetwork: true }))
  t.match(answer.stderr, /^The Pod "p" is invalid: spec\.hostNetwork: Invalid value: "true": must not be true/)
})

t.test('the spelling of 2018 is read, with a warning', async (t) => {
  const ns = await namespace()
  const answer = await create(pod(ns, 'p', { 'sg.amazonaws.com': 'sg-0123abcd:tcp:443' }))
  t.equal(
    answer.stderr,
    "Warning: metadata.annotations[sg.amazonaws.com]: old spelling; write a key for each group, such as 'sg.amazonaws.com/sg-0123abcd: tcp:443'\n"
  )
  t.same((await podOf(ns, 'p')).metadata?.finalizers, [FINALIZER])
})

t.test(
  'without any webhook: plain pods and edits go on, annotated pods wait, and every pod can be deleted',
  async (t) => {
    const ns = await namespace()
    const path = `/api/v1/namespaces/${ns}/pods/old`
    await create(pod(ns, 'old', { [A]: 'tcp:443' }))
    await Promise.all(['webhook-0', 'webhook-1'].map((name) => bed.ctl('stop', name)))
    try {
      t.match(await create(pod(ns, 'plain', {})), { code: 0 })
      t.match(
        (await create(pod(ns, 'new', { [A]: 'tcp:443' }))).stderr,
        /failed calling webhook "stamp\.sg\.amazonaws\.com"/
      )
      await bed.api.patch(path, { metadata: { labels: { x: 'y' } } })
      await bed.api.patch(path, { metadata: { finalizers: null } })
      t.match(await bed.kubectl(['delete', 'pod', '-n', ns, 'old', '--now']), { code: 0 })
    } finally {
      await Promise.all(['webhook-0', 'webhook-1'].map((name) => bed.ctl('start', name)))
    }
    await eventually(
      'the webhook',
      async () => (await create(pod(ns, 'new', { [A]: 'tcp:443' }))).code === 0 || undefined
    )
  }
)

t.test('a replica that stops drops nobody', async (t) => {
  const ns = await namespace()
  const failures: string[] = []
  let created = 0
  const rollout = new AbortController()
  const creating = (async () => {
    for (let index = 0; !rollout.signal.aborted; index++)
      await bed.api
        .call('POST', `/api/v1/namespaces/${ns}/pods?dryRun=All`, pod(ns, `p-${index}`, { [A]: 'tcp:443' }))
        .then(
          () => created++,
          (error: unknown) => failures.push(String(error))
        )
  })()
  await bed.ctl('stop', 'webhook-0')
  await bed.ctl('start', 'webhook-0')
  await bed.ctl('stop', 'webhook-1')
  await bed.ctl('start', 'webhook-1')
  rollout.abort()
  await creating
  t.same(failures, [])
  t.ok(created > 20, `${created} pods were created meanwhile`)
})
