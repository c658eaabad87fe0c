/** What the webhook adds to the creation of a pod, as its client sees it: on the bed's API server, in turns with and without. */
import { readFile } from 'node:fs/promises'
import { eventually, startBed } from '../bed/bed.ts'
import type { Bed, KubeObject } from '../bed/bed.ts'
import { largestValues } from './admissionReviews.ts'
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
  try {
    await permitAll(bed)
    await callStraight(bed)
    await eventually('the permission', () => create(bed, ours(SMALL)).then(() => true))
    const rows: Row[] = []
    for (const [what, values, goals] of [
      ['one annotation', SMALL, { 0.5: '< 1 ms', 0.95: '< 2 ms' }],
      ['16 annotations of 4 KiB', largestValues(), { 0.5: '', 0.95: '' }]
    ] as const) {
      tell(what)
      const times = await measure(bed, values, full ? 2000 : 400)
      for (const quantile of [0.5, 0.95] as const) rows.push(rowOf(what, quantile, goals[quantile], times))
    }
    return rows
  } finally {
    await bed.stop()
  }
}

interface Times {
  /** Milliseconds. */
  readonly without: readonly number[]
  readonly with: readonly number[]
}

async function measure(bed: Bed, values: Readonly<Record<string, string>>, pairs: number): Promise<Times> {
  const [without, withOurs]: [number[], number[]] = [[], []]
  for (let pair = -50; pair < pairs; pair++) {
    const turns = [
      { times: without, annotations: foreign(values) },
      { times: withOurs, annotations: ours(values) }
    ]
    for (const { annotations, times } of pair % 2 === 0 ? turns : turns.reverse()) {
      const startedAt = performance.now()
      await create(bed, annotations)
      if (pair >= 0) times.push(performance.now() - startedAt)
    }
  }
  return { without, with: withOurs }
}

function rowOf(what: string, quantile: number, goal: string, times: Times): Row {
  const [without, withOurs] = [quantileOf(times.without, quantile), quantileOf(times.with, quantile)]
  const value = `${(withOurs - without).toFixed(2)} ms (${withOurs.toFixed(2)} with, ${without.toFixed(2)} without)`
  return { measure: `added to the creation of a pod with ${what}, P${quantile * 100}`, goal, value }
}

const ours = (values: Readonly<Record<string, string>>) => annotate('sg.amazonaws.com/', values)
/** As many bytes that are none of our business. */
const foreign = (values: Readonly<Record<string, string>>) => annotate('eg.amazonaws.com/', values)
const annotate = (prefix: string, values: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]))

/** Nobody schedules it: the API server has nothing else to do. */
const create = (bed: Bed, annotations: Readonly<Record<string, string>>): Promise<KubeObject> =>
  bed.api.call('POST', '/api/v1/namespaces/default/pods', {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { generateName: 'bench-', annotations },
    spec: { schedulerName: 'nobody', containers: [{ name: 'app', image: 'example.com/app' }] }
  })

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
