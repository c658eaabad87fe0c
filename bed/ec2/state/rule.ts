/** What EC2 holds: VPCs, security groups, rules; and what makes two rules the same. Pure. */

export type Tags = ReadonlyMap<string, string>

/** Where traffic comes from: a canonical CIDR of one family, or another security group. */
export interface Source {
  readonly kind: 'ipv4' | 'ipv6' | 'group'
  readonly value: string
}

/** What a rule allows. Protocols are spelled as EC2 returns them: tcp, udp, icmp, icmpv6, -1, or a number. */
export interface Permission {
  readonly protocol: string
  /** -1 to -1 when the protocol has no ports; type and code for ICMP. */
  readonly fromPort: number
  readonly toPort: number
  readonly source: Source
  readonly description: string | undefined
}

export interface SecurityGroupRule extends Permission {
  readonly ruleId: string
  readonly groupId: string
  readonly isEgress: boolean
  readonly tags: Tags
  /** Order of creation: the order in which Describe answers, stable while pages are read. */
  readonly sequence: number
}

export interface SecurityGroup {
  readonly groupId: string
  readonly groupName: string
  readonly description: string
  readonly vpcId: string
  readonly tags: Tags
  readonly sequence: number
}

export interface Vpc {
  readonly vpcId: string
  readonly cidr: string
  readonly isDefault: boolean
  readonly tags: Tags
  readonly sequence: number
}

/**
 * The identity of a rule inside one group and direction: protocol, ports and source, but neither description nor tags.
 * https://docs.aws.amazon.com/vpc/latest/userguide/security-group-rules.html
 */
export function permissionKey(permission: Omit<Permission, 'description'>): string {
  const { protocol, fromPort, toPort, source } = permission
  return `${protocol} ${String(fromPort)}-${String(toPort)} ${source.value}`
}

/** As EC2 names a rule in its Duplicate error, such as `peer: 10.0.0.1/32, TCP, from port: 443, to port: 443, ALLOW`. */
export function nameInDuplicate(permission: Permission): string {
  const { protocol, fromPort, toPort, source } = permission
  return `peer: ${source.value}, ${traffic(protocol, fromPort, toPort)}, ALLOW`
}

/** Seen in terraform-aws-modules/terraform-aws-security-group#351, cloudposse/terraform-aws-mq-broker#40, ansible/ansible#11177. */
function traffic(protocol: string, fromPort: number, toPort: number): string {
  if (protocol === '-1') return 'ALL'
  if (/^\d+$/.test(protocol)) return `protocol: ${protocol}`
  return `${protocol.toUpperCase()}, from port: ${String(fromPort)}, to port: ${String(toPort)}`
}
