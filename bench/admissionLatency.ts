/**
 * What the webhook adds to the creation of a pod, as its client sees it: on the bed's API server, in turns without any
 * webhook, with a bare server in its place, and with ours. What the bare one adds is the API server's own work for two calls.
 */
import { readFile } from 'node:fs/promises'
import { eventually, startBed } from '../bed/bed.ts'
import type { Bed, KubeObject } from '../bed/bed.ts'
import { largestValues } from './admissionReviews.ts'
import { selfSigned } from '../webhook/tlsFixture.ts'
import { spawnBare } from './admissionServers.ts'
import { quantileOf } from './table.ts'
import type { BenchOptions, Row, Section } from './table.ts'

export const latencyBench: Section = {
  name: 'latency',
  about: 'what the webhook adds to the creation of a pod',
  run
}

const SMALL = { 'sg-0123abcd': 'tcp:443,tcp:5000-5050' }

async function run({ full, tell }: BenchOptions): Promise<readonly Row[]> {
  const bed = await startBed({ name: `bench-${process.pid}`, webhooks: 1, workers: 0, kwok: false })
  const pair = await selfSigned('localhost')
  const bare = await spawnBare(pair, { BARE_FOR: PREFIXES.bare })
  try {
    await permitAll(bed)
    await callStraight(bed)
    await callBare(bed, bare.port, pair.cert)
    await eventually('the permission', () => create(bed, 'ours', SMALL).then(() => true))
    await eventually('the bare server', async () => isStamped(await create(bed, 'bare', SMALL)))
    const rows: Row[] = []
    // Of 400 a P95 is told by the twenty slowest, and moves by milliseconds from run to run.
    for (const [what, values, rounds, goals] of [
      ['one annotation', SMALL, 2000, { 0.5: '< 1 ms', 0.95: '< 2 ms' }],
      ['16 annotations of 4 KiB', largestValues(), full ? 2000 : 400, { 0.5: '', 0.95: '' }]
    ] as const) {
      tell(what)
      const times = await measure(bed, values, rounds)
      for (const quantile of [0.5, 0.95] as const) rows.push(...rowsOf(what, quantile, goals[quantile], times))
    }
    return rows
  } finally {
    bare.child.kill('SIGKILL')
    await bed.stop()
  }
}

/** Annotations of as many bytes that are nobody's business, the bare server's, and ours. */
const PREFIXES = { none: 'eg.amazonaws.com', bare: 'fg.amazonaws.com', ours: 'sg.amazonaws.com' } as const

type Whose = keyof typeof PREFIXES

/** Milliseconds. */
type Times = Readonly<Record<Whose, number[]>>

async function measure(bed: Bed, values: Readonly<Record<string, string>>, rounds: number): Promise<Times> {
  const times: Times = { none: [], bare: [], ours: [] }
  const turns: readonly Whose[] = ['none', 'bare', 'ours']
  for (let round = -50; round < rounds; round++)
    for (const whose of round % 2 === 0 ? turns : turns.toReversed()) {
      const startedAt = performance.now()
      await create(bed, whose, values)
      if (round >= 0) times[whose].push(performance.now() - startedAt)
    }
  return times
}

function rowsOf(what: string, quantile: number, goal: string, times: Times): Row[] {
  const [none, bare, ours] = [times.none, times.bare, times.ours].map((all) => quantileOf(all, quantile))
  const added = (whole = NaN): string => `${(whole - (none ?? NaN)).toFixed(2)} ms`
  const measure = `added to the creation of a pod with ${what}, P${quantile * 100}`
  return [
    { measure, goal, value: `${added(ours)} (to ${none?.toFixed(2) ?? ''})` },
    { measure: `${measure}, by two calls of a bare server`, goal: '', value: added(bare) }
  ]
}

/** Nobody schedules it: the API server has nothing else to do. */
const create = (bed: Bed, whose: Whose, values: Readonly<Record<string, string>>): Promise<KubeObject> =>
  bed.api.call('POST', '/api/v1/namespaces/default/pods', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'bench-', annotations: annotate(PREFIXES[whose], values) },
    spec: { schedulerName: 'nobody', containers: [{ name: 'app', image: 'example.com/app' }] }
  })

const annotate = (prefix: string, values: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [`${prefix}/${name}`, value]))

const isStamped = ({ metadata }: KubeObject): boolean => (metadata?.finalizers ?? []).length > 0

async function permitAll(bed: Bed): Promise<void> {
  const metadata = { name: 'use-sg', namespace: 'default' }
  const apiVersion = 'rbac.authorization.k8s.io/v1'
  await bed.apply([
    {
      apiVersion,
      kind: 'Role',
      metadata,
      rules: [{ apiGroups: ['sg.amazonaws.com'], resources: ['securitygroups'], verbs: ['use'] }]
    },
    {
      apiVersion,
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', namespace: 'default', name: 'default' }]
    }
  ])
}

/** Past the bed's balancer, a process in between that no cluster has: kube-proxy's work is done in the kernel. */
async function callStraight(bed: Bed): Promise<void> {
  const webhook = (await bed.status()).find(({ name }) => name === 'webhook-0')
  const environment = await readFile(`/proc/${webhook?.pid ?? 0}/environ`, 'utf8')
  const port = Number(/(?:^|\0)PORT=(\d+)/.exec(environment)?.[1])
  for (const resource of ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations']) {
    const path = `/apis/admissionregistration.k8s.io/v1/${resource}/kube-sg`
    const configuration = await bed.api.call('GET', path)
    const webhooks = configuration.webhooks as { clientConfig: { service: { port: number } } }[]
    for (const { clientConfig } of webhooks) clientConfig.service.port = port
    await bed.api.call('PUT', path, { ...configuration, webhooks })
  }
}

/** Configurations that differ from ours in the prefix and the address alone. */
async function callBare(bed: Bed, port: number, ca: string): Promise<void> {
  for (const resource of ['mutatingwebhookconfigurations', 'validatingwebhookconfigurations']) {
    const path = `/apis/admissionregistration.k8s.io/v1/${resource}`
    const ours = JSON.stringify(await bed.api.call('GET', `${path}/kube-sg`))
    const { apiVersion, kind, webhooks } = JSON.parse(ours.replaceAll(PREFIXES.ours, PREFIXES.bare)) as KubeObject
    const caBundle = Buffer.from(ca).toString('base64')
    const called = (webhooks as { clientConfig: { service: { path: string } } }[]).map((webhook) => ({
      ...webhook,
      clientConfig: { url: `https://localhost:${port}${webhook.clientConfig.service.path}`, caBundle }
    }))
    await bed.api.call('POST', path, { apiVersion, kind, metadata: { name: 'bench-bare' }, webhooks: called })
  }
}
