/** Tells a candidate at once when the holder has given the lease back, which it would else find out at its next look. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Connection } from '../../shared/kubernetes/connection.ts'
import type { Logger } from '../../shared/logger.ts'
import type { LeaseRecord } from '../election.ts'
import { watch } from './reflectorWatch.ts'

export interface LeaseWatchOptions {
  readonly connection: Connection
  readonly namespace: string
  readonly name: string
  readonly logger: Logger
}

/** Milliseconds. The holder renews every few seconds: a watch that is silent for longer has no news, or is dead. */
const SILENT = 60_000
const LONGEST_WATCH = 300_000
/** Looking goes on without the watch, so that nothing is urgent about it. */
const AGAIN_AFTER = 5000

/**
 * Resolves once the signal is aborted; never rejects. A watch that cannot be had costs the candidate a retry period, as without it.
 * @param onRelease called for each word of the API server that nobody holds the lease, old words included: it must be read
 */
export async function watchReleases(
  { connection, logger, name, namespace }: LeaseWatchOptions,
  onRelease: () => void,
  signal: AbortSignal
): Promise<void> {
  const path = `/apis/coordination.k8s.io/v1/namespaces/${encodeURIComponent(namespace)}/leases`
  // A getter, or the compiler takes what it was for what it is.
  const isAborted = (): boolean => signal.aborted
  let told = false
  while (!isAborted()) {
    try {
      await watch({
        connection,
        path,
        fieldSelector: `metadata.name=${name}`,
        // From whatever the API server has at hand: the lease as it is comes first.
        from: '0',
        duration: LONGEST_WATCH,
        watchdog: SILENT,
        signal,
        onContact: () => undefined,
        onEvent({ object, type }) {
          const { spec } = object as { readonly spec?: Partial<LeaseRecord> }
          if (type !== 'BOOKMARK' && (spec?.holderIdentity ?? '') === '') onRelease()
        }
      })
    } catch (err) {
      if (isAborted()) return
      logger[told ? 'debug' : 'warn'](
        { err, lease: name },
        'the lease could not be watched; it is looked at now and then'
      )
      told = true
    }
    await sleep(AGAIN_AFTER, undefined, { signal }).catch(() => undefined)
  }
}
