/** What is left of a decision: in the API server's audit log, in our log and in our metrics. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { eventually, startBed } from '../../bed/bed.ts'
import { auditLogOf } from '../../bed/audit.ts'
import { A, admissionOf, B, pathOf, pod, refusal } from './admissionFixture.ts'

const bed = await startBed({ workers: 0, webhooks: 1, kwok: false, audit: true })
t.teardown(() => bed.stop())
const { namespace, create } = admissionOf(bed)

interface AuditEvent {
  readonly user?: { readonly username?: string }
  readonly objectRef?: { readonly namespace?: string; readonly name?: string }
  readonly annotations?: Readonly<Record<string, string>>
  readonly responseStatus?: { readonly code?: number }
}

/** Our annotations on the audit event of our last request for the pod, without the API server's own. */
async function audited(ns: string, name: string): Promise<Readonly<Record<string, string>> & { code: string }> {
  const text = await readFile(auditLogOf(bed.directory), 'utf8')
  const events = text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditEvent)
  const mine = events.filter(({ user }) => user?.username === 'kube-sg-bed-admin')
  const last = mine.filter(({ objectRef }) => objectRef?.namespace === ns && objectRef.name === name).at(-1)
  const ours = Object.entries(last?.annotations ?? {}).filter(([key]) => /^[a-z]+\.sg\.amazonaws\.com\//.test(key))
  return { ...Object.fromEntries(ours), code: String(last?.responseStatus?.code) }
}

t.test('the audit log tells who opened which groups, and why others could not', async (t) => {
  const ns = await namespace()
  await create(pod(ns, 'good', { [A]: 'tcp:443,tcp:8080' }))
  t.same(await audited(ns, 'good'), {
    'stamp.sg.amazonaws.com/decision': 'patched',
    'pods.sg.amazonaws.com/decision': 'allowed',
    'pods.sg.amazonaws.com/security-groups': 'sg-0123abcd',
    'pods.sg.amazonaws.com/rules': '2',
    code: '201'
  })
  await create(pod(ns, 'bad', { [A]: 'tpc:443,tcp:0', [B]: 'tcp:443' }))
  t.match(await audited(ns, 'bad'), {
    'pods.sg.amazonaws.com/decision': 'invalid',
    'pods.sg.amazonaws.com/reasons': 'BadPorts,BadProtocol,NotPermitted',
    code: '422'
  })
  await create(pod(ns, 'stranger', { [B]: 'tcp:443' }))
  t.match(await audited(ns, 'stranger'), {
    'pods.sg.amazonaws.com/decision': 'permission',
    'pods.sg.amazonaws.com/reasons': 'NotPermitted',
    code: '403'
  })
  await refusal(bed.api.patch(`${pathOf(ns, 'good')}/status`, { metadata: { annotations: { [A]: 'all' } } }))
  t.match(await audited(ns, 'good'), {
    'pods.sg.amazonaws.com/decision': 'subresource',
    'pods.sg.amazonaws.com/reasons': 'ThroughSubresource'
  })
})

t.test('our log has a line for each denial: of whom, by whom, why, and nothing else of the object', async (t) => {
  const ns = await namespace()
  const spec = { containers: [{ name: 'c', image: 'x', env: [{ name: 'PASSWORD', value: 'hunter2' }] }] }
  await create(pod(ns, 'bad', { [A]: 'tcp:0', 'example.com/token': 'hunter2' }, {}, spec))
  const line = await eventually('the line', async () => {
    const lines = (await bed.log('webhook-0'))
      .split('\n')
      .filter((line) => line.includes(ns) && line.includes('denied'))
    return lines[0]
  })
  t.match(JSON.parse(line), {
    msg: 'request denied',
    pod: { namespace: ns, name: 'bad' },
    user: 'kube-sg-bed-admin',
    operation: 'CREATE',
    decision: 'invalid',
    reasons: ['BadPorts'],
    messages: [/^metadata\.annotations\[.*\]: Invalid value: "tcp:0": port must be/]
  })
  t.notMatch(await bed.log('webhook-0'), /hunter2/)
})

t.test('our metrics count decisions and reasons', async (t) => {
  const exposition = await (await fetch(bed.env.METRICS_WEBHOOK_0 ?? '')).text()
  for (const line of [
    /^controller_runtime_webhook_requests_total\{webhook="\/validate",code="200"\} [1-9]/m,
    /^controller_runtime_webhook_requests_total\{webhook="\/mutate",code="200"\} [1-9]/m,
    /^controller_runtime_webhook_latency_seconds_bucket\{.*webhook="\/validate".*\} [1-9]/m,
    /^controller_runtime_webhook_requests_in_flight\{webhook="\/validate"\} 0$/m,
    /^kube_sg_webhook_decisions_total\{resource="pods",outcome="patched"\} [1-9]/m,
    /^kube_sg_webhook_decisions_total\{resource="pods\/status",outcome="subresource"\} 1$/m,
    /^kube_sg_webhook_denials_total\{reason="BadPorts"\} 2$/m,
    /^kube_sg_webhook_denials_total\{reason="NotPermitted"\} 2$/m
  ])
    t.match(exposition, line)
})
