/** Describe actions: what a row holds, and pages. */
import type { DescribeSecurityGroupRulesCommandInput, SecurityGroupRule } from '@aws-sdk/client-ec2'
import type { Case, Subject, Topic } from '../case.ts'
import { api, ERRORS } from '../sources.ts'
import {
  authorize,
  cidrOf,
  expectRefusal,
  expectRules,
  expectSame,
  expectThat,
  groupOf,
  groupWith,
  hosts,
  idOf,
  permission,
  tcp
} from '../steps.ts'

const RULES = api('DescribeSecurityGroupRules')
const documented = { basis: 'documented', sources: [RULES] } as const

/** All pages, and the length of each. */
async function readPages(
  { ec2 }: Subject,
  input: DescribeSecurityGroupRulesCommandInput
): Promise<{ readonly rows: readonly SecurityGroupRule[]; readonly lengths: readonly number[] }> {
  const rows: SecurityGroupRule[] = []
  const lengths: number[] = []
  let NextToken: string | undefined
  do {
    const page = await ec2.describeSecurityGroupRules({ ...input, ...(NextToken === undefined ? {} : { NextToken }) })
    rows.push(...(page.SecurityGroupRules ?? []))
    lengths.push(page.SecurityGroupRules?.length ?? 0)
    NextToken = page.NextToken
  } while (NextToken !== undefined && lengths.length < 100)
  return { rows, lengths }
}

const limit = (MaxResults: number): Case => ({
  name: `MaxResults ${String(MaxResults)} is refused`,
  ...documented,
  run: async ({ ec2 }) => {
    await expectRefusal(ec2.describeSecurityGroupRules({ MaxResults }), 'InvalidParameterValue')
    await expectRefusal(ec2.describeSecurityGroups({ MaxResults }), 'InvalidParameterValue')
  }
})

const pages: readonly Case[] = [
  {
    name: 'rules come in pages of at most MaxResults, each once, until there is no token',
    ...documented,
    relied: 'a read is complete only with its last page',
    run: async (subject) => {
      const GroupId = await groupWith(subject, tcp(443, ...hosts(22)))
      await expectRules(
        subject,
        GroupId,
        hosts(22).map((host) => `tcp 443-443 ${host}`)
      )
      const { rows, lengths } = await readPages(subject, {
        Filters: [{ Name: 'group-id', Values: [GroupId] }],
        MaxResults: 5
      })
      expectThat(
        lengths.every((length) => length <= 5),
        `pages of ${lengths.join(', ')} with MaxResults 5`
      )
      expectSame([rows.length, new Set(rows.map(idOf)).size], [23, 23], 'rows, and different rows')
    }
  },
  {
    name: 'groups come in pages of at most MaxResults, each once, until there is no token',
    basis: 'documented',
    sources: [api('DescribeSecurityGroups')],
    run: async (subject) => {
      const ids = await Promise.all(Array.from({ length: 7 }, () => subject.createGroup()))
      const found: string[] = []
      let NextToken: string | undefined
      do {
        const page = await subject.ec2.describeSecurityGroups({
          Filters: [{ Name: 'group-id', Values: ids }],
          MaxResults: 5,
          ...(NextToken === undefined ? {} : { NextToken })
        })
        const groups = page.SecurityGroups ?? []
        expectThat(groups.length <= 5, `a page of ${String(groups.length)} with MaxResults 5`)
        found.push(...groups.map(({ GroupId }) => GroupId ?? ''))
        NextToken = page.NextToken
      } while (NextToken !== undefined)
      expectSame([...found].sort(), [...ids].sort(), 'groups')
    }
  },
  {
    name: 'without MaxResults all comes at once',
    ...documented,
    run: async (subject) => {
      const GroupId = await groupWith(subject, tcp(443, ...hosts(22)))
      const { lengths } = await subject.settled(
        () => readPages(subject, { Filters: [{ Name: 'group-id', Values: [GroupId] }] }),
        ({ rows }) => rows.length === 23
      )
      expectSame(lengths, [23], 'lengths of the pages')
    }
  },
  limit(4),
  limit(1001),
  {
    name: 'a token that EC2 did not make is refused',
    basis: 'documented',
    sources: [ERRORS],
    run: async ({ ec2 }) => {
      await expectRefusal(ec2.describeSecurityGroupRules({ MaxResults: 5, NextToken: 'x' }), 'InvalidNextToken')
    }
  }
]

const rows: readonly Case[] = [
  {
    name: 'a read of rules has those of both directions',
    ...documented,
    relied: 'egress rules are told apart by IsEgress, for there is no filter',
    run: async (subject) => {
      const GroupId = await groupWith(subject, tcp(443, '10.0.0.1/32'))
      const { SecurityGroupRules } = await subject.settled(
        () => subject.ec2.describeSecurityGroupRules({ Filters: [{ Name: 'group-id', Values: [GroupId] }] }),
        (answer) => answer.SecurityGroupRules?.length === 2
      )
      expectSame(
        (SecurityGroupRules ?? []).map((rule) => `${String(rule.IsEgress)} ${cidrOf(rule)}`).sort(),
        ['false 10.0.0.1/32', 'true 0.0.0.0/0'],
        'rows'
      )
    }
  },
  {
    name: 'rules are read by their ids',
    ...documented,
    run: async (subject) => {
      const { ids } = await groupOf(subject, '10.0.0.1/32', '10.0.0.2/32')
      const { SecurityGroupRules } = await subject.settled(() =>
        subject.ec2.describeSecurityGroupRules({ SecurityGroupRuleIds: ids.slice(1) })
      )
      expectSame((SecurityGroupRules ?? []).map(idOf), ids.slice(1), 'rules')
    }
  },
  {
    name: 'DescribeSecurityGroups joins rules of one protocol and port range into one permission',
    basis: 'documented',
    sources: [api('DescribeSecurityGroups')],
    run: async (subject) => {
      const GroupId = await groupWith(subject, tcp(443, '10.0.0.1/32'))
      await authorize(subject, GroupId, tcp(443, '10.0.0.2/32'), permission('-1', undefined, undefined, '10.0.0.3/32'))
      const { SecurityGroups } = await subject.settled(
        () => subject.ec2.describeSecurityGroups({ GroupIds: [GroupId] }),
        (answer) => answer.SecurityGroups?.[0]?.IpPermissions?.length === 2
      )
      const permissions = SecurityGroups?.[0]?.IpPermissions ?? []
      const text = permissions.map(
        ({ IpProtocol, FromPort, IpRanges }) =>
          `${String(IpProtocol)} ${String(FromPort)} ${(IpRanges ?? []).map(({ CidrIp }) => CidrIp).join(' ')}`
      )
      expectSame(text.sort(), ['-1 undefined 10.0.0.3/32', 'tcp 443 10.0.0.1/32 10.0.0.2/32'], 'permissions')
    }
  }
]

export const reads: Topic = { title: 'Reads', cases: [...rows, ...pages] }
