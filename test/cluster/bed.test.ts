/** What the other tests rely on: pods end as behind a real kubelet, and a bed never outlives who started it. */
import { spawn } from 'node:child_process'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { eventually, startBed, type Bed, type KubeObject } from '../../bed/bed.ts'
import { lives, refTo, type ProcessRef } from '../../bed/lives.ts'
import type { ProcessStatus } from '../../bed/processTable.ts'
import { FINALIZER } from '../../shared/names.ts'

interface Pod extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly deletionGracePeriodSeconds?: number }
  readonly status: {
    readonly phase: string
    readonly podIPs?: readonly { readonly ip: string }[]
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[]
    readonly containerStatuses?: readonly { readonly state: object }[]
  }
}

const CONDITION = 'sg.amazonaws.com/rules-in-effect'
const PODS = '/api/v1/namespaces/default/pods'

async function makePod(bed: Bed, name: string, metadata: object = {}, spec: object = {}): Promise<void> {
  const containers = [{ name: 'app', image: 'app' }]
  await bed.api.call('POST', PODS, { metadata: { name, ...metadata }, spec: { containers, ...spec } })
}

const podIs = (bed: Bed, name: string, what: string, isSo: (pod: Pod) => boolean): Promise<Pod> =>
  eventually(`pod ${name} to be ${what}`, async () => {
    const pod = (await bed.api.call('GET', `${PODS}/${name}`)) as Pod
    return isSo(pod) ? pod : undefined
  })

const running = (bed: Bed, name: string): Promise<Pod> =>
  podIs(bed, name, 'running', ({ status }) => status.phase === 'Running')

const isReady = ({ status }: Pod): boolean =>
  status.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') === true

const gone = (bed: Bed, name: string): Promise<true> =>
  eventually(`pod ${name} to be gone`, async () => {
    const { items } = (await bed.api.call('GET', PODS)) as unknown as { items: Pod[] }
    return items.every(({ metadata }) => metadata.name !== name) ? true : undefined
  })

