/** The ingress rules of EC2 security groups. Speaks EC2 on one side and our rules on the other, and decides nothing. */
import {
  AuthorizeSecurityGroupIngressCommand,
  DescribeSecurityGroupRulesCommand,
  DescribeSecurityGroupsCommand,
  ModifySecurityGroupRulesCommand,
  RevokeSecurityGroupIngressCommand
} from '@aws-sdk/client-ec2'
import type {
  DescribeSecurityGroupRulesCommandOutput,
  DescribeSecurityGroupsCommandOutput,
  Filter,
  IpPermission,
  SecurityGroupRule,
  SecurityGroupRuleRequest
} from '@aws-sdk/client-ec2'
import { OPT_IN_VALUE, OWNER_TAG, optInTag } from '../../shared/names.ts'
import { familyOf, ruleKey } from '../../shared/rules.ts'
import type { SecurityGroupId } from '../../shared/rules.ts'
import { Ec2Failure } from '../securityGroups.ts'
import type { KnownRules, NewRule, ObservedGroup, ObservedRule, SecurityGroups } from '../securityGroups.ts'
import type { Ec2 } from './ec2Client.ts'
import { createRowReader, toObservedRule } from './ec2Rows.ts'

/** EC2 takes up to 200 values in one filter (EC2 user guide, 'Filter limits'). */
const IDS_PER_FILTER = 200
const PAGE = 1000
const NOTHING: KnownRules = new Map()
const ACTIONS = {
  authorize: 'AuthorizeSecurityGroupIngress',
  modify: 'ModifySecurityGroupRules',
  revoke: 'RevokeSecurityGroupIngress'
} as const

export interface Identity {
  readonly clusterId: string
  /** `<cluster id>/<uid of the kube-system namespace>` */
  readonly owner: string
  readonly now: () => number
  readonly rulesPerCall?: number
}

/** EC2's own limit is not documented; AWS's controllers send 1000 (aws-controllers-k8s/ec2-controller#227). */
const RULES_PER_CALL = 1000

export function ec2SecurityGroups(
  ec2: Ec2,
  { clusterId, owner, now, rulesPerCall = RULES_PER_CALL }: Identity
): SecurityGroups {
  /** Each page is taken into `rules` as it comes: of tens of thousands of rows only one page is held at a time. */
  const readPages = async (
    filter: Filter,
    toRule: (row: SecurityGroupRule) => ObservedRule | undefined,
    rules: Map<SecurityGroupId, ObservedRule[]>
  ): Promise<void> => {
    const read = (next: Next): Promise<DescribeSecurityGroupRulesCommandOutput> =>
      ec2.call('DescribeSecurityGroupRules', (client, abortSignal) => {
        const input = { Filters: [filter], MaxResults: PAGE, ...next }
        return client.send(new DescribeSecurityGroupRulesCommand(input), { abortSignal })
      })
    for await (const page of pages(read)) {
      for (const row of page.SecurityGroupRules ?? []) {
        const rule = toRule(row)
        const groupId = row.GroupId as SecurityGroupId | undefined
        if (rule === undefined || groupId === undefined) continue
        const held = rules.get(groupId)
        if (held === undefined) rules.set(groupId, [rule])
        else held.push(rule)
      }
    }
  }

  return {
    rulesPerCall,

    async readRules(groupIds, known = NOTHING) {
      const startedAt = now()
      const toRule = createRowReader(owner, known)
      const rules = new Map<SecurityGroupId, ObservedRule[]>(groupIds.map((groupId) => [groupId, []]))
      for (const ids of slices(groupIds, IDS_PER_FILTER))
        await readPages({ Name: 'group-id', Values: ids }, toRule, rules)
      return { startedAt, rules }
    },

    async readOwnedRules(known = NOTHING) {
      const startedAt = now()
      const rules = new Map<SecurityGroupId, ObservedRule[]>()
      await readPages(
        { Name: `tag:${OWNER_TAG}`, Values: [`${literal(clusterId)}/*`] },
        createRowReader(owner, known),
        rules
      )
      return { startedAt, rules }
    },

    async readGroups(groupIds) {
      const groups: ObservedGroup[] = []
      for (const ids of slices(groupIds, IDS_PER_FILTER)) {
        const read = (next: Next): Promise<DescribeSecurityGroupsCommandOutput> =>
          ec2.call('DescribeSecurityGroups', (client, abortSignal) => {
            const input = { Filters: [{ Name: 'group-id', Values: ids }], MaxResults: PAGE, ...next }
            return client.send(new DescribeSecurityGroupsCommand(input), { abortSignal })
          })
        for await (const page of pages(read)) {
          for (const group of page.SecurityGroups ?? []) {
            const tag = group.Tags?.find(({ Key }) => Key === optInTag(clusterId))
            groups.push({
              groupId: group.GroupId as SecurityGroupId,
              vpcId: group.VpcId ?? '',
              optedIn: tag?.Value === OPT_IN_VALUE
            })
          }
        }
      }
      return groups
    },

    turn: (verb) => ec2.turn(ACTIONS[verb]),

    async authorize(groupId, rules, turn) {
      const input = {
        GroupId: groupId,
        IpPermissions: rules.map(toIpPermission),
        TagSpecifications: [{ ResourceType: 'security-group-rule' as const, Tags: [{ Key: OWNER_TAG, Value: owner }] }]
      }
      const answer = await ec2.call(
        ACTIONS.authorize,
        (client, abortSignal) => client.send(new AuthorizeSecurityGroupIngressCommand(input), { abortSignal }),
        turn
      )
      const made = (answer.SecurityGroupRules ?? [])
        .map((row) => toObservedRule(row, owner))
        .filter((rule) => rule !== undefined)
      return matchAnswer(rules, made)
    },

    async modify(groupId, modifications, turn) {
      const input = {
        GroupId: groupId,
        SecurityGroupRules: modifications.map(({ rule, ruleId }) => ({
          SecurityGroupRuleId: ruleId,
          SecurityGroupRule: toRuleRequest(rule)
        }))
      }
      await ec2.call(
        ACTIONS.modify,
        (client, abortSignal) => client.send(new ModifySecurityGroupRulesCommand(input), { abortSignal }),
        turn
      )
      return modifications.map(({ rule, ruleId }) => ({ ...rule, id: ruleId, owned: true }))
    },

    async revoke(groupId, ruleIds, turn) {
      const input = { GroupId: groupId, SecurityGroupRuleIds: [...ruleIds] }
      await ec2.call(
        ACTIONS.revoke,
        (client, abortSignal) => client.send(new RevokeSecurityGroupIngressCommand(input), { abortSignal }),
        turn
      )
    }
  }
}

