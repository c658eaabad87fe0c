/** For tests of the webhook's outage: a bed with the backstop or without it, and questions about it. */
import type { Test } from 'tap'
import { eventually, KubeError, startBed } from '../../bed/bed.ts'
import type { Bed, KubeObject } from '../../bed/bed.ts'
import { openYard, QUICK } from './pods.ts'
import type { Yard } from './pods.ts'

export const GATE = 'sg.amazonaws.com/readiness-gate'
export const CONDITION = 'sg.amazonaws.com/rules-in-effect'
export const key = (groupId: string): string => `sg.amazonaws.com/${groupId}`

export const MALFORMED: readonly Readonly<Record<string, string>>[] = [
  { [key('sg-0123abcd')]: 'tpc:443' },
  { [key('sg-0123abcd')]: 'tcp:5050-5000' },
  { [key('sg-0123abcd')]: '' },
  { [key('sg-0123ABCD')]: 'tcp:443' },
  { 'sg.amazonaws.com/egress': 'tcp:443' },
  { 'sg.amazonaws.com': 'tcp:443' },
  { [key('sg-0123abcd')]: 'tcp:443', [GATE]: 'yes' },
  { [GATE]: 'true' },
  Object.fromEntries(Array.from({ length: 17 }, (_, index) => [key(`sg-${String(index).padStart(8, '0')}`), 'tcp:1']))
]

/** HTTP status of a refusal; 0 for success. */
export const status = (call: Promise<unknown>): Promise<number> =>
  call.then(
    () => 0,
    (error: unknown) => {
      if (error instanceof KubeError) return error.status
      throw error
    }
  )

export const refusal = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'no refusal',
    (error: unknown) => error
  )

export const pods = (namespace: string): string => `/api/v1/namespaces/${namespace}/pods`
export const pod = (name: string, annotations: object, spec: object = {}, metadata: object = {}): KubeObject => ({
  metadata: { ...metadata, name, annotations: annotations as Record<string, string> },
  spec: { containers: [{ name: 'c', image: 'x' }], ...spec }
})

export async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const rest = items.values()
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      for (const item of rest) await work(item)
    })
  )
}

export interface Stage {
  readonly bed: Bed
  readonly yard: Yard
  readonly backstop: boolean
  /** Groups of the yard, one after another. */
  readonly groups: readonly string[]
}

/** A bed, a namespace where every group may be used, and one, `locked`, where none may. */
export async function raise(t: Test, backstop: boolean): Promise<Stage> {
  const bed = await startBed({ backstop, workers: 1, settings: { worker: QUICK } })
  t.teardown(() => bed.stop())
  await bed.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'locked' } }])
  await eventually('its service account', () =>
    bed.api.call('GET', '/api/v1/namespaces/locked/serviceaccounts/default')
  )
  const yard = await openYard(bed)
  const groups: string[] = []
  for (let count = 0; count < 10; count++) groups.push(await yard.group())
  return { bed, yard, backstop, groups }
}

export const groupOf = ({ groups }: Stage, index: number): string => groups[index % groups.length] ?? ''

/** Without the backstop everything that must be judged waits for the webhook. */
export const judged = ({ backstop }: Stage, verdict: number): number => (backstop ? verdict : 500)

/** Reviews that the webhook has answered. */
export async function reviews({ env }: Bed): Promise<number> {
  const urls = [env.METRICS_WEBHOOK_0 ?? '', env.METRICS_WEBHOOK_1 ?? '']
  const texts = await Promise.all(urls.map(async (url) => (await fetch(url)).text()))
  const counts = texts.flatMap((text) => [
    ...text.matchAll(/^controller_runtime_webhook_requests_total\{.*\} (\d+)$/gm)
  ])
  return counts.reduce((sum, [, count]) => sum + Number(count), 0)
}

export const DELAY = 'pod-complete.stage.kwok.x-k8s.io/delay'
export const job = (name: string, group: string, delay: string): KubeObject => ({
  metadata: { name },
  spec: {
    template: {
      metadata: { annotations: { [key(group)]: 'tcp:443', [DELAY]: delay } },
      spec: { restartPolicy: 'Never', containers: [{ name: 'c', image: 'x' }] }
    }
  }
})

export async function podOfJob({ api }: Bed, name: string): Promise<string> {
  return eventually(`a pod of the Job ${name}`, async () => {
    const found = (await api.call('GET', `${pods('default')}?labelSelector=job-name%3D${name}`)) as unknown as {
      items: KubeObject[]
    }
    return found.items[0]?.metadata?.name
  })
}

/** What must have been there before the outage. */
export async function prepare(stage: Stage): Promise<void> {
  const { bed, yard } = stage
  await yard.pod('living', groupOf(stage, 1))
  await yard.pod('doomed', groupOf(stage, 2))
  await yard.pod('stripped', groupOf(stage, 3))
  await bed.api.call('POST', '/apis/batch/v1/namespaces/default/jobs', job('earlier', groupOf(stage, 4), '1h'))
  await yard.granted(groupOf(stage, 1), ['tcp 443-443'], 'living')
  await yard.granted(groupOf(stage, 4), ['tcp 443-443'], await podOfJob(bed, 'earlier'))
}
