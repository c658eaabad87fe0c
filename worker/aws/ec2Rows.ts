/** The rows that EC2 sends of its rules, in our terms. Pure. */
import type { SecurityGroupRule } from '@aws-sdk/client-ec2'
import { canonicalCidr } from '../../shared/address.ts'
import { OWNER_TAG } from '../../shared/names.ts'
import { canonicalRule } from '../../shared/rules.ts'
import type { Protocol } from '../../shared/rules.ts'
import type { KnownRules, ObservedRule } from '../securityGroups.ts'

/**
 * Rows as {@link toObservedRule} reads them, tens of thousands in a row: one that says what is known already comes back as the very
 * object that is known, and texts that many rows share are kept once.
 */
export function createRowReader(
  owner: string,
  known: KnownRules
): (row: SecurityGroupRule) => ObservedRule | undefined {
  const texts = new Map<string, string>()
  const text = (value: string): string => {
    const held = texts.get(value)
    if (held === undefined) texts.set(value, value)
    return held ?? value
  }
  return (row) => {
    const before = known.get(row.SecurityGroupRuleId ?? '')
    if (before !== undefined && saysTheSame(row, before, owner)) return before
    const rule = toObservedRule(row, owner)
    if (rule === undefined) return undefined
    return { ...rule, protocol: text(rule.protocol) as Protocol, description: text(rule.description) }
  }
}

function saysTheSame(row: SecurityGroupRule, known: ObservedRule, owner: string): boolean {
  if (row.IsEgress === true || (row.CidrIpv4 ?? row.CidrIpv6) !== known.cidr) return false
  const { fromPort, protocol, toPort } = portsOf(row, known.cidr)
  if (protocol !== known.protocol || fromPort !== known.fromPort || toPort !== known.toPort) return false
  const tag = ownerTagOf(row)
  const same = known.owned ? tag === owner : tag !== owner && tag === known.owner
  return same && (row.Description ?? '') === known.description
}

/** Undefined for egress, and for sources that are no CIDR: never ours, and never comparable to a claim. */
export function toObservedRule(row: SecurityGroupRule, owner: string): ObservedRule | undefined {
  const cidr = canonicalCidr(row.CidrIpv4 ?? row.CidrIpv6 ?? '')
  if (row.IsEgress === true || cidr === undefined || row.SecurityGroupRuleId === undefined) return undefined
  const tag = ownerTagOf(row)
  const another = tag === undefined || tag === owner ? {} : { owner: tag }
  return {
    ...portsOf(row, cidr),
    ...another,
    id: row.SecurityGroupRuleId,
    owned: tag === owner,
    description: row.Description ?? ''
  }
}

const portsOf = (row: SecurityGroupRule, cidr: string) =>
  canonicalRule({
    protocol: (row.IpProtocol ?? '') as Protocol,
    fromPort: row.FromPort ?? -1,
    toPort: row.ToPort ?? -1,
    cidr
  })

const ownerTagOf = (row: SecurityGroupRule): string | undefined => row.Tags?.find(({ Key }) => Key === OWNER_TAG)?.Value
