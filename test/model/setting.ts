/** The small world of one history: what stays as it is while the steps are taken. */
import type { Action } from '../../worker/aws/ec2Client.ts'
import type { Limit } from '../../worker/bucket.ts'
import { GROUP, OTHER_GROUP } from '../../worker/podFixture.ts'

export interface Setting {
  /** Of all that is left to chance: latencies, jitter, which past a lagging read shows. */
  readonly seed: number
  /** Buckets so small that they are met. */
  readonly tight: boolean
  /** Rules of one family that a group holds. */
  readonly quota: number
  readonly pageSize: number
  /** Rules that one call changes at most. */
  readonly rulesPerCall: number
  /** How late a watch is, in milliseconds. */
  readonly watchDelay: number
  /** A second worker watches, and takes over. */
  readonly standby: boolean
  /** What pods ask for are ranges that overlap from edit to edit. */
  readonly editing: boolean
  /** The worker's role lets it call ModifySecurityGroupRules. */
  readonly mayModify: boolean
}

export const GROUPS = [GROUP, OTHER_GROUP]
export const NODES = ['node-0', 'node-1']
export const ACCOUNTS = ['default', 'other']
export const NAMES = ['a', 'b', 'c', 'd', 'e', 'f']
/** As pairs: who is dual stack gets both. */
export const ADDRESSES = [
  ['10.64.0.1', 'fd00:64::1'],
  ['10.64.0.2', 'fd00:64::2'],
  ['10.64.0.3', 'fd00:64::3'],
  ['10.64.0.4', 'fd00:64::4']
] as const

export const ASKS: readonly Record<string, string>[] = [
  {},
  { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443' },
  { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443,tcp:5000-5050' },
  { [`sg.amazonaws.com/${GROUP}`]: 'tcp:400-500', [`sg.amazonaws.com/${OTHER_GROUP}`]: 'tcp:443' },
  { [`sg.amazonaws.com/${OTHER_GROUP}`]: 'udp:53,icmp' },
  { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443', [`sg.amazonaws.com/${OTHER_GROUP}`]: 'all,icmpv6' }
]

const toGroup = (ports: string): Record<string, string> => ({ [`sg.amazonaws.com/${GROUP}`]: ports })

/** Parts of each other, in all ways. */
export const RANGES: readonly Record<string, string>[] = [
  toGroup('tcp:400-500'),
  toGroup('tcp:443'),
  toGroup('tcp:443,tcp:450'),
  toGroup('tcp:400-440,tcp:460-500'),
  toGroup('tcp:100,tcp:430-470'),
  toGroup('tcp:300-450'),
  toGroup('tcp:450-600,udp:53'),
  toGroup('tcp:100,tcp:410,tcp:490'),
  toGroup('all'),
  toGroup('tcp:410,udp:53'),
  {}
]

/** As shipped: SWEEP_INTERVAL, MAX_HOLD, in milliseconds. */
export const SWEEP = 60_000
export const HOLD = 120_000
export const ENVIRONMENT = { POD_CIDRS: '10.64.0.0/16,fd00:64::/64', PERMISSIONS: 'enforce' }

/** Small ones, with ours below EC2's as the real ones are. */
export const TIGHT = limits(4, 2)
export const TIGHT_EC2 = limits(5, 2.5)

function limits(burst: number, perSecond: number): Record<Action, Limit> {
  const limit = { burst, perSecond }
  return {
    AuthorizeSecurityGroupIngress: limit,
    RevokeSecurityGroupIngress: limit,
    ModifySecurityGroupRules: limit,
    DescribeSecurityGroupRules: limit,
    DescribeSecurityGroups: limit
  }
}

/** Chance that is the same for the same seed (mulberry32). */
export function chanceOf(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