t.test('pods on the bed', async (t) => {
  const bed = await startBed({ product: false })
  t.teardown(() => bed.stop())

  t.test('a finalizer survives a delete until it is taken off, and the containers end first', async (t) => {
    await makePod(bed, 'kept', { finalizers: [FINALIZER] })
    await running(bed, 'kept')
    await bed.api.call('DELETE', `${PODS}/kept`)
    const terminating = (await bed.api.call('GET', `${PODS}/kept`)) as Pod
    t.match(terminating, { metadata: { deletionGracePeriodSeconds: 30 }, status: { phase: 'Running' } })
    const ended = await podIs(bed, 'kept', 'ended', ({ metadata }) => metadata.deletionGracePeriodSeconds === 0)
    t.equal(ended.status.phase, 'Succeeded')
    t.same(Object.keys(ended.status.containerStatuses?.[0]?.state ?? {}), ['terminated'])
    t.same(ended.metadata.finalizers, [FINALIZER])
    t.equal(ended.status.podIPs?.length, 2, 'the address stays on record')

    // A second object after it shows that everything had its chance to take the finalizer, and did not.
    await makePod(bed, 'after')
    await running(bed, 'after')
    await bed.api.call('DELETE', `${PODS}/after`)
    await gone(bed, 'after')
    t.match(await bed.api.call('GET', `${PODS}/kept`), { metadata: { finalizers: [FINALIZER] } })
    await bed.api.patch(`${PODS}/kept`, { metadata: { finalizers: null } })
    await gone(bed, 'kept')
  })

  t.test('a pod has an address of each family, from the pod network', async (t) => {
    await makePod(bed, 'dual')
    const [four, six, ...more] = (await running(bed, 'dual')).status.podIPs ?? []
    t.match(four?.ip, /^10\.64\./)
    t.match(six?.ip, /^fd00:64::/)
    t.same(more, [])
  })

  t.test('readiness gates are left to others, and Ready follows them both ways', async (t) => {
    await makePod(bed, 'gated', {}, { readinessGates: [{ conditionType: CONDITION }] })
    const pod = await running(bed, 'gated')
    t.notOk(pod.status.conditions?.some(({ type }) => type === CONDITION))
    t.notOk(isReady(pod))
    const set = (status: string): Promise<unknown> =>
      bed.kubectl(['patch', 'pod', 'gated', '--subresource=status', '-p', gate(status)])
    const gate = (status: string): string => JSON.stringify({ status: { conditions: [{ type: CONDITION, status }] } })
    await set('True')
    t.ok(isReady(await podIs(bed, 'gated', 'ready', isReady)))
    await set('False')
    t.notOk(isReady(await podIs(bed, 'gated', 'not ready', (each) => !isReady(each))))
  })

  t.test("a Job's pod completes, and a pod may be told to fail", async (t) => {
    const template = { spec: { restartPolicy: 'Never', containers: [{ name: 'app', image: 'app' }] } }
    await bed.api.call('POST', '/apis/batch/v1/namespaces/default/jobs', {
      metadata: { name: 'j' },
      spec: { template }
    })
    await eventually('the Job to complete', async () => {
      const job = await bed.api.call('GET', '/apis/batch/v1/namespaces/default/jobs/j')
      return (job as unknown as { status: { succeeded?: number } }).status.succeeded === 1 ? true : undefined
    })
    const stage = 'pod-complete.stage.kwok.x-k8s.io'
    const annotations = { [`${stage}/delay`]: '10ms', [`${stage}/phase`]: 'Failed' }
    await makePod(bed, 'failing', { annotations }, { restartPolicy: 'Never' })
    const failed = await podIs(bed, 'failing', 'failed', ({ status }) => status.phase === 'Failed')
    t.match(failed.status.containerStatuses, [{ state: { terminated: { exitCode: 1 } } }])
  })

  t.test('no living pod loses its address to another when KWOK starts anew', async (t) => {
    const names = Array.from({ length: 6 }, (_, index) => `before-${index}`)
    for (const name of names) await makePod(bed, name)
    for (const name of names) await running(bed, name)
    const pods = async (): Promise<Pod[]> => ((await bed.api.call('GET', PODS)) as unknown as { items: Pod[] }).items
    const knownSince = ({ status }: Pod): string | undefined =>
      status.conditions?.find(({ type }) => type === 'PodReadyToStartContainers')?.message
    const [before] = (await pods()).map(knownSince)
    await bed.ctl('kill', 'kwok')
    await bed.ctl('start', 'kwok')
    // A pod that is made before KWOK has gone through those it found may still get the address of one of them.
    await eventually('KWOK to know every living pod again', async () => {
      const living = (await pods()).filter(
        ({ status, metadata }) => status.phase === 'Running' && !('deletionTimestamp' in metadata)
      )
      return living.every((pod) => knownSince(pod) !== before) || undefined
    })
    const later = names.map((name) => `${name}-later`)
    for (const name of later) await makePod(bed, name)
    for (const name of later) await running(bed, name)
    const addresses = (await pods()).flatMap(({ status }) => (status.phase === 'Running' ? (status.podIPs ?? []) : []))
    t.ok(addresses.length >= 24)
    t.equal(new Set(addresses.map(({ ip }) => ip)).size, addresses.length)
  })

  t.test('a service account has a kubeconfig of its own, with its own rights', async (t) => {
    const path = await bed.tokenKubeconfig('default/default')
    const who = await bed.kubectl([
      `--kubeconfig=${path}`,
      'auth',
      'whoami',
      '-o',
      'jsonpath={.status.userInfo.username}'
    ])
    t.equal(who.stdout, 'system:serviceaccount:default:default')
    t.match(await bed.kubectl([`--kubeconfig=${path}`, 'get', 'pods']), { code: 1, stderr: /Forbidden/ })
  })

  t.test('the control plane survives the death of its parts', async (t) => {
    for (const name of ['etcd', 'apiserver']) {
      await bed.ctl('kill', name)
      await bed.ctl('start', name)
    }
    await eventually('the API server to answer', async () => (await bed.api.answers('/readyz')) || undefined)
    t.match(await bed.api.call('GET', `${PODS}/dual`), { status: { phase: 'Running' } })
    await t.rejects(bed.ctl('kill', 'nothing'), { message: /there is no process nothing; there are etcd/ })
  })
})

interface Started {
  readonly starter: ProcessRef
  readonly supervisor: ProcessRef
  readonly all: readonly ProcessRef[]
  readonly directory: string
}

/** A bed started by another process, and every process that it consists of. */
async function startElsewhere(): Promise<Started> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'bedStarter.ts')], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).once('line', resolve)
    child.once('exit', () => reject(new Error('the starter ended')))
  })
  const { directory, processes } = JSON.parse(line) as { directory: string; processes: ProcessStatus[] }
  const owner = JSON.parse(await readFile(join(directory, 'lock'), 'utf8')) as ProcessRef
  const refs = await Promise.all(processes.flatMap(({ pid }) => (pid === undefined ? [] : [refTo(pid)])))
  return { starter: await refTo(child.pid!), supervisor: owner, all: [owner, ...refs], directory }
}

const allEnd = (refs: readonly ProcessRef[]): Promise<true> =>
  eventually('every process of the bed to end', async () => {
    const living = await Promise.all(refs.map(lives))
    return living.includes(true) ? undefined : true
  })

for (const victim of ['starter', 'supervisor'] as const) {
  t.test(`kill -9 of the ${victim} leaves no process`, async (t) => {
    const started = await startElsewhere()
    t.teardown(async () => {
      for (const ref of [started.starter, ...started.all]) if (await lives(ref)) process.kill(ref.pid, 'SIGKILL')
      await rm(started.directory, { recursive: true, force: true })
    })
    t.equal(started.all.length, 5, 'supervisor, etcd, apiserver, controller-manager, scheduler')
    process.kill(started[victim].pid, 'SIGKILL')
    t.ok(await allEnd(started.all))
  })
}
