/** Permissions of Authorize and Revoke as their parameters write them. Pure. */
import { invalidCombination, invalidValue, missingParameter, notSimulated } from '../state/error.ts'
import { ACCOUNT, checkGroupId } from '../state/ids.ts'
import { readCidr, readDescription, readPorts, readProtocol } from '../state/permission.ts'
import type { Permission, Source } from '../state/rule.ts'
import { permissionKey } from '../state/rule.ts'
import type { Parameters } from '../wire/parameters.ts'

/**
 * One permission for each protocol, port range and source of IpPermissions, or of the flat parameters (IpProtocol,
 * FromPort, ToPort, CidrIp). Empty when the call has neither.
 * @throws EC2Error of the first that is malformed, InvalidParameterValue when one comes twice
 */
export function readPermissions(parameters: Parameters): readonly Permission[] {
  const structured = parameters.structures('IpPermissions')
  const flat = readFlat(parameters)
  if (structured.length > 0 && flat.length > 0)
    throw invalidCombination("The parameter 'ipPermissions' may not be used in combination with 'cidrIp'")
  const permissions = structured.length > 0 ? structured.flatMap(readPermission) : flat
  const keys = new Set(permissions.map(permissionKey))
  if (keys.size < permissions.length) throw invalidValue('The same permission must not appear multiple times')
  return permissions
}

function readFlat(parameters: Parameters): readonly Permission[] {
  const cidr = parameters.text('CidrIp')
  const protocol = parameters.text('IpProtocol')
  const from = parameters.integer('FromPort')
  const to = parameters.integer('ToPort')
  if (
    parameters.text('SourceSecurityGroupName') !== undefined ||
    parameters.text('SourceSecurityGroupOwnerId') !== undefined
  )
    throw notSimulated('SourceSecurityGroupName; name the source group by id in IpPermissions')
  if (cidr === undefined && protocol === undefined && from === undefined && to === undefined) return []
  if (cidr === undefined) throw missingParameter('cidrIp')
  return combine(protocol, from, to, [{ source: readCidr('ipv4', cidr), description: undefined }])
}

interface Described {
  readonly source: Source
  readonly description: string | undefined
}

function readPermission(parameters: Parameters): readonly Permission[] {
  const protocol = parameters.text('IpProtocol')
  const from = parameters.integer('FromPort')
  const to = parameters.integer('ToPort')
  const sources: readonly Described[] = [
    ...parameters.structures('IpRanges').map((range) => described(range, readCidr('ipv4', range.required('CidrIp')))),
    ...parameters
      .structures('Ipv6Ranges')
      .map((range) => described(range, readCidr('ipv6', range.required('CidrIpv6')))),
    ...parameters.structures('Groups').map((pair) => described(pair, readGroupSource(pair)))
  ]
  if (parameters.structures('PrefixListIds').length > 0) throw notSimulated('prefix lists as a source')
  if (sources.length === 0) throw missingParameter('ipRanges, ipv6Ranges or groups in each of ipPermissions')
  return combine(protocol, from, to, sources)
}

function readGroupSource(pair: Parameters): Source {
  const userId = pair.text('UserId')
  // The clients hand back what Describe told them; these say nothing about the source.
  pair.text('VpcId')
  pair.text('PeeringStatus')
  if (pair.text('VpcPeeringConnectionId') !== undefined || (userId !== undefined && userId !== ACCOUNT))
    throw notSimulated('source groups of other accounts or peered VPCs')
  const value = pair.text('GroupId')
  if (value === undefined) throw notSimulated('source groups by name; give their GroupId')
  pair.text('GroupName')
  checkGroupId(value)
  return { kind: 'group', value }
}

const described = (parameters: Parameters, source: Source): Described => ({
  source,
  description: readDescription(parameters.text('Description'))
})

function combine(
  protocolText: string | undefined,
  from: number | undefined,
  to: number | undefined,
  sources: readonly Described[]
): readonly Permission[] {
  const protocol = readProtocol(protocolText)
  const [fromPort, toPort] = readPorts(protocol, from, to)
  return sources.map(({ source, description }) => ({ protocol, fromPort, toPort, source, description }))
}
