/** When to sweep: at once, then at every interval, and sooner again after a failure. */
import { backoff } from './backoff.ts'
import { HANDLING } from './failures.ts'
import { failureOutcome } from './outcomes.ts'
import type { Outcome } from './outcomes.ts'
import type { Timers } from './queue.ts'
import { Ec2Failure } from './securityGroups.ts'
import { enqueueEverything, sweepClaimed, sweepNodes, sweepOverlooked, sweepOwned } from './sweep.ts'
import type { SweepDeps } from './sweep.ts'

export interface SweeperDeps extends SweepDeps {
  readonly timers: Timers
  /** EC2_READ_LAG, milliseconds. */
  readonly readLag: number
  /** All our rules have been read: from here on what is not known is not there. Called before anything is put to the queues. */
  readonly onOwnedRead: () => void
  /** Everything has been read. */
  readonly onReadable: () => void
  /** Nobody can be served, for this reason. */
  readonly onUnreadable: (trouble: Outcome) => void
  readonly onDone: (result: 'success' | 'error') => void
}

export interface Sweeper {
  start(): void
  /** The watch shows other nodes than before: whether one is lost is looked for soon, and not at the next sweep. */
  nodesChanged(): void
  /** Starts no other sweep; resolves when the running one has ended. */
  stop(): Promise<void>
}

/** Milliseconds between two passes over all pods. */
const OVERLOOKED_INTERVAL = 600_000
/** Delay after the API server failed, in milliseconds. */
const AFTER_FAILURE = 5000
/** Delay after nodes have changed, in milliseconds: many go at once. */
const AFTER_NODES = 1000

export function createSweeper(deps: SweeperDeps): Sweeper {
  const { interval, logger, now, timers } = deps
  let cancel: (() => void) | undefined
  let running: Promise<void> = Promise.resolve()
  let stopped = false
  let failures = 0
  let firstAt = Infinity
  let overlookedAt = -Infinity
  let started = false
  /** Ends the wait for the next look for lost nodes; undefined: nobody waits for one. */
  let cancelNodes: (() => void) | undefined
  let nodesAgain: Promise<void> = Promise.resolve()

  /** @returns the delay until the next sweep */
  const readEc2 = async (): Promise<number> => {
    try {
      await sweepOwned(deps)
      deps.onOwnedRead()
      await sweepClaimed(deps)
    } catch (error) {
      if (!(error instanceof Ec2Failure)) throw error
      failures += 1
      logger.error({ err: error, failures }, 'EC2 could not be read')
      deps.onUnreadable(failureOutcome(undefined, error))
      // What ended can be revoked if only our own rules could be read.
      enqueueEverything(deps)
      const { retryAfter, slowest } = HANDLING[error.kind]
      return Math.min(interval, backoff(failures, retryAfter, slowest, timers.chance()))
    }
    failures = 0
    firstAt = Math.min(firstAt, now())
    deps.onReadable()
    enqueueEverything(deps)
    // What EC2 hid from the first read, because it was another's last write, it shows to one that is later by the lag.
    return now() < firstAt + deps.readLag ? Math.min(interval, deps.readLag) : interval
  }

  /**
   * Before the first revocation it must have succeeded: a living pod that lost its label while nobody watched may share a rule with one
   * that ended. Later its failure keeps nothing else from being looked at.
   */
  const passOverPods = async (): Promise<void> => {
    if (overlookedAt + OVERLOOKED_INTERVAL > now()) return
    try {
      await sweepOverlooked(deps)
      overlookedAt = now()
    } catch (error) {
      if (overlookedAt > -Infinity) return logger.error({ err: error }, 'the pass over all pods failed')
      deps.onUnreadable({
        inEffect: false,
        reason: 'PodsUnreadable',
        message: 'the pods of the cluster cannot be listed yet'
      })
      throw error
    }
  }

  /** What ended with its node must not wait for another sweep because the API server failed once. */
  const lookForNodes = async (): Promise<void> => {
    cancelNodes?.()
    cancelNodes = undefined
    try {
      await sweepNodes(deps)
    } catch (err) {
      logger.error({ err }, 'nodes could not be looked for')
      lookForNodesIn(AFTER_FAILURE)
    }
  }

  const lookForNodesIn = (delay: number): void => {
    if (!started || stopped || cancelNodes !== undefined) return
    cancelNodes = timers.after(delay, () => {
      nodesAgain = lookForNodes()
    })
  }

  const sweep = async (): Promise<void> => {
    let next = AFTER_FAILURE
    try {
      await passOverPods()
      // Before EC2, so that who has just begun to lead takes no pod of a lost node for the holder of another's address.
      await lookForNodes()
      next = await readEc2()
      deps.onDone(failures === 0 ? 'success' : 'error')
    } catch (err) {
      next = Math.min(next, AFTER_FAILURE)
      logger.error({ err }, 'sweep could not be completed')
      deps.onDone('error')
    }
    schedule(next)
  }

  const schedule = (delay: number): void => {
    if (stopped) return
    cancel = timers.after(delay, () => {
      running = sweep()
    })
  }

  return {
    start() {
      started = true
      schedule(0)
    },
    nodesChanged: () => lookForNodesIn(AFTER_NODES),
    async stop() {
      stopped = true
      cancel?.()
      cancelNodes?.()
      await Promise.all([running, nodesAgain])
    }
  }
}
