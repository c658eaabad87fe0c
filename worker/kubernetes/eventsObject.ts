/** A series as an Event object of events.k8s.io/v1. */
import type { Connection } from '../../shared/kubernetes/connection.ts'
import { microTime } from '../../shared/kubernetes/microTime.ts'
import { isAlreadyExists, isNotFound } from '../../shared/kubernetes/status.ts'
import { cutNote } from './eventsSeries.ts'
import type { Series } from './eventsSeries.ts'

export interface EventSource {
  readonly connection: Connection
  readonly reportingController: string
  readonly reportingInstance: string
  /** Cuts off whatever is under way. */
  readonly signal: AbortSignal
}

/** Creates it, or tells how it grew. @throws ApiError, NoAnswer, or the signal's reason */
export async function writeSeries(source: EventSource, series: Series, timeout: number): Promise<void> {
  await (series.told === 0 ? create : update)(source, series, timeout)
}

const pathOf = (namespace: string): string =>
  `/apis/events.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/events`

const seriesOf = ({ count, lastAt }: Series): object => ({ count, lastObservedTime: microTime(lastAt) })

/** A reply that was lost leads to a second try under the same name: it exists already, and all is well. */
async function create(source: EventSource, series: Series, timeout: number): Promise<void> {
  const { pod, type, reason, action, note } = series.occurrence
  const body = {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: series.name, namespace: pod.namespace },
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace: pod.namespace, name: pod.name, uid: pod.uid },
    reportingController: source.reportingController,
    reportingInstance: source.reportingInstance.slice(0, 128),
    eventTime: microTime(series.firstAt),
    type,
    reason,
    action,
    note: cutNote(note),
    ...(series.count > 1 ? { series: seriesOf(series) } : {})
  }
  try {
    await source.connection.request({
      method: 'POST',
      path: pathOf(pod.namespace),
      body,
      timeout,
      signal: source.signal
    })
  } catch (error) {
    if (!isAlreadyExists(error)) throw error
  }
}

/** An Event that expired meanwhile is written again. */
async function update(source: EventSource, series: Series, timeout: number): Promise<void> {
  const path = `${pathOf(series.occurrence.pod.namespace)}/${series.name}`
  const body = { series: seriesOf(series) }
  try {
    await source.connection.request({
      method: 'PATCH',
      path,
      body,
      contentType: 'application/merge-patch+json',
      timeout,
      signal: source.signal
    })
  } catch (error) {
    if (!isNotFound(error)) throw error
    await create(source, series, timeout)
  }
}
