/** One watch of a collection, from its request to its end. */
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { ApiError, NoAnswer } from '../../shared/kubernetes/status.ts'
import { createLineCutter } from './reflectorLines.ts'
import type { RawObject, Selection } from './reflectorList.ts'

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK'
  /** Of a bookmark, only the resourceVersion means something. */
  readonly object: RawObject
}

export interface WatchOptions extends Selection {
  readonly connection: Connection
  /** The resourceVersion to go on from. */
  readonly from: string
  /** Milliseconds after which the API server shall end the watch. */
  readonly duration: number
  /** Milliseconds of silence, bookmarks included, after which the watch counts as dead. */
  readonly watchdog: number
  readonly signal: AbortSignal
  readonly onContact: () => void
  readonly onEvent: (event: WatchEvent) => void
}

/** etcd's limit is 1.5 MiB a request, the API server's 3 MiB; managed fields and JSON's escapes come on top. */
const MAX_LINE_BYTES = 16 * 1024 * 1024

const TYPES: ReadonlySet<string> = new Set(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK'])

/**
 * Resolves when the API server ended the watch; a line cut off by the end was never said and comes again.
 * @throws ApiError when refused, also by an ERROR event; NoAnswer when cut off; Error after silence or nonsense; the signal's reason
 */
export async function watch(options: WatchOptions): Promise<void> {
  const { connection, path, labelSelector, fieldSelector, signal, onContact } = options
  // Not AbortSignal.any, of which something stays with the longer-lived signal for ever.
  const ending = new AbortController()
  const ended = ending.signal
  const stop = (): void => ending.abort(signal.reason)
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop)
  const timer = setTimeout(() => {
    ending.abort(new Error(`a watch of ${path} was silent for ${String(options.watchdog)} ms`))
  }, options.watchdog)
  const lines = createLineCutter(MAX_LINE_BYTES)
  try {
    const body = await connection.stream({
      path,
      query: {
        watch: true,
        allowWatchBookmarks: true,
        resourceVersion: options.from,
        timeoutSeconds: Math.max(1, Math.round(options.duration / 1000)),
        labelSelector,
        fieldSelector
      },
      signal: ended
    })
    for await (const chunk of readChunks(body, path)) {
      timer.refresh()
      onContact()
      for (const line of lines.push(chunk)) options.onEvent(readEvent(line, path))
    }
  } catch (error) {
    throw ended.aborted ? ended.reason : error
  } finally {
    clearTimeout(timer)
    signal.removeEventListener('abort', stop)
  }
}

/** Tells a broken stream from what its reader throws. */
async function* readChunks(body: AsyncIterable<Uint8Array>, path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* body
  } catch (error) {
    throw new NoAnswer({ method: 'WATCH', path, host: 'the API server' }, error)
  }
}

function readEvent(line: string, path: string): WatchEvent {
  const event = JSON.parse(line) as {
    type?: string
    object?: { code?: number; metadata?: Partial<RawObject['metadata']> }
  }
  if (event.type === 'ERROR')
    throw new ApiError({ method: 'WATCH', path }, event.object?.code ?? 500, JSON.stringify(event.object), {})
  const known = event.type !== undefined && TYPES.has(event.type)
  if (!known || event.object?.metadata?.resourceVersion === undefined)
    throw new Error(`WATCH ${path}: not an event: ${line.slice(0, 200)}`)
  return event as WatchEvent
}
