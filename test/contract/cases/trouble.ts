/** What goes wrong between a call and its effect; only a target that can be told to can show it. */
import type { Case, Subject, Topic } from '../case.ts'
import { api, CONSISTENCY, ERRORS, IDEMPOTENCY, issue, THROTTLING } from '../sources.ts'
import { authorize, expectRefusal, expectRules, expectSame, groupOf, readRules, tcp } from '../steps.ts'

const IpPermissions = [tcp(443, '10.0.0.1/32')]
const AUTHORIZE = 'AuthorizeSecurityGroupIngress'

const fault = (subject: Subject, action: string, kind: string, more: object = {}): Promise<void> =>
  subject.control('POST', 'faults', { action, fault: kind, times: 1, ...more })

/** The effect took place, the answer told otherwise, and the repeated call is refused by what is there. */
const lost = (name: string, kind: string, more: object, sources: readonly string[]): readonly Case[] => [
  {
    name: `${name} after an Authorize that took effect: its repetition is a duplicate`,
    basis: 'undocumented',
    sources,
    needs: ['faults'],
    relied: 'a duplicate may be our own first try: what is there is read before it is judged',
    run: async (subject) => {
      const GroupId = await subject.createGroup()
      await fault(subject, AUTHORIZE, kind, more)
      const twice = subject.client({ maxAttempts: 2 })
      await expectRefusal(
        twice.authorizeSecurityGroupIngress({ GroupId, IpPermissions }),
        'InvalidPermission.Duplicate'
      )
      await expectRules(subject, GroupId, ['tcp 443-443 10.0.0.1/32'])
    }
  },
  {
    name: `${name} after a Revoke that took effect: its repetition finds no rule`,
    basis: 'undocumented',
    sources,
    needs: ['faults'],
    relied: 'a rule that is not found may be our own first try',
    run: async (subject) => {
      const { groupId: GroupId, ids } = await groupOf(subject, '10.0.0.1/32')
      await fault(subject, 'RevokeSecurityGroupIngress', kind, more)
      const twice = subject.client({ maxAttempts: 2 })
      await expectRefusal(
        twice.revokeSecurityGroupIngress({ GroupId, SecurityGroupRuleIds: [...ids] }),
        'InvalidSecurityGroupRuleId.NotFound'
      )
      await expectRules(subject, GroupId, [])
    }
  }
]

export const trouble: Topic = {
  title: 'Throttling, failures and late reads',
  cases: [
    {
      name: 'a throttled call is refused with RequestLimitExceeded and 503, and does nothing',
      basis: 'documented',
      sources: [THROTTLING, ERRORS, issue('CloudSnorkel/cdk-github-runners#946')],
      needs: ['faults'],
      relied: 'a throttled call is repeated as it is',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        await fault(subject, AUTHORIZE, 'throttle')
        const error = await expectRefusal(
          subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions }),
          'RequestLimitExceeded'
        )
        const { $metadata } = error as { $metadata?: { httpStatusCode?: number } }
        expectSame($metadata?.httpStatusCode, 503, 'HTTP status')
        await expectRules(subject, GroupId, [])
      }
    },
    {
      name: 'an Authorize takes one token however many rules it has, and 50 may come at once',
      basis: 'documented',
      sources: [THROTTLING],
      needs: ['throttling', 'another quota'],
      relied: 'rules of many pods go into one call; our own limit is below 50 and 5/s',
      run: async (subject) => {
        await subject.control('POST', 'settings', { buckets: 'on', rulesPerGroup: 1000 })
        const GroupId = await subject.createGroup()
        const startedAt = performance.now()
        const calls = Array.from({ length: 80 }, (_, i) =>
          authorize(subject, GroupId, tcp(i + 1, '10.0.0.1/32', '10.0.0.2/32', '10.0.0.3/32'))
        )
        const accepted = (await Promise.allSettled(calls)).filter(({ status }) => status === 'fulfilled').length
        // What is refilled while they come is accepted too.
        const most = Math.min(80, 51 + ((performance.now() - startedAt) / 1000) * 5)
        if (accepted < 50 || accepted > most) expectSame(accepted, 50, 'accepted calls of 80')
      }
    },
    {
      name: 'a read does not take the tokens of writes',
      basis: 'documented',
      sources: [THROTTLING],
      needs: ['throttling'],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        await subject.control('POST', 'settings', { buckets: 'on' })
        const reads = await Promise.allSettled(Array.from({ length: 60 }, () => readRules(subject, GroupId)))
        expectSame(reads.filter(({ status }) => status === 'rejected').length, 0, 'refused reads')
        await authorize(subject, GroupId, tcp(443, '10.0.0.1/32'))
      }
    },
    {
      name: 'an internal error before the effect leaves nothing behind',
      basis: 'documented',
      sources: [ERRORS],
      needs: ['faults'],
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        await fault(subject, AUTHORIZE, 'internalError', { effect: 'before' })
        await expectRefusal(subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions }), 'InternalError')
        await expectRules(subject, GroupId, [])
      }
    },
    ...lost('an internal error', 'internalError', { effect: 'after' }, [IDEMPOTENCY]),
    ...lost('a lost answer', 'dropReply', {}, [IDEMPOTENCY, api('AuthorizeSecurityGroupIngress')]),
    {
      name: 'a read may show what was there before a write that was answered',
      basis: 'documented',
      sources: [CONSISTENCY, issue('hashicorp/terraform#6325')],
      needs: ['faults'],
      relied: 'a rule that is missing from one read is not taken for gone',
      run: async (subject) => {
        const { groupId: GroupId } = await groupOf(subject, '10.0.0.1/32')
        await fault(subject, 'DescribeSecurityGroupRules', 'stale', { staleSeconds: 300 })
        expectSame((await readRules(subject, GroupId)).length, 0, 'rules that a late read shows')
        await expectRefusal(authorize(subject, GroupId, ...IpPermissions), 'InvalidPermission.Duplicate')
        expectSame((await readRules(subject, GroupId)).length, 1, 'rules that the next read shows')
      }
    }
  ]
}
