/** What passes by a rule, whatever the rule is called. Said here again, for the worker's own `overlap` is on trial. Pure. */
import type { Place } from './truth.ts'

/** What passes by a rule: of one source into one group. */
export interface Passage {
  /** `<group> <cidr>` */
  readonly source: string
  readonly protocol: string
  readonly from: number
  readonly to: number
}

const ALL_PORTS = { from: -1, to: 65_535 }

export function passageOf(place: Place): Passage {
  const [groupId = '', protocol = '', ports = '', cidr = ''] = place.split(' ')
  const [, from = '', to = ''] = /^(-?\d+)-(-?\d+)$/.exec(ports) ?? []
  const range = from === '-1' ? ALL_PORTS : { from: Number(from), to: Number(to) }
  return { source: `${groupId} ${cidr}`, protocol, ...range }
}

/** What passes by both; undefined: nothing. */
export function inCommon(one: Passage, other: Passage): Passage | undefined {
  if (one.source !== other.source) return undefined
  const protocol = one.protocol === 'all' ? other.protocol : one.protocol
  if (other.protocol !== 'all' && other.protocol !== protocol) return undefined
  const [from, to] = [Math.max(one.from, other.from), Math.min(one.to, other.to)]
  return from > to ? undefined : { source: one.source, protocol, from, to }
}

/** Whether all of it passes by those rules, by some of them together if need be. */
export function isOpen({ from, protocol, source, to }: Passage, rules: readonly Passage[]): boolean {
  const near = rules.filter((rule) => rule.source === source && (rule.protocol === 'all' || rule.protocol === protocol))
  let open = from
  for (const rule of near.sort((one, other) => one.from - other.from))
    if (rule.from <= open) open = Math.max(open, rule.to + 1)
  return open > to
}
