/** The certificates job on a real API server, with the permissions that it ships with. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { eventually, startBed } from '../../bed/bed.ts'
import type { Bed, KubeObject } from '../../bed/bed.ts'
import { signedBy, splitBundle } from '../../certs-job/certificates.ts'

const bed: Bed = await startBed({ webhooks: 1, workers: 0, kwok: false })
t.teardown(() => bed.stop())

const SECRETS = ['kube-sg-ca', 'kube-sg-webhook-tls'].map((name) => `/api/v1/namespaces/kube-sg/secrets/${name}`)
const CONFIGURATIONS = ['mutating', 'validating'].map(
  (kind) => `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/kube-sg`
)
const [CA, TLS] = SECRETS as [string, string]

const decode = (text = ''): string => Buffer.from(text, 'base64').toString('utf8')
const dataOf = async (path: string): Promise<Record<string, string>> =>
  Object.fromEntries(
    Object.entries((await bed.api.call('GET', path)).data ?? {}).map(([key, value]) => [key, decode(value as string)])
  )
const versions = async (): Promise<unknown[]> =>
  Promise.all(
    [...SECRETS, ...CONFIGURATIONS].map(async (path) => (await bed.api.call('GET', path)).metadata?.resourceVersion)
  )
async function bundles(): Promise<string[]> {
  const objects = await Promise.all(CONFIGURATIONS.map((path) => bed.api.call('GET', path)))
  const entries = objects.flatMap((object) => object.webhooks as { clientConfig: { caBundle?: string } }[])
  return entries.map(({ clientConfig }) => decode(clientConfig.caBundle))
}

/** The whole way from the API server to the webhook: a malformed annotation that is refused by name. */
async function admits(): Promise<boolean> {
  const metadata = { name: 'p', namespace: 'default', annotations: { 'sg.amazonaws.com/sg-0123abcd': 'tpc:1' } }
  const pod: KubeObject = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [{ name: 'c', image: 'x' }] } }
  const answer = await bed.kubectl(['create', '--dry-run=server', '-f', '-'], JSON.stringify(pod))
  return answer.stderr.startsWith('The Pod "p" is invalid')
}

async function served(): Promise<number> {
  const text = await (await fetch(bed.env.METRICS_WEBHOOK_0 ?? '')).text()
  return Number(/^kube_sg_webhook_certificate_not_after_timestamp_seconds (\d+)$/m.exec(text)?.[1])
}

t.test('the first run made all that the webhook needs', async (t) => {
  const [ca, tls] = [await dataOf(CA), await dataOf(TLS)]
  t.same(Object.keys(ca), ['ca.crt', 'ca.key', 'trusted-since'])
  t.same(Object.keys(tls).sort(), ['ca.crt', 'tls.crt', 'tls.key'])
  t.ok(signedBy(tls['tls.crt'] ?? '', ca['ca.crt'] ?? ''))
  t.same(await bundles(), Array(4).fill(ca['ca.crt']))
  t.ok(await admits())
})

t.test('a second run changes nothing', async (t) => {
  const before = await versions()
  await bed.ctl('start', 'certs-job')
  t.same(await versions(), before)
  t.match(await bed.log('certs-job'), /"authorityIssued":false,"leafIssued":false,"entriesChanged":0/)
})

t.test('applying the manifests again, either way, wipes nothing', async (t) => {
  const before = [await dataOf(CA), await dataOf(TLS), await bundles()]
  for (const path of [...SECRETS, ...CONFIGURATIONS]) {
    const live = await bed.api.call('GET', path)
    const applied = live.metadata?.annotations?.['kubectl.kubernetes.io/last-applied-configuration'] ?? ''
    t.match(applied, '"kind"', 'what was applied is known')
    for (const flags of [[], ['--server-side', '--force-conflicts'], []])
      t.match(await bed.kubectl(['apply', ...flags, '-f', '-'], applied), { code: 0 })
  }
  t.same([await dataOf(CA), await dataOf(TLS), await bundles()], before)
  t.ok(await admits())
})

t.test(
  'a wiped caBundle, an emptied serving Secret: the next run mends it, and the webhook serves the new',
  async (t) => {
    const before = await served()
    const path = CONFIGURATIONS[1] ?? ''
    const webhooks = (await bed.api.call('GET', path)).webhooks as { clientConfig: object }[]
    await bed.api.patch(path, {
      webhooks: webhooks.map((entry) => ({ ...entry, clientConfig: { ...entry.clientConfig, caBundle: null } }))
    })
    await bed.api.patch(TLS, { data: null })
    await bed.ctl('start', 'certs-job')
    t.same(new Set(await bundles()).size, 1)
    await eventually('the new certificate', async () => (await served()) > before || undefined)
    await eventually('an admission', async () => (await admits()) || undefined)
  }
)

