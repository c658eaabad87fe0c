/** The backstop put on in an outage of the webhook, as docs/backstop.md says it, and taken off again after it. */
import { join } from 'node:path'
import type { Test } from 'tap'
import { eventually } from '../../bed/bed.ts'
import type { Bed, KubeObject } from '../../bed/bed.ts'
import { manifestFiles } from '../../bed/manifestFiles.ts'
import { onThisHost, readManifests } from '../../bed/manifests.ts'
import { FINALIZER } from './pods.ts'
import { groupOf, key, pod, pods, refusal, status } from './outageStage.ts'
import type { Stage } from './outageStage.ts'

const MANIFESTS = join(import.meta.dirname, '..', '..', 'manifests')
const BACKSTOP = join(MANIFESTS, 'backstop')

/** As `kubectl apply -f` of the folder, or of its files named in `only`. */
async function apply(bed: Bed, folder: string, only = /./): Promise<void> {
  const port = Number(bed.env.WEBHOOK_ADDR?.split(':')[1])
  const files = (await manifestFiles(folder)).filter(({ name }) => only.test(name))
  await bed.apply(readManifests(files).objects.map((object) => onThisHost(object, port)))
}

interface Configuration extends KubeObject {
  readonly webhooks: readonly {
    readonly name: string
    readonly failurePolicy: string
    readonly clientConfig: { readonly caBundle?: string }
  }[]
}

/** Of each webhook its name and failurePolicy, and whether it has its certificate authority. */
async function webhooks({ api }: Bed): Promise<readonly [string, string, boolean][]> {
  const found: [string, string, boolean][] = []
  for (const kind of ['mutating', 'validating']) {
    const path = `/apis/admissionregistration.k8s.io/v1/${kind}webhookconfigurations/kube-sg`
    for (const { name, failurePolicy, clientConfig } of ((await api.call('GET', path)) as Configuration).webhooks)
      found.push([name, failurePolicy, (clientConfig.caBundle ?? '') !== ''])
  }
  return found
}

const configured = (failurePolicy: string): [string, string, boolean][] => [
  ['stamp.sg.amazonaws.com', failurePolicy, true],
  ['pods.sg.amazonaws.com', failurePolicy, true],
  ['bindings.sg.amazonaws.com', failurePolicy, true],
  ['workloads.sg.amazonaws.com', 'Ignore', true]
]

/** @param stage without the backstop, all replicas of the webhook dead */
export async function switchOnAndOff(t: Test, stage: Stage): Promise<void> {
  const { bed, yard } = stage
  const annotations = (value: string): object => ({ [key(groupOf(stage, 0))]: value })
  const create = (namespace: string, value: string, name = 'probe', dryRun = '?dryRun=All'): Promise<unknown> =>
    bed.api.call('POST', `${pods(namespace)}${dryRun}`, pod(name, annotations(value), { schedulerName: 'nobody' }))
  t.same(await webhooks(bed), configured('Fail'))
  t.equal(await status(create('default', 'tcp:443')), 500)

  await apply(bed, BACKSTOP)
  await apply(bed, join(BACKSTOP, 'webhooks'))
  t.same(await webhooks(bed), configured('Ignore'), 'applied again, they keep their certificate authority')
  const answers = async (wanted: number, namespace: string, value: string): Promise<true | undefined> =>
    (await status(create(namespace, value))) === wanted || undefined
  await eventually('the grammar', () => answers(422, 'default', 'malformed'))
  await eventually('the stamp', () => answers(0, 'default', 'tcp:443'))
  await eventually('the permission', () => answers(403, 'locked', 'tcp:443'))
  await create('default', 'tcp:443', 'stamped', '')
  t.same((await yard.get('stamped'))?.metadata?.finalizers, [FINALIZER])
  const told = String(await refusal(create('locked', 'tcp:443')))
  await bed.apply(told.slice(told.indexOf('{')))
  await eventually('what was printed to permit it', () => answers(0, 'locked', 'tcp:443'))

  await Promise.all(['webhook-0', 'webhook-1'].map((name) => bed.ctl('start', name)))
  await apply(bed, MANIFESTS, /^60-/)
  t.same(await webhooks(bed), configured('Fail'))
  const names = (await bed.kubectl(['delete', '-f', BACKSTOP])).stdout
  t.equal(names.match(/deleted/g)?.length, 6, 'the policies and their bindings, and nothing else')
  await eventually('the webhook to answer for itself', async () => {
    const said = String(await refusal(create('default', 'tpc:443')))
    return said.includes("did you mean 'tcp:443'?") || undefined
  })
  t.same((await yard.get('stamped'))?.metadata?.finalizers, [FINALIZER])
  await yard.delete('stamped')
  await yard.gone('stamped')
}
