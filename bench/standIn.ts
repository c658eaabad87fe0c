/**
 * Stands in for an API server with a hundred thousand pods, for as much of its API as the worker uses: paged lists, watches with
 * bookmarks that can be taken up again, patches, a Lease, and a `yes` to every SubjectAccessReview.
 * Longer than most files here: it is one server, and each part is a few lines.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { CONDITION, FINALIZER } from '../shared/names.ts'
import { podMetadata, podObject } from './standInPods.ts'
import type { StandInPod } from './standInPods.ts'

export const CLUSTER_UID = '11111111-2222-3333-4444-555555555555'

export interface StandIn {
  readonly url: string
  /** Ours, by `namespace/name`. */
  readonly pods: ReadonlyMap<string, StandInPod>
  /** Requests so far, such as `PATCH pods/status`. */
  readonly requests: ReadonlyMap<string, number>
  add(pod: StandInPod): void
  /** The pod is different now, and the watches tell. @param beat something that decides nothing */
  tell(pod: StandInPod, beat?: string): void
  /** The grace is over, and nothing runs any more: the finalizer alone keeps it. */
  end(pod: StandInPod): void
  close(): Promise<void>
}

interface Told {
  readonly resourceVersion: number
  readonly line: string
}

const BOOKMARK_EVERY_MS = 8_000
/** So many events can be read again by a watch that went away. */
const REMEMBERED = 20_000

