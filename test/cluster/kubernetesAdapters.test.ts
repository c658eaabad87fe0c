/** The way to the API server, the reflector, the lease and the Events on a real control plane, which fails as real ones do. */
import { readFile } from 'node:fs/promises'
import { pino } from 'pino'
import t from 'tap'
import { eventually, startBed } from '../../bed/bed.ts'
import { connect } from '../../shared/kubernetes/connection.ts'
import {
  isAlreadyExists,
  isConflict,
  isExpired,
  isNamespaceTerminating,
  isNotFound,
  isUidMismatch,
  NoAnswer
} from '../../shared/kubernetes/status.ts'
import { recordEvents } from '../../worker/kubernetes/events.ts'
import { elect } from '../../worker/kubernetes/lease.ts'
import { reflect } from '../../worker/kubernetes/reflector.ts'
import type { RawObject, Reflection, ReflectOptions } from '../../worker/kubernetes/reflector.ts'

const bed = await startBed({ product: false, kwok: false })
t.teardown(() => bed.stop())
const logger = pino({ level: 'silent' })
const connection = await connect({ source: { kubeconfig: bed.kubeconfig }, logger, userAgent: 'kube-sg-test' })
t.teardown(() => connection.close())

const MERGE = 'application/merge-patch+json'
const STRATEGIC = 'application/strategic-merge-patch+json'
const maps = '/api/v1/namespaces/default/configmaps'
const put = async (name: string, group: string): Promise<RawObject> =>
  (await connection.request({
    method: 'POST',
    path: maps,
    body: { metadata: { name, labels: { group } } }
  })) as RawObject
const patch = async (name: string, body: object, contentType = MERGE): Promise<unknown> =>
  connection.request({ method: 'PATCH', path: `${maps}/${name}`, body, contentType })
const remove = async (name: string): Promise<unknown> =>
  connection.request({ method: 'DELETE', path: `${maps}/${name}` })
const refusal = async (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => 'it was not refused',
    (error: unknown) => error
  )

interface Mirror {
  readonly reflection: Reflection
  /** What is there by the handler's word: name to uid. */
  readonly held: Map<string, string>
  readonly told: string[]
}

/** Keeps a copy as the worker does: by what it is told alone. */
function mirror(group: string, options: Partial<ReflectOptions<readonly [string, string]>> = {}): Mirror {
  const held = new Map<string, string>()
  const told: string[] = []
  const reflection = reflect<readonly [string, string]>({
    connection,
    logger,
    path: maps,
    labelSelector: `group=${group}`,
    pageSize: 2,
    trim: ({ metadata }) => [metadata.name, metadata.uid],
    handler: {
      replaced(items) {
        held.clear()
        for (const [name, uid] of items) held.set(name, uid)
        told.push('replaced')
      },
      changed([name, uid]) {
        held.set(name, uid)
        told.push(`changed ${name}`)
      },
      deleted([name, uid]) {
        if (held.get(name) === uid) held.delete(name)
        told.push(`deleted ${name}`)
      }
    },
    ...options
  })
  return { reflection, held, told }
}

const names = ({ held }: Mirror): string => [...held.keys()].sort().join(' ')
const shows = (one: Mirror, what: string): Promise<unknown> =>
  eventually(`the mirror shows ${what}`, () => Promise.resolve(names(one) === what || undefined))

t.test('what the API server answers is what status.ts takes it for', async (t) => {
  const made = await put('refused', 'none')
  t.ok(isAlreadyExists(await refusal(put('refused', 'none'))))
  t.ok(isNotFound(await refusal(patch('never', {}))))
  t.ok(isUidMismatch(await refusal(patch('refused', { metadata: { uid: 'another' } }, STRATEGIC))))
  const body = { preconditions: { uid: 'another' } }
  t.ok(isUidMismatch(await refusal(connection.request({ method: 'DELETE', path: `${maps}/refused`, body }))))
  await patch('refused', { metadata: { labels: { group: 'other' } } })
  const stale = await refusal(connection.request({ method: 'PUT', path: `${maps}/refused`, body: made }))
  t.ok(isConflict(stale) && !isUidMismatch(stale))
})

