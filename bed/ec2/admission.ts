/** What stands between a well-formed request and its effect: throttling, faults, permission, DryRun. No I/O. */
import type { Call } from './actions/call.ts'
import type { LoggedRule } from './state/calls.ts'
import { EC2Error } from './state/error.ts'
import type { Hit } from './state/faults.ts'
import type { HexSource } from './state/ids.ts'
import { ACCOUNT } from './state/ids.ts'
import type { Demand } from './state/policy.ts'
import { permits } from './state/policy.ts'
import type { Caller } from './wire/authorization.ts'
import type { Parameters } from './wire/parameters.ts'
import { unknownParameter } from './wire/parameters.ts'
import type { World } from './world.ts'

/** What the log tells of one call, gathered on its way. */
export interface Trace {
  action: string
  accessKey: string
  groupId: string
  rules: readonly LoggedRule[]
  hit: Hit | undefined
}

/** Thrown when a fault leaves nothing to do and nothing to answer. */
export class CutShort extends Error {
  readonly fault: 'reset' | 'hang'
  constructor(fault: 'reset' | 'hang') {
    super(fault)
    this.name = 'CutShort'
    this.fault = fault
  }
}

/**
 * @param now ms since 1970, the moment of the effect
 * @throws EC2Error when DryRun is no boolean
 */
export function createCall(
  world: World,
  caller: Caller,
  parameters: Parameters,
  trace: Trace,
  hex: HexSource,
  now: number
): Call {
  const dryRun = parameters.boolean('DryRun')
  return {
    action: trace.action,
    parameters,
    store: world.store,
    settings: world.settings,
    now,
    hex,
    region: caller.region,
    note(about) {
      if (about.groupId !== undefined) trace.groupId = about.groupId
      if (about.rules !== undefined) trace.rules = about.rules
    },
    admit(demands, unfiltered = false) {
      const unread = parameters.unread()
      if (unread !== undefined) throw unknownParameter(unread)
      if (world.settings.buckets && !world.buckets.take(trace.action, unfiltered, now)) throw throttled(trace.action)
      const hit = world.faults.take(trace.action, now, trace.groupId.split(','))
      trace.hit = hit
      if (hit?.effect === 'before') strike(hit, trace.action, caller, demands)
      const policy = world.policies.get(caller.accessKey)
      const denied = policy === undefined ? undefined : demands.find((demand) => !permits(policy, demand))
      if (denied !== undefined) throw unauthorized(caller, denied)
      // AWS documents DryRun as a check of permissions alone: neither quota nor duplicates are looked at.
      if (dryRun) throw new EC2Error('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.', 412)
      return hit?.fault === 'stale' ? world.store.asOf(now - hit.staleSeconds * 1000) : world.store
    }
  }
}

/** Faults that strike before the effect. */
function strike(hit: Hit, action: string, caller: Caller, demands: readonly Demand[]): void {
  switch (hit.fault) {
    case 'throttle':
      throw throttled(action)
    case 'internalError':
      throw internalError()
    case 'unauthorized':
      throw unauthorized(caller, demands[0])
    case 'reset':
    case 'hang':
      throw new CutShort(hit.fault)
    case 'dropReply':
    case 'stale':
      return
  }
}

/** Code, status and message as in CloudSnorkel/cdk-github-runners#946. */
const throttled = (action: string): EC2Error =>
  new EC2Error(
    'RequestLimitExceeded',
    `Request limit exceeded. Account ${ACCOUNT} has been throttled on ec2:${action} because it exceeded its request ` +
      'rate limit.',
    503
  )

export const internalError = (): EC2Error => new EC2Error('InternalError', 'An internal error has occurred', 500)

/** AWS adds a blob for sts:DecodeAuthorizationMessage; clients must not read more than the code. */
function unauthorized(caller: Caller, demand: Demand | undefined): EC2Error {
  const action = demand?.action ?? 'ec2:*'
  return new EC2Error(
    'UnauthorizedOperation',
    `You are not authorized to perform this operation. User: arn:aws:iam::${ACCOUNT}:user/${caller.accessKey} is not ` +
      `authorized to perform: ${action} on resource: ${demand?.arn ?? '*'} because no identity-based policy allows the ` +
      `${action} action. Encoded authorization failure message: c2ltdWxhdGVk`,
    403
  )
}
