/** Whole lists in pages, each object trimmed as it comes, so that a large cluster costs little memory. */
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { isExpired } from '../../shared/kubernetes/status.ts'

/** An object as the API server sends it: plain JSON, times as text. Items of a list have no kind and no apiVersion. */
export interface RawObject {
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly uid: string
    readonly resourceVersion: string
    readonly creationTimestamp: string
    readonly deletionTimestamp?: string
    readonly deletionGracePeriodSeconds?: number
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
    readonly finalizers?: readonly string[]
    readonly ownerReferences?: readonly {
      readonly kind: string
      readonly name: string
      readonly controller?: boolean
    }[]
  }
  readonly spec?: unknown
  readonly status?: unknown
}

export interface Selection {
  /** Such as `/api/v1/pods`. */
  readonly path: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

export interface ListOptions<T> extends Selection {
  readonly connection: Connection
  /** What to keep of an object. It must not hold on to the object, and a throw fails the list. */
  readonly trim: (object: RawObject) => T
  readonly pageSize?: number
  /** `application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1` asks for metadata only. */
  readonly accept?: string
  readonly signal?: AbortSignal
  /** Called at every page that arrived. */
  readonly onPage?: () => void
}

export interface Listed<T> {
  readonly items: readonly T[]
  /** Opaque: a watch may begin here. */
  readonly resourceVersion: string
}

const PAGE_SIZE = 500
const PAGE_TIMEOUT_MS = 30_000
const PAGED_ATTEMPTS = 3

/**
 * The whole truth at one moment, as consistent as the API server can give it (no resourceVersion is asked for).
 * A continue token that expires between pages starts the list again; the fourth attempt asks for one page of everything,
 * which cannot expire, as client-go's pager does.
 * @throws ApiError, NoAnswer, what `trim` throws, or the signal's reason
 */
export async function list<T>(options: ListOptions<T>): Promise<Listed<T>> {
  for (let attempt = 1; attempt <= PAGED_ATTEMPTS; attempt++) {
    try {
      return await listPages(options, options.pageSize ?? PAGE_SIZE)
    } catch (error) {
      if (!isExpired(error)) throw error
    }
  }
  return listPages(options, undefined)
}

async function listPages<T>(options: ListOptions<T>, limit: number | undefined): Promise<Listed<T>> {
  const { connection, path, labelSelector, fieldSelector, accept, signal } = options
  const items: T[] = []
  let next: string | undefined
  for (;;) {
    const answer = await connection.request({
      path,
      query: { labelSelector, fieldSelector, limit, continue: next },
      timeout: PAGE_TIMEOUT_MS,
      ...(accept === undefined ? {} : { accept }),
      ...(signal === undefined ? {} : { signal })
    })
    const page = readPage(answer, path)
    options.onPage?.()
    for (const object of page.items) items.push(options.trim(object))
    if (page.next === '') return { items, resourceVersion: page.resourceVersion }
    next = page.next
  }
}

/** A body without a resourceVersion is no list: taking it for an empty one would look as if everything had gone. */
function readPage(answer: unknown, path: string): { items: RawObject[]; next: string; resourceVersion: string } {
  const page = answer as {
    items?: RawObject[] | null
    metadata?: { continue?: string; resourceVersion?: string }
  } | null
  const resourceVersion = page?.metadata?.resourceVersion
  if (resourceVersion === undefined || resourceVersion === '')
    throw new Error(`GET ${path}: the answer is no list (it has no resourceVersion)`)
  return { items: page?.items ?? [], next: page?.metadata?.continue ?? '', resourceVersion }
}
