/**
 * For tests: an EC2 of a small world, as the SDK's client meets it: reads lag, replies get lost, and all that docs/ec2.md tells.
 * Longer than most files here: five actions share one state and its history.
 */
import {
  AuthorizeSecurityGroupIngressCommand,
  DescribeSecurityGroupRulesCommand,
  DescribeSecurityGroupsCommand,
  EC2ServiceException,
  ModifySecurityGroupRulesCommand,
  RevokeSecurityGroupIngressCommand
} from '@aws-sdk/client-ec2'
import type { SecurityGroupRule } from '@aws-sdk/client-ec2'
import { OPT_IN_VALUE, OWNER_TAG, optInTag } from '../shared/names.ts'
import { canonicalRule, familyOf, ruleKey } from '../shared/rules.ts'
import type { Protocol, Rule, SecurityGroupId } from '../shared/rules.ts'
import type { Action, Ec2Sender } from './aws/ec2Client.ts'
import type { Limit } from './bucket.ts'
import type { ObservedRule } from './securityGroups.ts'
import type { WorldClock } from './worldClockFixture.ts'

/** EC2_READ_LAG of the world. */
export const LAG = 10_000
export const CLUSTER_ID = 'demo'
export const OWNER = `${CLUSTER_ID}/uid-of-kube-system`

/** What goes wrong with one call: refused, or lost on the way, before its effect or after it. */
export type Fault =
  | 'none'
  | 'throttled'
  | 'denied'
  | 'expired'
  | 'internalBefore'
  | 'internalAfter'
  | 'lostBefore'
  | 'lostAfter'
  | 'hangBefore'
  | 'hangAfter'
  /** Its effect comes when nobody waits for it any more. */
  | 'hangLate'

/** AWS's own (ec2-api-throttling). */
const AWS_LIMITS: Readonly<Record<Action, Limit>> = {
  AuthorizeSecurityGroupIngress: { burst: 50, perSecond: 5 },
  RevokeSecurityGroupIngress: { burst: 50, perSecond: 5 },
  ModifySecurityGroupRules: { burst: 50, perSecond: 5 },
  DescribeSecurityGroupRules: { burst: 100, perSecond: 20 },
  DescribeSecurityGroups: { burst: 100, perSecond: 20 }
}

/** The process that calls: it may die at any call, before its effect or after it. */
export interface Caller {
  readonly id: number
  /** It still lives, and answers reach it. */
  readonly attached: () => boolean
  /** A moment at which it may die. */
  readonly boundary: () => void
  /** Resolves at once, or when it goes on after a pause. */
  readonly awake: () => Promise<void>
}

/** One effect on a rule of the group. */
export interface Effect {
  readonly at: number
  readonly by: number
  readonly groupId: SecurityGroupId
  readonly rule: ObservedRule
}

/** Milliseconds after which a late effect comes: from a little before the caller has given up to seconds after. */
const LATE = { least: 4000, most: 8000 }

const never = <T>(): Promise<T> => new Promise<T>(() => undefined)

/** EC2: atomic calls, one identity for a rule, a quota for each family, and reads that may be `readBehind` old, group by group. */
export class WorldEc2 {
  readonly #clock: WorldClock
  readonly rules = new Map<SecurityGroupId, Map<string, ObservedRule>>()
  readonly optedIn = new Set<SecurityGroupId>()
  readonly #past = new Map<SecurityGroupId, { at: number; rules: readonly ObservedRule[]; optedIn: boolean }[]>()
  faults: Fault[] = []
  /** Actions that IAM denies. */
  readonly denied = new Set<string>()
  /** Every call is refused for its credentials. */
  expired = false
  /** Calls by action. */
  readonly calls = new Map<string, number>()
  /** Milliseconds by which reads are behind at most, less than EC2_READ_LAG. */
  readBehind = 0
  /** How far behind one read of one group is. */
  staleness: () => number = () => this.readBehind
  /** Milliseconds to EC2, and back. */
  latency: () => number = () => 20
  quota = 60
  /** Rules that it takes in no group. */
  refuses: (rule: Rule) => boolean = () => false
  pageSize = 1000
  limits = AWS_LIMITS
  /** Calls that AWS would have throttled because there were too many of them. */
  tooMany = 0
  readonly #tokens = new Map<string, { tokens: number; at: number }>()
  #serial = 0
  readonly revokes: Effect[] = []
  readonly modifies: (Effect & { readonly to: ObservedRule })[] = []
  readonly authorizes: Effect[] = []
  /** Who has read our rules everywhere, to the last page. */
  readonly ownedReadBy = new Set<number>()
  /** `<caller> <group>`: who has read which group's tags. */
  readonly tagsReadBy = new Set<string>()
  /** What has its effect just now nobody waits for any more. */
  isLate = false
  /** Called right after a call has changed something. */
  onEffect: () => void = () => undefined

