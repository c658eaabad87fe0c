/** One EC2 client: no call without a time limit, none above our rate, and retries left to the queue. */
import { EC2Client, EC2ServiceException } from '@aws-sdk/client-ec2'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { createBucket } from '../bucket.ts'
import type { Limit } from '../bucket.ts'
import { classify, classifyCredentials } from '../failures.ts'
import type { Timers } from '../queue.ts'
import { Ec2Failure } from '../securityGroups.ts'
import type { Turn } from '../securityGroups.ts'
import { Ec2Protocol } from './ec2Protocol.ts'

/** A call that was made, or given up. `code` is empty when it succeeded. */
export interface CallReport {
  readonly action: string
  readonly code: string
  readonly seconds: number
  /** Seconds that it waited before that for its turn in our own bucket. */
  readonly waited: number
}

/** What is used of the SDK's client: tests put a model of EC2 in its place. */
export type Ec2Sender = Pick<EC2Client, 'send'>

export interface Ec2Options {
  readonly client: Ec2Sender
  /** Milliseconds that a call may take; what has not been answered by then counts as lost. */
  readonly timeout: number
  /** Asked right before a call that changes something leaves: false stops it. */
  readonly mayWrite: () => boolean
  readonly onCall: (report: CallReport) => void
  /** By a monotonic clock. */
  readonly timers: Pick<Timers, 'now' | 'after'>
  readonly limits?: Readonly<Record<Action, Limit>>
}

/** One call in our terms. */
export interface Ec2 {
  /** Waits until our own rate allows one more call. */
  turn(action: Action): Promise<Turn>
  /** @param send makes the call. @param turn had before; else it is waited for. @throws Ec2Failure */
  call<T>(action: Action, send: (client: Ec2Sender, signal: AbortSignal) => Promise<T>, turn?: Turn): Promise<T>
}

/**
 * Our own buckets, somewhat below AWS's (ec2-api-throttling: 50 and 5/s for rule changes, 100 and 20/s for reads), for the account
 * shares them: terraform and other controllers must get through too.
 */
export const LIMITS = {
  AuthorizeSecurityGroupIngress: { burst: 40, perSecond: 4 },
  RevokeSecurityGroupIngress: { burst: 40, perSecond: 4 },
  ModifySecurityGroupRules: { burst: 40, perSecond: 4 },
  DescribeSecurityGroupRules: { burst: 80, perSecond: 15 },
  DescribeSecurityGroups: { burst: 80, perSecond: 15 }
} as const

export type Action = keyof typeof LIMITS

/**
 * A call that waits for a socket fails by `connectionTimeout` as if EC2 had not answered, and behind hung calls of one action those of all
 * others would wait: so there are more than our buckets let through (the bursts, and what they fill in 5 s: below 500).
 */
const MAX_SOCKETS = 512

/** The SDK's client: it tries once, for the queue owns retries. @param timeout milliseconds */
export function connectEc2(region: string, timeout: number): EC2Client {
  const client = new EC2Client({
    region,
    maxAttempts: 1,
    protocol: Ec2Protocol,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 2000,
      requestTimeout: timeout,
      // Without it the SDK only warns, and a hung call hangs for ever.
      throwOnRequestTimeout: true,
      httpsAgent: { keepAlive: true, maxSockets: MAX_SOCKETS },
      httpAgent: { keepAlive: true, maxSockets: MAX_SOCKETS }
    })
  })
  // It copies every answer without what is secret, and tells it to nobody: no logger is set.
  client.middlewareStack.remove('loggerMiddleware')
  return client
}

export function createEc2(options: Ec2Options): Ec2 {
  const { client, limits = LIMITS, timers } = options
  const buckets = new Map(Object.entries(limits).map(([action, limit]) => [action, createBucket(limit)]))
  const turn = async (action: Action): Promise<Turn> => {
    const waited = buckets.get(action)?.take(timers.now()) ?? 0
    if (waited > 0) await new Promise<void>((resolve) => timers.after(waited, resolve))
    return { waited }
  }
  return {
    turn,
    async call(action, send, taken) {
      const { waited } = taken ?? (await turn(action))
      if (!action.startsWith('Describe') && !options.mayWrite()) {
        throw new Ec2Failure(action, 'notLeading', 'NotLeading', new Error('the lease is not ours for long enough'))
      }
      const startedAt = timers.now()
      const report = (code: string): void =>
        options.onCall({ action, code, seconds: (timers.now() - startedAt) / 1000, waited: waited / 1000 })
      try {
        const answer = await withinTime(options, (signal) => send(client, signal))
        report('')
        return answer
      } catch (error) {
        const failure = inOurTerms(action, error)
        report(failure.code)
        throw failure
      }
    }
  }
}

/**
 * Ends whatever has not ended in time. The handler's own timeout ends a silent socket alone; this one ends an answer that trickles
 * too, and a search for credentials, which looks at no signal: so it does not wait for the call to notice.
 */
async function withinTime<T>(
  { timeout, timers }: Pick<Ec2Options, 'timeout' | 'timers'>,
  send: (signal: AbortSignal) => Promise<T>
): Promise<T> {
  const aborter = new AbortController()
  return new Promise<T>((resolve, reject) => {
    const cancel = timers.after(timeout, () => {
      const late = new Error(`no answer within ${String(timeout)} ms`)
      late.name = 'TimeoutError'
      aborter.abort(late)
      reject(late)
    })
    void send(aborter.signal).then(resolve, reject).finally(cancel)
  })
}

function inOurTerms(action: string, error: unknown): Ec2Failure {
  if (!(error instanceof Error)) return new Ec2Failure(action, 'unavailable', 'Unknown', error)
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  const network = (error as { code?: unknown }).code
  const code = error.name === 'Error' && typeof network === 'string' ? network : error.name
  return new Ec2Failure(
    action,
    isOfEc2(error) ? classify(code, status) : classifyCredentials(code, status),
    code,
    error
  )
}

/** Every refusal of a service has a `$fault`; those of the services that hand out credentials say nothing of our rules. */
const isOfEc2 = (error: Error): boolean => !('$fault' in error) || error instanceof EC2ServiceException
