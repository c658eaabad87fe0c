/** EC2's request throttling: one token bucket per action. Pure: the time is an argument. */

/**
 * Bucket size and refill per second of the actions simulated here.
 * https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
 */
const SIZES: Readonly<Record<string, readonly [size: number, refill: number]>> = {
  AuthorizeSecurityGroupIngress: [50, 5],
  RevokeSecurityGroupIngress: [50, 5],
  ModifySecurityGroupRules: [50, 5],
  CreateSecurityGroup: [50, 5],
  DeleteSecurityGroup: [50, 5],
  CreateTags: [100, 10],
  DeleteTags: [100, 10],
  DescribeSecurityGroups: [100, 20],
  DescribeSecurityGroupRules: [100, 20],
  DescribeTags: [100, 20],
  DescribeVpcs: [100, 20]
}

/** Describe calls with neither filter nor MaxResults have half. The doc names DescribeSecurityGroups among them. */
const UNFILTERED: readonly [size: number, refill: number] = [50, 10]
const HAS_UNFILTERED = new Set(['DescribeSecurityGroups'])

export interface Buckets {
  /** Takes a token; false when the bucket is empty. */
  take(action: string, unfiltered: boolean, now: number): boolean
}

export function createBuckets(): Buckets {
  const levels = new Map<string, { tokens: number; at: number }>()
  return {
    take(action, unfiltered, now) {
      const apart = unfiltered && HAS_UNFILTERED.has(action)
      const limits = apart ? UNFILTERED : SIZES[action]
      if (limits === undefined) throw new Error(`no token bucket is defined for ${action}`)
      const [size, refill] = limits
      const key = apart ? `${action} unfiltered` : action
      const level = levels.get(key) ?? { tokens: size, at: now }
      const tokens = Math.min(size, level.tokens + (Math.max(0, now - level.at) / 1000) * refill)
      levels.set(key, { tokens: tokens >= 1 ? tokens - 1 : tokens, at: now })
      return tokens >= 1
    }
  }
}
