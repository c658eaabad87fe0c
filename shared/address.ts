/** IP addresses and CIDRs in one canonical text. Pure. */
import { BlockList } from 'node:net'
import { Address4, Address6 } from 'ip-address'

/**
 * The canonical text of an IP address: dotted quads, or RFC 5952 for IPv6. Undefined when it is not exactly one address
 * (a prefix length, a zone, an IPv4-mapped IPv6 address and `010.0.0.1` are none).
 */
export function canonicalAddress(text: string): string | undefined {
  if (/[/%\s]/.test(text)) return undefined
  if (Address4.isValid(text)) return either(text, new Address4(text).correctForm())
  if (!Address6.isValid(text)) return undefined
  const address = new Address6(text)
  return address.is4() ? undefined : either(text, address.correctForm())
}

/** The canonical text of a CIDR, host bits cleared as EC2 does it; undefined when it is not a CIDR with its length. */
export function canonicalCidr(text: string): string | undefined {
  const [address, length, ...rest] = text.split('/')
  if (address === undefined || length === undefined || rest.length > 0 || !/^\d{1,3}$/.test(length)) return undefined
  if (canonicalAddress(address) === undefined) return undefined
  const parsed = address.includes(':') ? parse6(text) : parse4(text)
  if (parsed === undefined) return undefined
  return either(text, `${parsed.startAddress().correctForm()}/${String(parsed.subnetMask)}`)
}

/** Some CIDRs taken together. */
export interface Network {
  readonly cidrs: readonly string[]
  /** @param address in canonical text */
  contains(address: string): boolean
}

/** @param cidrs in canonical text */
export function createNetwork(cidrs: readonly string[]): Network {
  // Apart, for a list of both takes an IPv4 address for one of ::/0.
  const subnets = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const cidr of cidrs) {
    const [address = '', length = ''] = cidr.split('/')
    const type = typeOf(address)
    subnets[type].addSubnet(address, Number(length), type)
  }
  return { cidrs, contains: (address) => subnets[typeOf(address)].check(address, typeOf(address)) }
}

const typeOf = (address: string): 'ipv4' | 'ipv6' => (address.includes(':') ? 'ipv6' : 'ipv4')

/** The text itself where it is canonical: tens of thousands are kept, and one that was put together from parts is larger. */
const either = (text: string, canonical: string): string => (text === canonical ? text : canonical)

const parse4 = (text: string): Address4 | undefined => (Address4.isValid(text) ? new Address4(text) : undefined)
const parse6 = (text: string): Address6 | undefined => (Address6.isValid(text) ? new Address6(text) : undefined)
