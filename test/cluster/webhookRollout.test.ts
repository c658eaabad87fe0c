/** The webhook's replicas come and go, die and are beset, while pods are created: who is kept waiting, and by what. */
import { connect as connectTcp } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from 'node:tls'
import t from 'tap'
import { eventually, startBed } from '../../bed/bed.ts'
import type { Bed, KubeObject } from '../../bed/bed.ts'

const A = 'sg.amazonaws.com/sg-0123abcd'

// Two replicas serve; the third is the one that a Deployment with maxSurge 1 starts before it ends an old one.
const bed: Bed = await startBed({ webhooks: 3, workers: 0, kwok: false })
t.teardown(() => bed.stop())
t.setTimeout(600_000)
await bed.ctl('stop', 'webhook-2')

const metadata = { name: 'use-sg', namespace: 'default' }
await bed.apply([
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'Role',
    metadata,
    rules: [{ apiGroups: ['sg.amazonaws.com'], resources: ['securitygroups'], verbs: ['use'] }]
  },
  {
    apiVersion: 'rbac.authorization.k8s.io/v1',
    kind: 'RoleBinding',
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
    subjects: [{ kind: 'ServiceAccount', namespace: 'default', name: 'default' }]
  }
])

let made = 0
const pod = (annotations: object = { [A]: 'tcp:443' }, env: readonly object[] = []): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: `p-${++made}`, annotations } as NonNullable<KubeObject['metadata']>,
  spec: { schedulerName: 'nobody', containers: [{ name: 'c', image: 'x', env }] }
})

/** Undefined when it succeeded, else what the API server said. */
const create = (object = pod(), namespace = 'default', kind = 'pods'): Promise<string | undefined> =>
  bed.api.call('POST', `/${kind === 'pods' ? 'api/v1' : 'apis/apps/v1'}/namespaces/${namespace}/${kind}`, object).then(
    () => undefined,
    (error: unknown) => String(error)
  )

await eventually('the permission', async () => ((await create()) === undefined ? true : undefined))

interface Outcome {
  readonly created: number
  readonly failed: number
  /** Of the failures, each text once and without what differs from one to the next. */
  readonly failures: readonly string[]
}

/** On a machine that cannot keep up, more at a time would only wait for each other until the API server's patience ends. */
const MOST_AT_ONCE = 20

/** Begins 50 creations a second until the work is done, while no more than a few wait for their answers. */
async function during(work: () => Promise<unknown>): Promise<Outcome> {
  const failures: string[] = []
  const waiting = new Set<Promise<void>>()
  let created = 0
  const timer = setInterval(() => {
    if (waiting.size >= MOST_AT_ONCE) return
    const one = create().then((failure) => {
      waiting.delete(one)
      if (failure === undefined) created++
      else failures.push(failure.replaceAll(/:\d+/g, ':port'))
    })
    waiting.add(one)
  }, 20)
  try {
    await work()
  } finally {
    clearInterval(timer)
  }
  await Promise.all(waiting)
  return { created, failed: failures.length, failures: [...new Set(failures)] }
}

t.test('a rollout under 50 creations a second drops none of them', async (t) => {
  const { created, failures } = await during(async () => {
    await bed.ctl('start', 'webhook-2')
    await bed.ctl('stop', 'webhook-0')
    await bed.ctl('start', 'webhook-0')
    await bed.ctl('stop', 'webhook-1')
    await bed.ctl('start', 'webhook-1')
    await bed.ctl('stop', 'webhook-2')
  })
  t.same(failures, [])
  t.ok(created > 100, `${created} pods were created meanwhile`)
})

