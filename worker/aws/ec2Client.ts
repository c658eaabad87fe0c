/** One EC2 client: no call without a time limit, none above our rate, and retries left to the queue. */
import { EC2Client } from '@aws-sdk/client-ec2'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import { TokenBucket } from 'limiter'
import { Ec2Failure } from '../securityGroups.ts'
import { classify } from '../failures.ts'

/** A call that was made, or given up. `code` is empty when it succeeded. */
export interface CallReport {
  readonly action: string
  readonly code: string
  readonly seconds: number
}

export interface Ec2Options {
  readonly region: string
  /** Milliseconds that a call may take; what has not been answered by then counts as lost. */
  readonly timeout: number
  /** Asked right before a call that changes something leaves: false stops it. */
  readonly mayWrite: () => boolean
  readonly onCall: (report: CallReport) => void
  /** Milliseconds, for the length of calls. */
  readonly now: () => number
}

/** One call in our terms. */
export interface Ec2 {
  /** @param send makes the call. @throws Ec2Failure */
  call<T>(action: Action, send: (client: EC2Client, signal: AbortSignal) => Promise<T>): Promise<T>
  close(): void
}

/**
 * Our own buckets, somewhat below AWS's (ec2-api-throttling: 50 and 5/s for rule changes, 100 and 20/s for reads), for the account
 * shares them: terraform and other controllers must get through too.
 */
const BUCKETS = {
  AuthorizeSecurityGroupIngress: { burst: 40, perSecond: 4, writes: true },
  RevokeSecurityGroupIngress: { burst: 40, perSecond: 4, writes: true },
  DescribeSecurityGroupRules: { burst: 80, perSecond: 15, writes: false },
  DescribeSecurityGroups: { burst: 80, perSecond: 15, writes: false }
} as const

export type Action = keyof typeof BUCKETS

export function createEc2(options: Ec2Options): Ec2 {
  const client = new EC2Client({
    region: options.region,
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 2000,
      requestTimeout: options.timeout,
      // Without it the SDK only warns, and a hung call hangs for ever.
      throwOnRequestTimeout: true,
      httpsAgent: { keepAlive: true, maxSockets: 16 },
      httpAgent: { keepAlive: true, maxSockets: 16 }
    })
  })
  const buckets = new Map(
    Object.entries(BUCKETS).map(([action, { burst, perSecond }]) => [action, filledBucket(burst, perSecond)])
  )
  return {
    async call(action, send) {
      await buckets.get(action)?.removeTokens(1)
      if (BUCKETS[action].writes && !options.mayWrite()) {
        throw new Ec2Failure(action, 'notLeading', 'NotLeading', new Error('the lease is not ours for long enough'))
      }
      const startedAt = options.now()
      const report = (code: string): void =>
        options.onCall({ action, code, seconds: (options.now() - startedAt) / 1000 })
      try {
        // The handler's timeout ends a silent socket; this one ends also an answer that trickles, and the search for credentials.
        const answer = await send(client, AbortSignal.timeout(options.timeout))
        report('')
        return answer
      } catch (error) {
        const failure = inOurTerms(action, error)
        report(failure.code)
        throw failure
      }
    },
    close: () => client.destroy()
  }
}

function filledBucket(burst: number, perSecond: number): TokenBucket {
  const bucket = new TokenBucket({ bucketSize: burst, tokensPerInterval: perSecond, interval: 'second' })
  bucket.content = burst
  return bucket
}

function inOurTerms(action: string, error: unknown): Ec2Failure {
  if (!(error instanceof Error)) return new Ec2Failure(action, 'unavailable', 'Unknown', error)
  const status = (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  const network = (error as { code?: unknown }).code
  const code = error.name === 'Error' && typeof network === 'string' ? network : error.name
  return new Ec2Failure(action, classify(code, status), code, error)
}