interface Next {
  readonly NextToken?: string
}

/** A page may be short, or empty, with more to come (EC2 API reference, 'Pagination'): only a missing token is the end. */
async function* pages<T extends { readonly NextToken?: string | undefined }>(
  read: (next: Next) => Promise<T>
): AsyncGenerator<T> {
  let token: string | undefined
  do {
    const page = await read(token === undefined ? {} : { NextToken: token })
    yield page
    token = page.NextToken === '' ? undefined : page.NextToken
  } while (token !== undefined)
}

/** The order of the answer is not documented, so rules are matched by what they are. */
function matchAnswer(asked: readonly NewRule[], made: readonly ObservedRule[]): ObservedRule[] {
  const byKey = new Map(made.map((rule) => [ruleKey(rule), rule]))
  return asked.map((rule) => {
    const found = byKey.get(ruleKey(rule))
    if (found !== undefined) return { ...found, owned: true, description: rule.description }
    const cause = new Error('the answer does not name every rule that was asked for')
    throw new Ec2Failure('AuthorizeSecurityGroupIngress', 'unavailable', 'IncompleteAnswer', cause)
  })
}

/** Filter values may hold wildcards; in an owner none is meant (EC2 user guide, 'List and filter using the CLI and API'). */
function literal(value: string): string {
  return value.replace(/[\\*?]/g, '\\$&')
}

/** Ports are always sent: EC2 reads a missing one as an error for some protocols and as 'all' for others. */
function toIpPermission(rule: NewRule): IpPermission {
  const range = rule.description === '' ? {} : { Description: rule.description }
  return {
    IpProtocol: rule.protocol === 'all' ? '-1' : rule.protocol,
    FromPort: rule.fromPort,
    ToPort: rule.toPort,
    ...(familyOf(rule.cidr) === 'ipv4'
      ? { IpRanges: [{ CidrIp: rule.cidr, ...range }] }
      : { Ipv6Ranges: [{ CidrIpv6: rule.cidr, ...range }] })
  }
}

/** What is left out of a modification is taken away, so that everything is said. */
function toRuleRequest(rule: NewRule): SecurityGroupRuleRequest {
  return {
    IpProtocol: rule.protocol === 'all' ? '-1' : rule.protocol,
    FromPort: rule.fromPort,
    ToPort: rule.toPort,
    ...(familyOf(rule.cidr) === 'ipv4' ? { CidrIpv4: rule.cidr } : { CidrIpv6: rule.cidr }),
    ...(rule.description === '' ? {} : { Description: rule.description })
  }
}

function* slices<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size)
}