/** @param others how many pods there are beside ours */
export async function startStandIn(ours: Iterable<StandInPod>, others: number): Promise<StandIn> {
  const pods = new Map([...ours].map((pod) => [`${pod.namespace}/${pod.name}`, pod]))
  const nodes = [...new Set([...pods.values()].map(({ nodeName }) => nodeName))].map(nodeObject)
  const watches = new Set<ServerResponse>()
  const requests = new Map<string, number>()
  const snapshots = new Map<string, readonly StandInPod[]>()
  let told: Told[] = []
  let resourceVersion = 1000
  let lease: Record<string, unknown> | undefined

  const say = (type: string, pod: StandInPod, beat?: string): void => {
    pod.resourceVersion = ++resourceVersion
    const line = `${JSON.stringify({ type, object: podObject(pod, beat) })}\n`
    told.push({ resourceVersion, line })
    if (told.length > 2 * REMEMBERED) told = told.slice(-REMEMBERED)
    for (const watch of watches) watch.write(line)
  }
  const remove = (pod: StandInPod): void => {
    pods.delete(`${pod.namespace}/${pod.name}`)
    say('DELETED', pod)
  }

  const listOurs = (limit: number, token: string | null): object => {
    const [id, offset] = (token ?? `${++resourceVersion}:0`).split(':') as [string, string]
    const all = snapshots.get(id) ?? [...pods.values()]
    const end = Number(offset) + limit
    if (end < all.length) snapshots.set(id, all)
    else snapshots.delete(id)
    const items = all.slice(Number(offset), end).map((pod) => podObject(pod))
    return { metadata: { resourceVersion: id, ...(end < all.length ? { continue: `${id}:${end}` } : {}) }, items }
  }

  const listOthers = (limit: number, token: string | null): object => {
    const start = Number(token ?? 0)
    const end = Math.min(others, start + limit)
    const items = Array.from({ length: end - start }, (_, index) => {
      const metadata = { ...podMetadata(STRANGER), name: `other-${start + index}`, uid: `other-${start + index}` }
      return { metadata }
    })
    return { metadata: { resourceVersion: '1', ...(end < others ? { continue: String(end) } : {}) }, items }
  }

  const watch = (query: URLSearchParams, response: ServerResponse, path: string): void => {
    response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
    if (path === 'pods') {
      const from = Number(query.get('resourceVersion'))
      if ((told[0]?.resourceVersion ?? from) > from + 1) {
        const status = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' }
        return void response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`)
      }
      for (const event of told) if (event.resourceVersion > from) response.write(event.line)
      watches.add(response)
    }
    const kind = path === 'pods' ? 'Pod' : 'Node'
    const bookmark = setInterval(() => {
      const object = { kind, metadata: { resourceVersion: String(resourceVersion) } }
      response.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`)
    }, BOOKMARK_EVERY_MS)
    const end = setTimeout(
      () => {
        watches.delete(response)
        clearInterval(bookmark)
        response.end()
      },
      Number(query.get('timeoutSeconds')) * 1000
    )
    response.on('close', () => {
      clearInterval(bookmark)
      clearTimeout(end)
      watches.delete(response)
    })
  }

  const patch = (pod: StandInPod, body: PatchBody): void => {
    const condition = body.status?.conditions?.find(({ type }) => type === CONDITION)
    if (condition !== undefined)
      pod.condition = { status: condition.status, reason: condition.reason, message: condition.message }
    if (body.metadata?.['$deleteFromPrimitiveList/finalizers']?.includes(FINALIZER) === true) pod.finalized = false
    if (pod.deleted && !pod.finalized) remove(pod)
    else say('MODIFIED', pod)
  }

  const answerPods = (method: string, parts: readonly string[], query: URLSearchParams, body: unknown): Answer => {
    const [, namespace, , name] = parts
    if (name === undefined) {
      if (query.has('fieldSelector')) {
        const address = query.get('fieldSelector')?.split('=')[1] ?? ''
        const items = [...pods.values()]
          .filter(({ addresses }) => addresses.includes(address))
          .map((pod) => podObject(pod))
        return [200, { metadata: { resourceVersion: '1' }, items }]
      }
      const limit = Number(query.get('limit') ?? Infinity)
      const list = query.get('labelSelector')?.includes('!=') === true ? listOthers : listOurs
      return [200, list(limit, query.get('continue'))]
    }
    const pod = pods.get(`${namespace ?? ''}/${name}`)
    if (pod === undefined) return [404, { kind: 'Status', code: 404, reason: 'NotFound' }]
    if (method === 'PATCH') patch(pod, body as PatchBody)
    return [200, podObject(pod)]
  }

  const answer = (method: string, path: string, query: URLSearchParams, body: unknown): Answer => {
    const parts = path.split('/').slice(path.startsWith('/apis/') ? 4 : 3)
    if (path === '/api/v1/namespaces/kube-system') return [200, { metadata: { uid: CLUSTER_UID } }]
    if (path.endsWith('/subjectaccessreviews')) return [201, { ...(body as object), status: { allowed: true } }]
    if (path.includes('/leases')) {
      if (method === 'GET') {
        const items = lease === undefined ? [] : [lease]
        if (path.endsWith('/leases')) return [200, { metadata: { resourceVersion: '1' }, items }]
        return lease === undefined ? [404, { kind: 'Status', code: 404, reason: 'NotFound' }] : [200, lease]
      }
      const { metadata, ...rest } = body as { metadata: object }
      lease = { ...rest, metadata: { ...metadata, resourceVersion: String(++resourceVersion) } }
      return [200, lease]
    }
    if (parts[0] === 'nodes') {
      const found = nodes.filter(({ metadata }) => parts[1] === undefined || metadata.name === parts[1])
      return [200, parts[1] === undefined ? { metadata: { resourceVersion: '1' }, items: found } : (found[0] ?? {})]
    }
    if (parts.includes('pods')) return answerPods(method, parts[0] === 'pods' ? [] : parts, query, body)
    return [201, body ?? {}]
  }

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://stand-in')
    const body = await readJson(request)
    const what = `${request.method ?? ''} ${pathname.replace(/^\/apis?\/(?:[^/]+\/)?v1\//, '').replace(/namespaces\/[^/]+\/([^/]+)(?:\/[^/]+)?/, '$1')}`
    requests.set(what, (requests.get(what) ?? 0) + 1)
    if (searchParams.has('watch')) return watch(searchParams, response, pathname.split('/').at(-1) ?? '')
    const [code, object] = answer(request.method ?? '', pathname, searchParams, body)
    response.writeHead(code, { 'content-type': 'application/json' }).end(JSON.stringify(object))
  }
  const server = createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    serve(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    pods,
    requests,
    add(pod) {
      pods.set(`${pod.namespace}/${pod.name}`, pod)
      say('ADDED', pod)
    },
    tell: (pod, beat) => say('MODIFIED', pod, beat),
    end(pod) {
      pod.phase = 'Succeeded'
      pod.deleted = true
      if (pod.finalized) say('MODIFIED', pod)
      else remove(pod)
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}

type Answer = readonly [code: number, object: object]

interface PatchBody {
  readonly metadata?: { readonly '$deleteFromPrimitiveList/finalizers'?: readonly string[] }
  readonly status?: {
    readonly conditions?: readonly { type: string; status: string; reason: string; message: string }[]
  }
}

const STRANGER: StandInPod = {
  namespace: 'elsewhere',
  name: 'other-',
  uid: '',
  serviceAccountName: 'default',
  nodeName: '',
  groupId: '',
  addresses: [],
  createdAt: '2026-01-01T00:00:00Z',
  phase: 'Running',
  deleted: false,
  finalized: false,
  condition: undefined,
  resourceVersion: 1
}

const nodeObject = (name: string) => ({
  metadata: { name, uid: name, resourceVersion: '1', creationTimestamp: '2026-01-01T00:00:00Z' },
  status: { addresses: [{ type: 'Hostname', address: name }] }
})

async function readJson(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) text += String(chunk)
  return text === '' ? undefined : JSON.parse(text)
}
