/** From what a caller wrote to a permission in EC2's spelling, or EC2's refusal. Pure. */
import { canonicalCidr } from '../../../shared/address.ts'
import { EC2Error, invalidValue } from './error.ts'
import type { Permission, Source } from './rule.ts'

const NAMES: Readonly<Record<string, string>> = { '1': 'icmp', '6': 'tcp', '17': 'udp', '58': 'icmpv6' }
const KNOWN = new Set(['tcp', 'udp', 'icmp', 'icmpv6', '-1'])

/**
 * 6, 17, 1 and 58 come back by name, and `all` is refused (hashicorp/terraform-provider-aws#1793). That a missing
 * protocol is named 'null' in VPCs was verified against AWS by getmoto/moto#8917.
 * @throws EC2Error InvalidParameterValue
 */
export function readProtocol(text: string | undefined): string {
  if (text === undefined || text.trim() === '')
    throw invalidValue("Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.")
  const lower = text.toLowerCase()
  if (KNOWN.has(lower)) return lower
  if (/^\d{1,3}$/.test(lower) && Number(lower) <= 255) return NAMES[String(Number(lower))] ?? String(Number(lower))
  throw invalidValue(`Invalid value '${text}' for IP protocol. Unknown protocol.`)
}

/**
 * Ports of tcp and udp are required, of icmp (type and code) too; icmpv6 may leave them out, meaning all; for every
 * other protocol EC2 ignores them and opens everything.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_IpPermission.html
 * @throws EC2Error InvalidParameterValue, or InvalidPermission.Malformed for a port out of range (boto/boto3#336)
 */
export function readPorts(protocol: string, from: number | undefined, to: number | undefined): [number, number] {
  if (protocol === 'tcp' || protocol === 'udp') return readTransportPorts(from, to)
  if (protocol === 'icmp' || protocol === 'icmpv6') return readIcmpTypes(protocol, from, to)
  return [-1, -1]
}

function readTransportPorts(from: number | undefined, to: number | undefined): [number, number] {
  if (from === undefined && to === undefined)
    throw invalidValue('Invalid value for portRange. Must specify both from and to ports with TCP/UDP.')
  for (const port of [from ?? -1, to ?? -1]) {
    if (port < 0 || port > 65535)
      throw new EC2Error('InvalidPermission.Malformed', `TCP/UDP port (${String(port)}) out of range`)
  }
  if ((from ?? 0) > (to ?? 0)) throw invalidValue(`Invalid TCP/UDP port range (${String(from)}:${String(to)})`)
  return [from ?? 0, to ?? 0]
}

function readIcmpTypes(protocol: string, from: number | undefined, to: number | undefined): [number, number] {
  if (protocol === 'icmpv6' && from === undefined && to === undefined) return [-1, -1]
  if (from === undefined || to === undefined)
    throw invalidValue('Invalid value for portRange. Must specify both from and to ports with ICMP.')
  if (from < -1 || from > 255) throw invalidValue(`ICMP type (${String(from)}) out of range`)
  if (to < -1 || to > 255) throw invalidValue(`ICMP code (${String(to)}) out of range`)
  if (from === -1 && to !== -1) throw invalidValue(`ICMP code (${String(to)}) must be -1 when the ICMP type is -1`)
  return [from, to]
}

/**
 * EC2 clears host bits and rewrites IPv6 text; the twin of a rule in another spelling is a duplicate.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_SecurityGroupRuleRequest.html
 * @throws EC2Error InvalidParameterValue; the text is EC2's (aws/aws-cli#2428)
 */
export function readCidr(kind: 'ipv4' | 'ipv6', text: string): Source {
  const value = text.includes(':') === (kind === 'ipv6') ? canonicalCidr(text) : undefined
  if (value === undefined) throw invalidValue(`CIDR block ${text} is malformed`)
  return { kind, value }
}

const DESCRIPTION = /^[a-zA-Z0-9. _\-:/()#,@[\]+=&;{}!$*]{0,255}$/

/**
 * The charset as EC2's own message names it; an empty description is none.
 * @throws EC2Error InvalidParameterValue
 */
export function readDescription(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  if (!DESCRIPTION.test(text))
    throw invalidValue(
      'Invalid rule description. Valid descriptions are strings less than 256 characters from the following set:  ' +
        'a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*'
    )
  return text
}

/** One permission as Authorize reports it in DescribeSecurityGroups: grouped by protocol and ports. */
export interface PermissionSet {
  readonly protocol: string
  readonly fromPort: number
  readonly toPort: number
  readonly permissions: readonly Permission[]
}

/** DescribeSecurityGroups merges rules of equal protocol and ports into one permission with many sources. */
export function groupPermissions(permissions: Iterable<Permission>): readonly PermissionSet[] {
  const sets = new Map<string, { set: PermissionSet; members: Permission[] }>()
  for (const permission of permissions) {
    const { protocol, fromPort, toPort } = permission
    const key = `${protocol} ${String(fromPort)} ${String(toPort)}`
    const found = sets.get(key)
    if (found !== undefined) {
      found.members.push(permission)
      continue
    }
    const members = [permission]
    sets.set(key, { set: { protocol, fromPort, toPort, permissions: members }, members })
  }
  return [...sets.values()].map(({ set }) => set)
}
