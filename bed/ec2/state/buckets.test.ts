import t from 'tap'
import { createBuckets } from './buckets.ts'

/** How many of so many calls at one moment pass. */
const passing = (buckets: ReturnType<typeof createBuckets>, action: string, unfiltered: boolean, now: number): number =>
  Array.from({ length: 300 }, () => buckets.take(action, unfiltered, now)).filter(Boolean).length

t.test("each action has a bucket of AWS's size, refilled by the second up to its size", async (t) => {
  const cases = [
    ['AuthorizeSecurityGroupIngress', false, 50, 5],
    ['RevokeSecurityGroupIngress', false, 50, 5],
    ['CreateTags', false, 100, 10],
    ['DescribeSecurityGroupRules', true, 100, 20],
    ['DescribeSecurityGroups', false, 100, 20],
    ['DescribeSecurityGroups', true, 50, 10]
  ] as const
  const buckets = createBuckets()
  for (const [action, unfiltered, size, refill] of cases) {
    t.equal(passing(buckets, action, unfiltered, 0), size, action)
    t.equal(passing(buckets, action, unfiltered, 1000), refill)
    t.equal(passing(buckets, action, unfiltered, 3500), Math.floor(refill * 2.5))
    t.equal(passing(buckets, action, unfiltered, 1_000_000), size)
  }
})

t.test('an action without a bucket is a defect, not unlimited', async (t) => {
  t.throws(() => createBuckets().take('RunInstances', false, 0), /no token bucket/)
})