  constructor(clock: WorldClock, groups: readonly SecurityGroupId[]) {
    this.#clock = clock
    for (const groupId of groups) {
      this.rules.set(groupId, new Map())
      this.optedIn.add(groupId)
      this.#remember(groupId)
    }
  }

  #remember(groupId: SecurityGroupId): void {
    const past = this.#past.get(groupId) ?? []
    const rules = [...(this.rules.get(groupId)?.values() ?? [])]
    past.push({ at: this.#clock.now(), rules, optedIn: this.optedIn.has(groupId) })
    // The last state before the window is what a lagging read at its beginning shows.
    const before = past.findLastIndex(({ at }) => at <= this.#clock.now() - 2 * LAG)
    if (before > 0) past.splice(0, before)
    this.#past.set(groupId, past)
  }

  /** What a lagging read of the group shows. */
  #shown(groupId: SecurityGroupId): { readonly rules: readonly ObservedRule[]; readonly optedIn: boolean } {
    const behind = this.staleness()
    if (behind <= 0)
      return { rules: [...(this.rules.get(groupId)?.values() ?? [])], optedIn: this.optedIn.has(groupId) }
    const past = this.#past.get(groupId) ?? []
    const at = this.#clock.now() - behind
    return past.findLast((state) => state.at <= at) ?? past[0] ?? { rules: [], optedIn: false }
  }

  /** What somebody else does by hand. */
  byHand(change: (rules: Map<SecurityGroupId, Map<string, ObservedRule>>, id: string) => void): void {
    change(this.rules, this.#newId())
    for (const groupId of this.rules.keys()) this.#remember(groupId)
  }

  /** The owner of the group lets the cluster edit it, or no longer. */
  optIn(groupId: SecurityGroupId, allowed: boolean): void {
    if (allowed) this.optedIn.add(groupId)
    else this.optedIn.delete(groupId)
    this.#remember(groupId)
  }

  /** With all its rules; its id never comes back. */
  deleteGroup(groupId: SecurityGroupId): void {
    this.rules.delete(groupId)
  }

  #newId(): string {
    return `sgr-${String(++this.#serial).padStart(6, '0')}`
  }

  /** What a process calls EC2 with. A call that is on its way when the process dies arrives all the same. */
  client(caller: Caller): Ec2Sender {
    const send = (command: unknown, { abortSignal }: { abortSignal?: AbortSignal } = {}): Promise<unknown> => {
      if (command instanceof DescribeSecurityGroupRulesCommand)
        return this.#call(caller, 'DescribeSecurityGroupRules', abortSignal, () => this.#readRules(command, caller))
      if (command instanceof DescribeSecurityGroupsCommand)
        return this.#call(
          caller,
          'DescribeSecurityGroups',
          abortSignal,
          () => this.#readGroups(command),
          () => this.#noteTagsRead(command, caller)
        )
      if (command instanceof AuthorizeSecurityGroupIngressCommand)
        return this.#call(caller, 'AuthorizeSecurityGroupIngress', abortSignal, () => this.#authorize(command, caller))
      if (command instanceof ModifySecurityGroupRulesCommand)
        return this.#call(caller, 'ModifySecurityGroupRules', abortSignal, () => this.#modify(command, caller))
      if (command instanceof RevokeSecurityGroupIngressCommand)
        return this.#call(caller, 'RevokeSecurityGroupIngress', abortSignal, () => this.#revoke(command, caller))
      throw new Error('this EC2 knows no such command')
    }
    return { send: send as Ec2Sender['send'] }
  }