t.test('an emptied CA Secret: what is served stays trusted while the new authority is made known', async (t) => {
  const [ca, tls] = [await dataOf(CA), await dataOf(TLS)]
  await bed.api.patch(CA, { data: null })
  await bed.ctl('start', 'certs-job')
  const now = await dataOf(CA)
  t.not(now['ca.crt'], ca['ca.crt'])
  t.equal((await dataOf(TLS))['tls.crt'], tls['tls.crt'])
  for (const bundle of await bundles()) t.same(splitBundle(bundle), [now['ca.crt'], ca['ca.crt']])
  await bed.ctl('start', 'certs-job')
  t.equal((await dataOf(TLS))['tls.crt'], tls['tls.crt'], 'nor right after')
  t.equal((await dataOf(CA))['trusted-since'], now['trusted-since'])
  t.ok(await admits())
})

t.test('without its Secret the job says what to do', async (t) => {
  const ca = await bed.api.call('GET', CA)
  await bed.api.call('DELETE', CA)
  await bed.ctl('start', 'certs-job').catch(() => undefined)
  await eventually('the complaint', async () => {
    const log = await bed.log('certs-job')
    return log.includes("Secret 'kube-sg/kube-sg-ca' is not there: apply the manifests again") || undefined
  })
  const { name, namespace } = ca.metadata ?? {}
  await bed.apply([
    { apiVersion: 'v1', kind: 'Secret', type: 'Opaque', metadata: { name: name ?? '', namespace: namespace ?? '' } }
  ])
  await bed.ctl('start', 'certs-job')
  t.ok(await admits())
})

t.test('another image while the install Job is there: refused, and what 50-certs.yaml says helps', async (t) => {
  const text = readFileSync(new URL('../../manifests/50-certs.yaml', import.meta.url), 'utf8')
  const advice = /^# +kubectl (.* delete job .*)$/m.exec(text)?.[1] ?? ''
  const apply = (image: string) => bed.kubectl(['apply', '-f', '-'], text.replaceAll('kube-sg:latest', image))
  t.match(await apply('example.com/kube-sg:1'), { code: 0 })
  t.match(await apply('example.com/kube-sg:2'), { code: 1, stderr: /field is immutable/ })
  t.match(await bed.kubectl(advice.split(' ')), { code: 0 })
  t.match(await apply('example.com/kube-sg:2'), { code: 0 })
})

t.test('nobody of ours may do more than its work', async (t) => {
  const can = async (account: string, ...question: string[]): Promise<string> => {
    const config = await bed.tokenKubeconfig(`kube-sg/${account}`)
    return (await bed.kubectl([`--kubeconfig=${config}`, 'auth', 'can-i', ...question])).stdout.trim()
  }
  const cases: [account: string, question: string, answer: 'yes' | 'no'][] = [
    ['kube-sg-certs', 'get secrets/kube-sg-ca -n kube-sg', 'yes'],
    ['kube-sg-certs', 'patch secrets/kube-sg-webhook-tls -n kube-sg', 'yes'],
    ['kube-sg-certs', 'get secrets/other -n kube-sg', 'no'],
    ['kube-sg-certs', 'list secrets -n kube-sg', 'no'],
    ['kube-sg-certs', 'create secrets -n kube-sg', 'no'],
    ['kube-sg-certs', 'patch mutatingwebhookconfigurations/kube-sg', 'yes'],
    ['kube-sg-certs', 'patch mutatingwebhookconfigurations/other', 'no'],
    ['kube-sg-certs', 'delete validatingwebhookconfigurations/kube-sg', 'no'],
    ['kube-sg-webhook', 'create subjectaccessreviews', 'yes'],
    ['kube-sg-webhook', 'get secrets/kube-sg-webhook-tls -n kube-sg', 'no'],
    ['kube-sg-webhook', 'get pods -A', 'no'],
    ['kube-sg-worker', 'watch pods -A', 'yes'],
    ['kube-sg-worker', 'patch pods --subresource=status -A', 'yes'],
    ['kube-sg-worker', 'delete pods -A', 'no'],
    ['kube-sg-worker', 'update leases/kube-sg-worker -n kube-sg', 'yes'],
    ['kube-sg-worker', 'update leases/other -n kube-sg', 'no'],
    ['kube-sg-worker', 'create leases -n default', 'no'],
    ['kube-sg-worker', 'get namespaces/kube-system', 'yes'],
    ['kube-sg-worker', 'get namespaces/default', 'no'],
    ['kube-sg-worker', 'get secrets/kube-sg-ca -n kube-sg', 'no'],
    ['kube-sg-worker', 'create events.events.k8s.io -A', 'yes']
  ]
  for (const [account, question, answer] of cases)
    t.equal(await can(account, ...question.split(' ')), answer, `${account} ${question}`)
})