t.test('a label taken off looks deleted; the same name comes back as another object', async (t) => {
  const before = await put('a', 'names')
  await put('b', 'names')
  await put('c', 'names')
  const one = mirror('names')
  t.teardown(() => one.reflection.stop())
  await one.reflection.synced
  t.equal(names(one), 'a b c')
  await patch('b', { metadata: { labels: { group: null } } })
  await shows(one, 'a c')
  await remove('a')
  const after = await put('a', 'names')
  await eventually('the new uid', () => Promise.resolve(one.held.get('a') === after.metadata.uid || undefined))
  t.not(before.metadata.uid, after.metadata.uid)
  t.same(one.told, ['replaced', 'deleted b', 'deleted a', 'changed a'])
})

t.test('paging outlives a compaction of etcd between two pages', async (t) => {
  for (const name of ['p', 'q', 'r']) await put(name, 'paged')
  const url = await etcdUrl()
  let pages = 0
  let refused: unknown
  const one = mirror('paged', {
    pageSize: 1,
    connection: {
      ...connection,
      async request(call) {
        if (++pages === 2) await forgetPast(url)
        try {
          return await connection.request(call)
        } catch (error) {
          refused ??= error
          throw error
        }
      }
    }
  })
  t.teardown(() => one.reflection.stop())
  await one.reflection.synced
  t.ok(isExpired(refused))
  t.equal(names(one), 'p q r')
  t.ok(pages >= 5, 'it began again')
})

t.test('a killed API server costs no word, and the lease stays where it is', async (t) => {
  await put('before', 'killed')
  const one = mirror('killed')
  const words: string[] = []
  const campaign = elect({
    ...{ connection, logger, namespace: 'default', name: 'killed', identity: 'one' },
    ...{ leaseDuration: 60_000, renewDeadline: 50_000, retryPeriod: 500 },
    onLead: () => words.push('lead'),
    onLost: (reason) => words.push(reason)
  })
  t.teardown(() => Promise.all([one.reflection.stop(), campaign.stop()]))
  await one.reflection.synced
  await eventually('the lease', () => Promise.resolve(campaign.isLeading(performance.now()) || undefined))
  const until = campaign.validUntil()
  await bed.ctl('kill', 'apiserver')
  t.ok((await refusal(patch('before', {}))) instanceof NoAnswer)
  await bed.ctl('start', 'apiserver')
  await remove('before')
  await put('after', 'killed')
  await shows(one, 'after')
  await eventually('a renewal', () => Promise.resolve(campaign.validUntil() > until || undefined))
  t.same(words, ['lead'])
})

t.test('an API server that hangs is noticed by its silence', async (t) => {
  const errors: string[] = []
  const one = mirror('hung', {
    timing: { watchdog: 1000, backoffFirst: 100, backoffMost: 500 },
    onError: (error, during) => errors.push(`${during}: ${String(error)}`)
  })
  t.teardown(() => one.reflection.stop())
  await one.reflection.synced
  await bed.ctl('pause', 'apiserver')
  try {
    await eventually('silence noticed', () =>
      Promise.resolve(errors.some((error) => error.includes('was silent for 1000 ms')) || undefined)
    )
  } finally {
    await bed.ctl('resume', 'apiserver')
  }
  await put('later', 'hung')
  await shows(one, 'later')
  t.equal(one.told.at(-1), 'changed later')
})

t.test('the lease goes to the other: at once when given back, in time when its holder is cut off', async (t) => {
  const words: string[] = []
  const other = await connect({ source: { kubeconfig: bed.kubeconfig }, logger, userAgent: 'kube-sg-test' })
  t.teardown(() => other.close())
  const run = (identity: string, by: typeof connection): ReturnType<typeof elect> =>
    elect({
      ...{ connection: by, logger, namespace: 'default', name: 'two', identity },
      ...{ leaseDuration: 3000, renewDeadline: 2000, retryPeriod: 300 },
      onLead: () => words.push(`${identity} leads`),
      onLost: () => words.push(`${identity} lost`)
    })
  const said = (word: string): Promise<unknown> =>
    eventually(word, () => Promise.resolve(words.includes(word) || undefined))
  const first = run('first', connection)
  await said('first leads')
  await connection.request({
    method: 'PATCH',
    path: '/apis/coordination.k8s.io/v1/namespaces/default/leases/two',
    contentType: MERGE,
    body: { metadata: { labels: { kept: 'yes' } } }
  })
  const second = run('second', other)
  await eventually('a renewal after the label', async () => {
    const lease = await readLease('two')
    return lease.spec.renewTime !== lease.spec.acquireTime || undefined
  })
  t.match(await readLease('two'), {
    metadata: { labels: { kept: 'yes' } },
    spec: { holderIdentity: /^first_/, leaseDurationSeconds: 3, leaseTransitions: 0 }
  })
  await first.stop()
  await said('second leads')
  const third = run('third', connection)
  await other.close()
  await said('third leads')
  t.same(words, ['first leads', 'second leads', 'second lost', 'third leads'])
  t.equal(second.validUntil(), -Infinity)
  await third.stop()
  t.match(await readLease('two'), { spec: { holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions: 2 } })
})

