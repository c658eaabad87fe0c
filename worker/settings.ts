/** The worker's settings. Pure. */
import { cidrs, commonSpec, duration, PERMISSIONS, RULES_PER_GROUP, word } from '../shared/config.ts'
import type { Config, Reader, Spec } from '../shared/config.ts'
import { faultOfTiming } from './election.ts'

/** It stands in tags, tag keys and descriptions, and must keep its place between slashes there. */
const clusterId: Reader<string> = (text) => {
  if (!/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/.test(text)) {
    throw new Error(
      'be 1 to 64 letters, digits, dots, dashes and underscores, beginning and ending with a letter or digit'
    )
  }
  return text
}

const between =
  (least: number, most: number, text: string): Reader<number> =>
  (value) => {
    const milliseconds = duration(value)
    if (milliseconds < least || milliseconds > most) throw new Error(`be a duration ${text}`)
    return milliseconds
  }

export const workerSpec = {
  ...commonSpec,
  PERMISSIONS,
  RULES_PER_GROUP,
  CLUSTER_ID: { read: clusterId, meaning: 'what this cluster is called in the tags and descriptions of its rules' },
  AWS_REGION: { read: word, meaning: 'the Region of the security groups' },
  POD_CIDRS: { read: cidrs, meaning: 'comma list of the CIDRs that pods get their addresses from' },
  MAX_HOLD: {
    read: between(5000, 3_600_000, 'from 5s to 1h'),
    fallback: '2m',
    meaning: 'how long an ended pod is held at most'
  },
  SWEEP_INTERVAL: {
    read: between(1000, 3_600_000, 'from 1s to 1h'),
    fallback: '60s',
    meaning: 'time between two looks at everything'
  },
  COALESCE: {
    read: between(0, 10_000, 'up to 10s'),
    fallback: '100ms',
    meaning: 'least time between two runs for one group'
  },
  EC2_READ_LAG: {
    read: between(0, 300_000, 'up to 5m'),
    fallback: '10s',
    meaning: 'how long EC2 may take to show a change'
  },
  LEASE_DURATION: {
    read: between(2000, 300_000, 'from 2s to 5m'),
    fallback: '10s',
    meaning: 'how long a lease lasts unrenewed'
  },
  RENEW_DEADLINE: {
    read: between(1000, 300_000, 'from 1s to 5m'),
    fallback: '7s',
    meaning: 'when the leader gives up renewing'
  },
  RETRY_PERIOD: {
    read: between(100, 60_000, 'from 100ms to 1m'),
    fallback: '2s',
    meaning: 'time between two tries for the lease'
  }
} satisfies Spec

export type WorkerSettings = Config<typeof workerSpec>

/** What no setting can say alone. Undefined when all is well, else the sentence to stop with. */
export function contradiction(settings: WorkerSettings): string | undefined {
  const fault = faultOfTiming({
    leaseDuration: settings.LEASE_DURATION,
    renewDeadline: settings.RENEW_DEADLINE,
    retryPeriod: settings.RETRY_PERIOD
  })
  return fault === undefined
    ? undefined
    : `LEASE_DURATION, RENEW_DEADLINE and RETRY_PERIOD contradict each other: ${fault}`
}

/**
 * Whether the cluster proves that AWS_REGION is wrong: its Nodes name their Regions, and none of them is ours. An unreachable EC2, an
 * unknown group or another VPC prove nothing.
 * @param ofNodes Regions that the Nodes' labels name; empty where no cloud provider labels them
 * @returns the sentence to stop with; undefined when all is well, or nobody can tell
 */
export function wrongRegion(region: string, ofNodes: ReadonlySet<string>): string | undefined {
  if (ofNodes.size === 0 || ofNodes.has(region)) return undefined
  const named = [...ofNodes].sort().join(', ')
  return `AWS_REGION is '${region}', but the Nodes are in ${named} (label topology.kubernetes.io/region): set AWS_REGION to the Region of the cluster`
}