  /** Full buckets: what another process spent is not the new one's doing. */
  refillBuckets(): void {
    this.#tokens.clear()
  }

  async #call<T>(
    caller: Caller,
    action: Action,
    signal: AbortSignal | undefined,
    effect: () => T,
    answered: () => void = () => undefined
  ): Promise<T> {
    if (!caller.attached()) return never()
    caller.boundary()
    if (!caller.attached()) return never()
    this.calls.set(action, (this.calls.get(action) ?? 0) + 1)
    this.#takeToken(action)
    const fault = this.faults.shift()
    await this.#clock.sleep(this.latency())
    if (fault === 'hangBefore') return this.#hang(signal)
    if (fault === 'hangLate') {
      const delay = LATE.least + this.#clock.chance() * (LATE.most - LATE.least)
      // Nobody has read what nobody was told.
      if (!action.startsWith('Describe')) this.#clock.after(delay, () => this.#happenLate(effect))
      return this.#hang(signal)
    }
    this.#refuse(action, fault)
    const answer = effect()
    caller.boundary()
    if (fault === 'hangAfter') return this.#hang(signal)
    await this.#clock.sleep(this.latency())
    await caller.awake()
    if (!caller.attached()) return never()
    if (fault === 'lostAfter') throw cut()
    if (fault === 'internalAfter') throw refusal('InternalError', 500)
    answered()
    return answer
  }

  #happenLate(effect: () => unknown): void {
    this.isLate = true
    try {
      effect()
    } catch {
      // Whoever asked for it would have been told.
    }
    this.isLate = false
  }

  #refuse(action: Action, fault: Fault | undefined): void {
    if (fault === 'throttled') throw refusal('RequestLimitExceeded', 503)
    if (fault === 'internalBefore') throw refusal('InternalError', 500)
    if (fault === 'lostBefore') throw cut()
    if (fault === 'expired' || this.expired) throw refusal('RequestExpired', 400)
    if (fault === 'denied' || this.denied.has(action)) throw refusal('UnauthorizedOperation', 403)
  }

  #takeToken(action: Action): void {
    const { burst, perSecond } = this.limits[action]
    const now = this.#clock.now()
    const bucket = this.#tokens.get(action) ?? { tokens: burst, at: now }
    const tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perSecond)
    this.#tokens.set(action, { tokens: Math.max(0, tokens - 1), at: now })
    // A hair less, for what adding up fractions costs.
    if (tokens < 1 - 1e-6) this.tooMany += 1
  }

  #hang<T>(signal: AbortSignal | undefined): Promise<T> {
    return new Promise<T>((_resolve, reject) => {
      const stop = (): void => reject(Object.assign(new Error('Request aborted'), { name: 'AbortError' }))
      if (signal?.aborted === true) stop()
      else signal?.addEventListener('abort', stop)
    })
  }

  #readRules({ input }: DescribeSecurityGroupRulesCommand, caller: Caller) {
    const [filter] = input.Filters ?? []
    const patterns = (filter?.Values ?? []).map(matcher)
    const matches = (value: string): boolean => patterns.some((pattern) => pattern(value))
    const byGroup = filter?.Name === 'group-id'
    const rows: SecurityGroupRule[] = []
    for (const groupId of [...this.rules.keys()].sort()) {
      if (byGroup && !matches(groupId)) continue
      if (byGroup)
        rows.push({ GroupId: groupId, SecurityGroupRuleId: 'sgr-000000', IsEgress: true, CidrIpv4: '0.0.0.0/0' })
      for (const rule of this.#shown(groupId).rules) {
        const owner = ownerOf(rule)
        if (byGroup || (owner !== undefined && matches(owner))) rows.push(rowOf(groupId, rule))
      }
    }
    const placeOf = (row: SecurityGroupRule): string => `${row.GroupId ?? ''} ${row.SecurityGroupRuleId ?? ''}`
    const after = input.NextToken ?? ''
    const left = rows
      .filter((row) => placeOf(row) > after)
      .sort((one, other) => (placeOf(one) < placeOf(other) ? -1 : 1))
    const page = left.slice(0, Math.min(this.pageSize, input.MaxResults ?? Infinity))
    const last = page.at(-1)
    if (left.length > page.length && last !== undefined) return { SecurityGroupRules: page, NextToken: placeOf(last) }
    if (!byGroup) this.ownedReadBy.add(caller.id)
    return { SecurityGroupRules: page }
  }

  /** Only whoever has got the answer knows. */
  #noteTagsRead({ input }: DescribeSecurityGroupsCommand, caller: Caller): void {
    for (const groupId of input.Filters?.[0]?.Values ?? []) this.tagsReadBy.add(`${String(caller.id)} ${groupId}`)
  }

  #readGroups({ input }: DescribeSecurityGroupsCommand) {
    const asked = input.Filters?.[0]?.Values ?? []
    const found = asked.filter((id) => this.rules.has(id as SecurityGroupId))
    return {
      SecurityGroups: found.map((id) => {
        const { optedIn } = this.#shown(id as SecurityGroupId)
        const Tags = optedIn ? [{ Key: optInTag(CLUSTER_ID), Value: OPT_IN_VALUE }] : []
        return { GroupId: id, VpcId: 'vpc-1', Tags }
      })
    }
  }

  #groupOf(groupId: string | undefined): Map<string, ObservedRule> {
    const group = this.rules.get((groupId ?? '') as SecurityGroupId)
    if (group === undefined) throw refusal('InvalidGroup.NotFound', 400)
    return group
  }

  #authorize({ input }: AuthorizeSecurityGroupIngressCommand, caller: Caller) {
    const group = this.#groupOf(input.GroupId)
    const groupId = input.GroupId as SecurityGroupId
    const owner = input.TagSpecifications?.[0]?.Tags?.find(({ Key }) => Key === OWNER_TAG)?.Value
    const wanted = (input.IpPermissions ?? []).flatMap((permission) =>
      [...(permission.IpRanges ?? []), ...(permission.Ipv6Ranges ?? [])].map((range) => ({
        ...ruleOf(permission, 'CidrIp' in range ? range.CidrIp : (range as { CidrIpv6?: string }).CidrIpv6),
        description: range.Description ?? ''
      }))
    )
    const there = new Set([...group.values()].map(ruleKey))
    if (new Set(wanted.map(ruleKey)).size < wanted.length || wanted.some((rule) => this.refuses(rule)))
      throw refusal('InvalidParameterValue', 400)
    if (wanted.some((rule) => there.has(ruleKey(rule)))) throw refusal('InvalidPermission.Duplicate', 400)
    for (const family of ['ipv4', 'ipv6'] as const) {
      const of = (rules: Iterable<Rule>): number => [...rules].filter(({ cidr }) => familyOf(cidr) === family).length
      if (of(wanted) > 0 && of(wanted) + of(group.values()) > this.quota)
        throw refusal('RulesPerSecurityGroupLimitExceeded', 400)
    }
    const made = wanted.map((rule): ObservedRule => ({ ...rule, id: this.#newId(), ...ownership(owner) }))
    for (const rule of made) {
      group.set(rule.id, rule)
      this.authorizes.push({ at: this.#clock.now(), by: caller.id, groupId, rule })
    }
    this.#remember(groupId)
    this.onEffect()
    // In no order that anybody may rely on.
    return { SecurityGroupRules: made.map((rule) => rowOf(groupId, rule)).reverse() }
  }

  #modify({ input }: ModifySecurityGroupRulesCommand, caller: Caller) {
    const group = this.#groupOf(input.GroupId)
    const groupId = input.GroupId as SecurityGroupId
    const holders = new Map([...group.values()].map((rule) => [ruleKey(rule), rule.id]))
    const changes = (input.SecurityGroupRules ?? []).map(({ SecurityGroupRule, SecurityGroupRuleId }) => {
      const before = group.get(SecurityGroupRuleId ?? '')
      if (before === undefined) throw refusal('InvalidSecurityGroupRuleId.NotFound', 400)
      const request = SecurityGroupRule ?? {}
      const rule = ruleOf(request, request.CidrIpv4 ?? request.CidrIpv6)
      if (familyOf(before.cidr) !== familyOf(rule.cidr) || this.refuses(rule))
        throw refusal('InvalidParameterValue', 400)
      if ((holders.get(ruleKey(rule)) ?? before.id) !== before.id) throw refusal('InvalidPermission.Duplicate', 400)
      return { before, to: { ...before, ...rule, description: request.Description ?? '' } }
    })
    if (new Set(changes.map(({ to }) => ruleKey(to))).size < changes.length) throw refusal('InvalidParameterValue', 400)
    for (const { before, to } of changes) {
      group.set(to.id, to)
      this.modifies.push({ at: this.#clock.now(), by: caller.id, groupId, rule: before, to })
    }
    this.#remember(groupId)
    this.onEffect()
    return { Return: true }
  }

  #revoke({ input }: RevokeSecurityGroupIngressCommand, caller: Caller) {
    const group = this.#groupOf(input.GroupId)
    const groupId = input.GroupId as SecurityGroupId
    const ids = input.SecurityGroupRuleIds ?? []
    if (ids.length === 0 || new Set(ids).size < ids.length) throw refusal('InvalidParameterValue', 400)
    if (ids.some((id) => !group.has(id))) throw refusal('InvalidSecurityGroupRuleId.NotFound', 400)
    for (const id of ids) {
      const rule = group.get(id)
      if (rule !== undefined) this.revokes.push({ at: this.#clock.now(), by: caller.id, groupId, rule })
      group.delete(id)
    }
    this.#remember(groupId)
    this.onEffect()
    return { Return: true }
  }
}

/** The value of the owner tag. */
export function ownerOf(rule: ObservedRule): string | undefined {
  return rule.owned ? OWNER : (rule as { owner?: string }).owner
}

/** How a rule with this owner tag looks to us. */
export function ownership(owner: string | undefined): { readonly owned: boolean; readonly owner?: string } {
  if (owner === OWNER) return { owned: true }
  return owner === undefined ? { owned: false } : { owned: false, owner }
}

function ruleOf(
  permission: { IpProtocol?: string | undefined; FromPort?: number | undefined; ToPort?: number | undefined },
  cidr: string | undefined
): Rule {
  const { FromPort = -1, IpProtocol = '', ToPort = -1 } = permission
  return canonicalRule({ protocol: IpProtocol as Protocol, fromPort: FromPort, toPort: ToPort, cidr: cidr ?? '' })
}

function rowOf(groupId: SecurityGroupId, rule: ObservedRule): SecurityGroupRule {
  const owner = ownerOf(rule)
  return {
    SecurityGroupRuleId: rule.id,
    GroupId: groupId,
    IsEgress: false,
    IpProtocol: rule.protocol === 'all' ? '-1' : rule.protocol,
    FromPort: rule.fromPort,
    ToPort: rule.toPort,
    ...(familyOf(rule.cidr) === 'ipv4' ? { CidrIpv4: rule.cidr } : { CidrIpv6: rule.cidr }),
    ...(rule.description === '' ? {} : { Description: rule.description }),
    Tags: owner === undefined ? [] : [{ Key: OWNER_TAG, Value: owner }]
  }
}

/** A value of a filter: `*` and `?` are wildcards unless a backslash stands before them. */
function matcher(pattern: string): (value: string) => boolean {
  if (!/[\\*?]/.test(pattern)) return (value) => value === pattern
  const source = pattern.replace(
    /\\(.)|([*?])|[^\\*?]+/gs,
    (whole, escaped: string | undefined, wild: string | undefined) =>
      wild === '*' ? '.*' : wild === '?' ? '.' : (escaped ?? whole).replace(/[^A-Za-z0-9]/g, '\\$&')
  )
  const regex = new RegExp(`^${source}$`, 's')
  return (value) => regex.test(value)
}

/** As the SDK throws it: unmodelled codes come as the error's name. */
function refusal(code: string, status: number): EC2ServiceException {
  return new EC2ServiceException({
    name: code,
    message: 'made to fail',
    $fault: status < 500 ? 'client' : 'server',
    $metadata: { httpStatusCode: status, attempts: 1 }
  })
}

function cut(): Error {
  return Object.assign(new Error('socket hang up'), { code: 'ECONNRESET', $metadata: { attempts: 1 } })
}