t.test('Events: a series, a note too long, and a namespace that is going', async (t) => {
  const warnings: string[] = []
  const recorder = recordEvents({
    connection,
    reportingController: 'sg.amazonaws.com/worker',
    reportingInstance: 'worker-0',
    logger: pino({ level: 'warn' }, { write: (line) => void warnings.push(line) }),
    limits: { seriesInterval: 1 }
  })
  const pod = { namespace: 'default', name: 'p', uid: '00000000-0000-4000-8000-000000000001' }
  const say = (namespace: string): void =>
    recorder.record({
      pod: { ...pod, namespace },
      type: 'Warning',
      reason: 'AuthorizeFailed',
      action: 'Authorize',
      note: 'é'.repeat(1000)
    })
  const seen = async (): Promise<{ note: string; series?: { count: number } }[]> => {
    const query = { fieldSelector: `reason=AuthorizeFailed` }
    const path = '/apis/events.k8s.io/v1/namespaces/default/events'
    return ((await connection.request({ path, query })) as { items: { note: string }[] }).items
  }
  say('default')
  await eventually('the Event', async () => ((await seen()).length === 1 ? true : undefined))
  say('default')
  await eventually('its series', async () => ((await seen())[0]?.series?.count === 2 ? true : undefined))
  t.match((await seen())[0]?.note, /^é+ \.\.\. \(cut\)$/)
  t.equal((await seen()).length, 1)
  const going = { metadata: { name: 'going' } }
  await connection.request({ method: 'POST', path: '/api/v1/namespaces', body: going })
  // A finalizer on a thing inside keeps the namespace in Terminating for as long as the test lasts.
  const inside = '/api/v1/namespaces/going/configmaps'
  const held = { metadata: { name: 'held', finalizers: ['kube-sg.test/held'] } }
  await connection.request({ method: 'POST', path: inside, body: held })
  await connection.request({ method: 'DELETE', path: '/api/v1/namespaces/going' })
  const late = { metadata: { name: 'late' } }
  t.ok(isNamespaceTerminating(await refusal(connection.request({ method: 'POST', path: inside, body: late }))))
  say('going')
  say('never-made')
  await recorder.flush()
  t.same(warnings, [])
})

interface LeaseJson {
  readonly metadata: { readonly labels?: Readonly<Record<string, string>> }
  readonly spec: {
    readonly holderIdentity: string
    readonly renewTime: string
    readonly acquireTime: string
    readonly leaseTransitions: number
  }
}

async function readLease(name: string): Promise<LeaseJson> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/default/leases/${name}`
  return (await connection.request({ path })) as LeaseJson
}

/** Where the bed's etcd listens, by its command line: it answers gRPC's JSON gateway there. */
async function etcdUrl(): Promise<string> {
  const pid = (await bed.status()).find(({ name }) => name === 'etcd')?.pid
  const words = (await readFile(`/proc/${String(pid)}/cmdline`, 'utf8')).split(/[\0=]/)
  return words[words.indexOf('--listen-client-urls') + 1] ?? ''
}

/** Compacts etcd, as it happens every five minutes, and the API server's own memory with it. */
async function forgetPast(url: string): Promise<void> {
  // A write in between, so that the past has an end.
  await put(`compacted-${String(Date.now())}`, 'none')
  await bed.ctl('kill', 'apiserver')
  const ask = async (path: string, body: object): Promise<unknown> => {
    const answer = await fetch(`${url}${path}`, { method: 'POST', body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`etcd ${path}: ${String(answer.status)} ${await answer.text()}`)
    return answer.json()
  }
  const found = (await ask('/v3/kv/range', { key: Buffer.from('none').toString('base64') })) as EtcdAnswer
  await ask('/v3/kv/compaction', { revision: found.header.revision, physical: true })
  await bed.ctl('start', 'apiserver')
}

interface EtcdAnswer {
  readonly header: { readonly revision: string }
}
