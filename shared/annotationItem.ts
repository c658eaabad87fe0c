/** One item of an annotation's value: `protocol[:ports]`. Pure. */
import { PREFIX } from './names.ts'
import { canonicalProtocol, hasPorts, isSecurityGroupId } from './rules.ts'
import type { Protocol, SecurityGroupId } from './rules.ts'
import { nearest } from './annotationSuggestion.ts'
import type { ViolationReason } from './violation.ts'

/** What one item asks, in some group. */
export interface Item {
  readonly protocol: Protocol
  readonly fromPort: number
  readonly toPort: number
}

/** What is wrong with an item, as a sentence, and its kind. */
interface Problem {
  readonly problem: string
  readonly reason: ViolationReason
}

export type ItemResult = { readonly item: Item; readonly warning?: string } | (Problem & { readonly item?: never })

/** The tables of the grammar: the parser reads by them, and the policies of the API server are generated from them. */
export const NAMED = ['tcp', 'udp', 'icmpv6', 'icmp', 'all']
export const NUMBER = /^(?:0|[1-9]\d{0,2})$/
export const LAST_NUMBER = 255
/** Ports of tcp and udp; their limit and order are checked apart. */
export const PORTS = /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/
export const EVERY_PORT = '*'
export const LAST_PORT = 65535

/** What each name means: one look, and one text for the items of all pods. */
const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map(NAMED.map((name) => [name, canonicalProtocol(name)]))

const LEGAL_PROTOCOLS = "protocol must be 'tcp', 'udp', 'icmp', 'icmpv6', 'all' or a number from 0 to 255"
const LEGAL_PORTS =
  "port must be a number from 1 to 65535 without leading zeros, a range such as '5000-5050', or '*' for all"

/** As tcpdump and nmap have it; `icmp` is just as near, and another protocol. */
const ALSO_CALLED: ReadonlyMap<string, string> = new Map([['icmp6', 'icmpv6']])

/** What a protocol without ports lets in. */
const EVERYTHING: Readonly<Record<string, string>> = { icmp: 'means every type', icmpv6: 'means every type' }

/** Protocol numbers that are far better known as ports: whoever writes one alone has probably forgotten `tcp:`. */
const BETTER_KNOWN_AS_PORTS = new Set(['20', '21', '22', '23', '25', '53', '80', '88', '110', '111', '123', '143'])

/**
 * @param text one item without the blanks around it, and without its group
 * @param groupId the group that it is for
 * @param named whether the group was written before the item, so that a suggestion must say it too
 */
export function parseItem(text: string, groupId: SecurityGroupId, named = false): ItemResult {
  if (named && text === '')
    return {
      problem: `item must be a group, a protocol and its ports, such as '${groupId}:tcp:443'`,
      reason: 'BadProtocol'
    }
  const result = read(text)
  if (result.problem === undefined) return result
  const [, other] = /^(sg-[0-9a-z]+):/i.exec(text) ?? []
  if (other !== undefined && other.toLowerCase() !== groupId)
    return { problem: namesAnother(other), reason: 'OtherGroup' }
  const suggestion = suggest(text)
  if (suggestion === undefined) return result
  const whole = named ? suggestion.split(',').map((item) => `${groupId}:${item}`) : [suggestion]
  return { ...result, problem: `${result.problem}; did you mean '${whole.join(',')}'?` }
}

/** Never a suggestion without it: that would open the wrong group. */
function namesAnother(id: string): string {
  const where = isSecurityGroupId(id) ? `its own key '${PREFIX}${id}'` : 'its own key'
  return `this item names another group: write it under ${where}`
}

/** The canonical text of an item; {@link parseItem} reads it back. */
export function printItem({ protocol, fromPort, toPort }: Item): string {
  if (!hasPorts(protocol)) return protocol
  if (fromPort === 0 && toPort === LAST_PORT) return `${protocol}:*`
  return fromPort === toPort ? `${protocol}:${fromPort}` : `${protocol}:${fromPort}-${toPort}`
}

/**
 * Sorts items and merges the repeated, overlapping and adjacent ranges of each protocol, so that equal wishes are equal
 * and none takes more of a group's quota than it needs. `all` is a protocol of its own and absorbs nothing.
 * @param items of one group
 */
export function mergeItems<T extends Item>(items: readonly T[]): T[] {
  const sorted = isSorted(items) ? items : items.toSorted(compareItems)
  const merged: T[] = []
  let last: T | undefined
  for (const item of sorted) {
    if (last?.protocol === item.protocol && item.fromPort <= last.toPort + 1)
      merged[merged.length - 1] = last = { ...last, toPort: Math.max(last.toPort, item.toPort) }
    else merged.push((last = item))
  }
  return merged
}

const compareItems = (a: Item, b: Item): number => compareTexts(a.protocol, b.protocol) || a.fromPort - b.fromPort

/** Few are not, and sorting takes longer than looking. */
function isSorted(items: readonly Item[]): boolean {
  let last: Item | undefined
  for (const item of items) {
    if (last !== undefined && compareItems(last, item) > 0) return false
    last = item
  }
  return true
}

/** In the order of UTF-16 units, as sort() has it. */
const compareTexts = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1)

type Read =
  { readonly item: Item; readonly warning?: string; readonly problem?: never } | (Problem & { readonly item?: never })

