/** Measures, and prints a table of counts and ratios; nothing is asserted. Times are of this machine in this run: compare ratios. */
import { cpus } from 'node:os'
import { eventually, startBed } from '../bed/bed.ts'
import type { Bed, KubeObject } from '../bed/bed.ts'
import { parseAnnotations } from '../shared/annotation.ts'

interface Row {
  readonly measure: string
  readonly value: string
  readonly ratio: string
}

const PODS = 100
const WITHIN = { within: 180_000 }

function benchParser(): Row {
  const items = Array.from({ length: 60 }, (_, index) => `tcp:${String(1000 + 7 * index)}-${String(1003 + 7 * index)}`)
  const value = items.join(',')
  const json = JSON.stringify(items)
  const annotations = { 'sg.amazonaws.com/sg-0123456789abcdef0': value }
  const ours = perCall(() => parseAnnotations(annotations).requests.length)
  const theirs = perCall(() => (JSON.parse(json) as string[]).length)
  return {
    measure: `annotation of 60 items (${String(value.length)} bytes) against JSON.parse of the same items`,
    value: `${ours.toFixed(1)} µs`,
    ratio: `${(ours / theirs).toFixed(1)}x`
  }
}

/** Microseconds of one call, the best of five rounds. */
function perCall(run: () => number): number {
  const rounds = Array.from({ length: 5 }, () => {
    const startedAt = performance.now()
    let sum = 0
    for (let call = 0; call < 2000; call++) sum += run()
    return sum > 0 ? ((performance.now() - startedAt) * 1000) / 2000 : Infinity
  })
  return Math.min(...rounds)
}

async function benchPods(bed: Bed): Promise<Row[]> {
  const groupId = bed.env.SECURITY_GROUP_ID ?? ''
  await bed.settings({ rulesPerGroup: 1000 })
  const callsBefore = (await bed.calls()).at(-1)?.n ?? 0
  const startedAt = performance.now()
  await bed.apply(deployment(groupId))
  const addressed = await eventually(
    'all pods to have addresses',
    async () => {
      const list = (await bed.api.call('GET', '/api/v1/namespaces/default/pods?labelSelector=app%3Dbench')) as {
        items?: KubeObject[]
      }
      const ready = (list.items ?? []).filter(
        (pod) => ((pod.status as { podIPs?: unknown[] } | undefined)?.podIPs ?? []).length > 0
      )
      return ready.length === PODS ? performance.now() : undefined
    },
    WITHIN
  )
  const rules = 2 * PODS
  const granted = await eventually(
    'all rules',
    async () => ((await bed.rules(groupId)).length === rules ? performance.now() : undefined),
    WITHIN
  )
  const authorizes = await callsOf(bed, callsBefore, 'AuthorizeSecurityGroupIngress')
  const removedAt = performance.now()
  await bed.kubectl(['delete', 'deployment', 'bench'])
  const revoked = await eventually(
    'no rule',
    async () => ((await bed.rules(groupId)).length === 0 ? performance.now() : undefined),
    WITHIN
  )
  const revokes = await callsOf(bed, callsBefore, 'RevokeSecurityGroupIngress')
  const perPod = (calls: number): string => `${(calls / PODS).toFixed(2)} a pod`
  const seconds = (milliseconds: number): string => `${(Math.max(0, milliseconds) / 1000).toFixed(1)} s`
  return [
    {
      measure: `Authorize calls for ${String(PODS)} pods of one Deployment, as fast as the bed makes them`,
      value: String(authorizes),
      ratio: perPod(authorizes)
    },
    {
      measure: 'from its creation to the last pod having its addresses',
      value: seconds(addressed - startedAt),
      ratio: '1.00'
    },
    {
      measure: 'from its creation to the last rule in EC2',
      value: seconds(granted - startedAt),
      ratio: ((granted - startedAt) / (addressed - startedAt)).toFixed(2)
    },
    { measure: 'Revoke calls for the same pods deleted at once', value: String(revokes), ratio: perPod(revokes) },
    {
      measure: 'from the delete to the last rule gone (the bed terminates for 0.3 s)',
      value: seconds(revoked - removedAt),
      ratio: ''
    }
  ]
}

async function callsOf(bed: Bed, since: number, action: string): Promise<number> {
  return (await bed.calls(since)).filter((call) => call.action === action).length
}

const deployment = (groupId: string): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: { name: 'bench' },
  spec: {
    replicas: PODS,
    selector: { matchLabels: { app: 'bench' } },
    template: {
      metadata: { labels: { app: 'bench' }, annotations: { [`sg.amazonaws.com/${groupId}`]: 'tcp:443' } },
      spec: { containers: [{ name: 'app', image: 'example.com/app' }] }
    }
  }
})

async function main(): Promise<void> {
  const rows = [benchParser()]
  const bed = await startBed({
    name: `bench-${String(process.pid)}`,
    settings: { worker: { RULES_PER_GROUP: '1000' } }
  })
  try {
    rows.push(...(await benchPods(bed)))
  } finally {
    await bed.stop()
  }
  const [cpu] = cpus()
  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${String(cpus().length)} x ${cpu?.model.trim() ?? 'unknown'}, Node ${process.version}\n`
  )
  console.log('| measure | value | ratio |\n|---|---|---|')
  for (const { measure, value, ratio } of rows) console.log(`| ${measure} | ${value} | ${ratio} |`)
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
