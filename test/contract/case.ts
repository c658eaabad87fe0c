/** What a case of the contract suite is: one behaviour of EC2, where it is written, and how a target is asked. */
import type { EC2, EC2ClientConfig } from '@aws-sdk/client-ec2'

/** What a target may lack. A case that needs what is lacking is not applicable there, which is not the same as passed. */
export const CAPABILITIES = [
  'a default VPC',
  'a VPC that is not the default',
  /** The rules per group can be set. */
  'another quota',
  /** A fault can be put before a call. */
  'faults',
  /** Token buckets are on, or can be switched on, and exhausting them harms nobody. */
  'throttling',
  /** A caller can be given an IAM policy of the case's own. */
  'policies',
  /** A caller exists that may do nothing. */
  'a caller without permission',
  /** A caller exists whose credentials are of a user that does not exist. */
  'unknown credentials',
  /** A caller exists whose session has ended. */
  'expired credentials'
] as const
export type Capability = (typeof CAPABILITIES)[number]

export interface Case {
  /** The behaviour, in one sentence; unique. */
  readonly name: string
  /** Whether AWS's own documentation or model says so. What it does not say, a real account must. */
  readonly basis: 'documented' | 'undocumented'
  /** AWS documentation pages, botocore's model, public issues where the behaviour was seen; none if nobody tells. */
  readonly sources: readonly string[]
  readonly needs?: readonly Capability[]
  /** What in kube-sg would break if EC2 did otherwise. */
  readonly relied?: string
  /** @throws Difference when the target behaves otherwise */
  readonly run: (subject: Subject) => Promise<void>
}

export interface Topic {
  readonly title: string
  readonly cases: readonly Case[]
}

export type VpcKind = 'default' | 'other'

/** The EC2 that one case asks. */
export interface Subject {
  /** The real SDK. It does not retry what EC2 refused. */
  readonly ec2: EC2
  /** Another client, with these settings changed; closed with the case. */
  readonly client: (changes: Partial<EC2ClientConfig>) => EC2
  /** Callers other than the one that owns the groups; each needs its capability. */
  readonly callers: Callers
  /** Where the target listens, for what the SDK would never send. */
  readonly endpoint: string
  readonly region: string
  /** Rules of each family that fit into one group. */
  readonly quota: number
  /** A new group with the one egress rule that EC2 gives it; without a kind in whatever VPC the target has. */
  readonly createGroup: (kind?: VpcKind) => Promise<string>
  readonly vpcOf: (kind: VpcKind) => string
  /**
   * Reads once what was written is to be seen. EC2's reads lag: a real account is asked until the answer satisfies, or
   * the lag has passed.
   * @param satisfies undefined when the read must show that nothing has changed: it is made after the lag
   */
  readonly settled: <T>(read: () => Promise<T>, satisfies?: (answer: T) => boolean) => Promise<T>
  /** Of targets that can be told; each needs its capability. Undone after the case. */
  readonly control: (method: string, path: string, body: unknown) => Promise<void>
}

export interface Callers {
  withoutPermission(): EC2
  unknown(): EC2
  expired(): EC2
  /** @param policy an IAM policy document */
  withPolicy(policy: unknown): Promise<EC2>
}

/** The target answered, and otherwise than EC2 does. */
export class Difference extends Error {
  constructor(message: string) {
    super(normalize(message))
    this.name = 'Difference'
  }
}

/** What differs from run to run is taken out, so that a known difference can be told from a new one. */
export const normalize = (message: string): string =>
  message
    .replace(/\b(sgr|sg|vpc)-[0-9a-f]{8,17}\b/g, '$1-…')
    .replace(/\s+/g, ' ')
    .slice(0, 300)