/** The grammar itself: no suggestions, so that suggestions can be checked with it. */
function read(text: string): Read {
  const colon = text.indexOf(':')
  const name = (colon < 0 ? text : text.slice(0, colon)).toLowerCase()
  const ports = colon < 0 ? undefined : text.slice(colon + 1)
  const protocol = readProtocol(name)
  if (protocol === undefined) return { problem: LEGAL_PROTOCOLS, reason: 'BadProtocol' }
  if (!hasPorts(protocol)) {
    if (ports !== undefined) return { problem: portless(name, protocol, ports), reason: 'PortsNotTaken' }
    const item = { protocol, fromPort: -1, toPort: -1 }
    if (!BETTER_KNOWN_AS_PORTS.has(name)) return { item }
    return { item, warning: `'${name}' is protocol number ${name} and opens no port; for the port write 'tcp:${name}'` }
  }
  if (ports === undefined)
    return {
      problem: `'${name}' needs ports, such as '${name}:443', '${name}:5000-5050' or '${name}:*' for all`,
      reason: 'NoPorts'
    }
  if (ports === EVERY_PORT) return { item: { protocol, fromPort: 0, toPort: LAST_PORT } }
  if (!PORTS.test(ports)) return { problem: LEGAL_PORTS, reason: 'BadPorts' }
  const dash = ports.indexOf('-')
  const fromPort = Number(dash < 0 ? ports : ports.slice(0, dash))
  const toPort = dash < 0 ? fromPort : Number(ports.slice(dash + 1))
  if (fromPort > LAST_PORT || toPort > LAST_PORT) return { problem: LEGAL_PORTS, reason: 'BadPorts' }
  if (fromPort > toPort) return { problem: 'first port must be less than or equal to last port', reason: 'BadPorts' }
  return { item: { protocol, fromPort, toPort } }
}

/** @param name in lower case */
function readProtocol(name: string): Protocol | undefined {
  const named = PROTOCOLS.get(name)
  if (named !== undefined) return named
  return NUMBER.test(name) && Number(name) <= LAST_NUMBER ? canonicalProtocol(name) : undefined
}

/** Whoever writes ports after `all` means the ports far more than all protocols: they come first. */
function portless(name: string, protocol: Protocol, ports: string): string {
  const problem = `'${name}' takes no ports: write '${protocol}' alone, which ${EVERYTHING[protocol] ?? 'opens all of them'}`
  if (protocol !== 'all' || ports === '*' || read(`tcp:${ports}`).problem !== undefined) return problem
  const what = ports.includes('-') ? 'ports' : 'port'
  return `for ${what} ${ports} write 'tcp:${ports}' or 'udp:${ports}': '${name}' takes no ports, and alone opens all of them`
}

/** What was probably meant: only ever text that the grammar takes, and never wider than what was written. */
function suggest(text: string): string | undefined {
  if (text.length > 64) return undefined
  const several = suggestSeveral(text)
  if (several !== undefined) return several
  // Two numbers would become a third that nobody wrote.
  if (/\d\s+\d/.test(text)) return undefined
  const compact = text.replace(/\s+/g, '').toLowerCase()
  const candidate =
    /^sg-[0-9a-f]+:(.+)$/.exec(compact)?.[1] ??
    rewrite(/^([\d-]+)[/:](tcp|udp)$/, compact, (ports, protocol) => `${protocol}:${repairPorts(ports)}`) ??
    rewrite(/^(\d+(?:-\d+)?)()$/, compact, (ports) => `tcp:${ports}`) ??
    rewrite(/^(-1|any|\*)(?:[:/]\*)?()$/, compact, () => 'all') ??
    rewrite(/^(tcp|udp)(\d.*)$/, compact, (protocol, ports) => `${protocol}:${repairPorts(ports)}`) ??
    rewrite(/^([a-z0-9]+)(?:[:/=._](.*))?$/, compact, repairBoth)
  if (candidate === undefined || candidate === text) return undefined
  return read(candidate).problem === undefined ? candidate : undefined
}

/** Items that something else than a comma keeps apart; a number alone may well be a port, and is not guessed at. */
function suggestSeveral(text: string): string | undefined {
  const parts = text.split(/[\s;|+]+/)
  const isItem = (part: string): boolean => /[a-z]/i.test(part) && read(part).problem === undefined
  return parts.length > 1 && parts.every(isItem) ? parts.join(',') : undefined
}

function rewrite(pattern: RegExp, text: string, by: (a: string, b: string) => string): string | undefined {
  const match = pattern.exec(text)
  return match === null ? undefined : by(match[1] ?? '', match[2] ?? '')
}

function repairBoth(name: string, ports: string): string {
  const number = NUMBER.test(name.replace(/^0+(?=\d)/, '')) ? name.replace(/^0+(?=\d)/, '') : undefined
  const protocol = canonicalProtocol(number ?? ALSO_CALLED.get(name) ?? nearest(name, NAMED) ?? name)
  if (hasPorts(protocol)) return ports === '' ? protocol : `${protocol}:${repairPorts(ports)}`
  return ['', '*', '-1', '0-65535'].includes(ports) ? protocol : `${protocol}:${ports}`
}

/** Two ports with a colon between them are as likely two ports as a range, which would open all that lie between. */
function repairPorts(ports: string): string {
  if (/^0+(?:-|\.\.)65535$/.test(ports)) return '*'
  const [first, last, ...rest] = ports.split(/[-–—]|\.\./).filter((part) => part !== '')
  if (first === undefined || rest.length > 0) return ports
  const numbers = [first, last ?? first].map((part) => part.replace(/^0+(?=\d)/, ''))
  const [low, high] = numbers.toSorted((a, b) => Number(a) - Number(b))
  return low === high ? String(low) : `${String(low)}-${String(high)}`
}
