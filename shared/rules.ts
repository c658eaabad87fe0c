/** The language of rules: what pods ask for and what EC2 holds, in one spelling. Pure. */

/** An EC2 security group's id: `sg-` and 8 or 17 lower-case hex digits. */
export type SecurityGroupId = string & { readonly brand: 'SecurityGroupId' }

/**
 * `tcp`, `udp`, `icmp`, `icmpv6`, `all`, or the decimal number of another protocol (0-255).
 * 6, 17, 1 and 58 are always spelled by name, so that equal protocols are equal strings.
 */
export type Protocol = string & { readonly brand: 'Protocol' }

/** What a pod asks: one port range of one protocol in one group. Ports are -1 to -1 unless the protocol is tcp or udp. */
export interface RuleRequest {
  readonly groupId: SecurityGroupId
  readonly protocol: Protocol
  readonly fromPort: number
  readonly toPort: number
}

/** One ingress rule: protocol, ports and source. `cidr` is canonical (RFC 5952 for IPv6, always with its length). */
export interface Rule {
  readonly protocol: Protocol
  readonly fromPort: number
  readonly toPort: number
  readonly cidr: string
}

/** The identity of a rule inside its group, as EC2 sees it: description and tags are no part of it. */
export type RuleKey = string & { readonly brand: 'RuleKey' }

export const GROUP_ID = /^sg-(?:[0-9a-f]{8}|[0-9a-f]{17})$/

/** Whether the text is a security group id as EC2 writes them: lower-case hex, 8 (before 2016) or 17 digits. */
export function isSecurityGroupId(text: string): text is SecurityGroupId {
  return GROUP_ID.test(text)
}

const PROTOCOL_NAMES: Readonly<Record<string, string>> = {
  '1': 'icmp',
  '6': 'tcp',
  '17': 'udp',
  '58': 'icmpv6',
  '-1': 'all'
}

/**
 * The canonical spelling of a protocol that EC2 or a user wrote: names for the four that have one, `all` for EC2's -1.
 * It does not judge: an unknown name comes back in lower case.
 */
export function canonicalProtocol(protocol: string): Protocol {
  const lower = protocol.toLowerCase()
  return (PROTOCOL_NAMES[lower] ?? lower) as Protocol
}

/** Whether EC2 gives the ports of this protocol a meaning of ports; icmp's are type and code, all others have none. */
export function hasPorts(protocol: Protocol): boolean {
  return protocol === 'tcp' || protocol === 'udp'
}

/** EC2 reports no ports, -1 or 0-65535 for protocols without ports; one spelling makes them comparable. */
export function canonicalRule(rule: Rule): Rule {
  const protocol = canonicalProtocol(rule.protocol)
  const portless = !hasPorts(protocol) && protocol !== 'icmp' && protocol !== 'icmpv6'
  return { protocol, fromPort: portless ? -1 : rule.fromPort, toPort: portless ? -1 : rule.toPort, cidr: rule.cidr }
}

/** Injective: the separators occur in none of the parts. */
export function ruleKey(rule: Rule): RuleKey {
  return `${rule.protocol} ${String(rule.fromPort)}-${String(rule.toPort)} ${rule.cidr}` as RuleKey
}

/** How a person reads a rule, such as `tcp 5000-5050 from 10.64.0.7/32`. */
export function describeRule(rule: Rule): string {
  const from = String(rule.fromPort)
  const ports = !hasPorts(rule.protocol)
    ? ''
    : rule.fromPort === rule.toPort
      ? ` ${from}`
      : ` ${from}-${String(rule.toPort)}`
  return `${rule.protocol}${ports} from ${rule.cidr}`
}

/** Address families of EC2 rules: each has its own quota. */
export type Family = 'ipv4' | 'ipv6'

export function familyOf(cidr: string): Family {
  return cidr.includes(':') ? 'ipv6' : 'ipv4'
}

/**
 * The rule that a request means for one address, or undefined when the protocol has no meaning in its family:
 * ICMP is IPv4's, ICMPv6 is IPv6's, and EC2 would let either pass as a rule that never matches.
 * @param address canonical, see shared/address.ts
 */
export function ruleFor(request: RuleRequest, address: string): Rule | undefined {
  const family = familyOf(address)
  if (request.protocol === 'icmp' && family === 'ipv6') return undefined
  if (request.protocol === 'icmpv6' && family === 'ipv4') return undefined
  const cidr = `${address}/${family === 'ipv4' ? '32' : '128'}`
  return { protocol: request.protocol, fromPort: request.fromPort, toPort: request.toPort, cidr }
}