t.test('a replica that is killed takes with it only what it had in hand, until the balancer knows', async (t) => {
  const { created, failed, failures } = await during(async () => {
    await sleep(500)
    await bed.ctl('kill', 'webhook-0')
    await eventually('the balancer to know', async () => {
      for (let good = 0; good < 20; good++) if ((await create()) !== undefined) return undefined
      return true
    })
  })
  process.stderr.write(
    `a replica was killed: ${failed} of ${failed + created} creations failed: ${failures.join('; ')}\n`
  )
  t.ok(created > 0)
  const lost = /failed calling webhook .*(?:EOF|connection reset|connection refused|broken pipe|closed)/
  t.same(
    failures.filter((failure) => !lost.test(failure)),
    [],
    'each was refused by the API server for want of an answer, as failurePolicy Fail says'
  )
  const after = await during(() => sleep(2000))
  t.same(after.failures, [], 'and none from then on')
  await bed.ctl('start', 'webhook-0')
})

t.test('slow clients and half-open connections hold nobody up', async (t) => {
  const [host = '', port = ''] = (bed.env.WEBHOOK_ADDR ?? '').split(':')
  const at = { host, port: Number(port) }
  const halfOpen = Array.from({ length: 200 }, () => connectTcp(at))
  const slow = Array.from({ length: 100 }, () => connect({ ...at, rejectUnauthorized: false }))
  for (const socket of [...halfOpen, ...slow]) socket.on('error', () => undefined)
  await Promise.all(slow.map((socket) => new Promise((resolve) => socket.once('secureConnect', resolve))))
  const head =
    'POST /validate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 7000000\r\n\r\n{'
  for (const socket of slow) socket.write(head)
  const { created, failures } = await during(async () => {
    for (let turn = 0; turn < 20; turn++) {
      for (const socket of slow) socket.write(' '.repeat(100))
      await sleep(100)
    }
  })
  t.same(failures, [])
  t.ok(created > 20, `${created} pods were created meanwhile`)
  for (const socket of [...halfOpen, ...slow]) socket.destroy()
})

t.test('a pod that JSON swells past 7 MiB is told so; without our annotation it is nobody of ours', async (t) => {
  // Go writes each of these as six bytes: 1.3 MB, which etcd takes, become 7.8.
  const env = Array.from({ length: 13 }, (_, index) => ({ name: `E${index}`, value: '<'.repeat(100_000) }))
  t.equal(await create(pod({}, env)), undefined)
  const refusal = await create(pod({ [A]: 'tcp:443' }, env))
  t.match(refusal, /failed calling webhook "stamp\.sg\.amazonaws\.com".*the review is larger than 7 MiB/s)
  const swollen = await create(pod({ [A]: 'tcp:443' }, env.slice(0, 9)))
  t.equal(swollen, undefined, '5.4 MB of JSON are taken')
})

t.test('without any replica, our own namespace and kube-system are not held up, nor is what is not ours', async (t) => {
  await Promise.all(['webhook-0', 'webhook-1'].map((name) => bed.ctl('stop', name)))
  t.match(await create(), /failed calling webhook "stamp\.sg\.amazonaws\.com"/)
  // Our own namespace asks for the restricted Pod Security Standard, and a pod that keeps to it.
  const restricted = {
    allowPrivilegeEscalation: false,
    runAsNonRoot: true,
    capabilities: { drop: ['ALL'] },
    seccompProfile: { type: 'RuntimeDefault' }
  }
  for (const namespace of ['kube-sg', 'kube-system']) {
    await eventually('its service account', () =>
      bed.api.answers(`/api/v1/namespaces/${namespace}/serviceaccounts/default`).then((so) => so || undefined)
    )
    const spec = { containers: [{ name: 'c', image: 'x', securityContext: restricted }] }
    t.equal(await create({ ...pod(), spec }, namespace), undefined, namespace)
  }
  t.equal(await create(pod({})), undefined, 'a plain pod')
  const labels = { app: 'x' }
  const template = { metadata: { labels, annotations: { [A]: 'tcp:443' } }, spec: pod().spec }
  const deployment = { metadata: { name: 'd' }, spec: { replicas: 0, selector: { matchLabels: labels }, template } }
  t.equal(
    await create({ apiVersion: 'apps/v1', kind: 'Deployment', ...deployment }, 'default', 'deployments'),
    undefined
  )
  await Promise.all(['webhook-0', 'webhook-1'].map((name) => bed.ctl('start', name)))
  await eventually('the webhook', async () => ((await create()) === undefined ? true : undefined))
})
