/** For tests: an EC2 of a small world, whose reads lag and whose replies get lost. */
import { ruleKey } from '../shared/rules.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import type { FailureKind } from './failures.ts'
import { Ec2Failure } from './securityGroups.ts'
import type { NewRule, ObservedRule, SecurityGroups } from './securityGroups.ts'
import type { WorldClock } from './worldClockFixture.ts'

/** EC2_READ_LAG of the world. */
export const LAG = 10_000

export type Fault = 'throttled' | 'denied' | 'lostBefore' | 'lostAfter'

/** EC2 as the worker's adapter shows it: atomic, with one identity for a rule, and reads that may be `lag` old. */
export class WorldEc2 {
  readonly #clock: WorldClock
  readonly rules = new Map<SecurityGroupId, Map<string, ObservedRule>>()
  readonly optedIn = new Set<SecurityGroupId>()
  #history: { at: number; rules: ReadonlyMap<SecurityGroupId, readonly ObservedRule[]> }[] = []
  faults: Fault[] = []
  /** Actions that IAM denies. */
  readonly denied = new Set<string>()
  /** Calls by action. */
  readonly calls = new Map<string, number>()
  /** Milliseconds by which reads are behind, less than EC2_READ_LAG. */
  readBehind = 0
  quota = 60
  #serial = 0
  readonly revokes: { at: number; groupId: SecurityGroupId; rule: ObservedRule }[] = []

  constructor(clock: WorldClock, groups: readonly SecurityGroupId[]) {
    this.#clock = clock
    for (const groupId of groups) {
      this.rules.set(groupId, new Map())
      this.optedIn.add(groupId)
    }
    this.#remember()
  }

  #remember(): void {
    const snapshot = {
      at: this.#clock.now(),
      rules: new Map([...this.rules].map(([groupId, rules]) => [groupId, [...rules.values()]] as const))
    }
    // The last state before the window is what a lagging read at its beginning shows.
    const before = this.#history.findLastIndex(({ at }) => at <= this.#clock.now() - 2 * LAG)
    this.#history = [...this.#history.slice(Math.max(0, before)), snapshot]
  }

  async #call<T>(action: string, effect: () => T): Promise<T> {
    this.calls.set(action, (this.calls.get(action) ?? 0) + 1)
    await this.#clock.sleep(20)
    const fault = this.faults.shift()
    const fail = (kind: FailureKind): never => {
      throw new Ec2Failure(action, kind, kind, new Error('made to fail'))
    }
    if (this.denied.has(action)) return fail('denied')
    if (fault === 'throttled' || fault === 'denied') return fail(fault)
    if (fault === 'lostBefore') return fail('unavailable')
    const answer = effect()
    this.#remember()
    await this.#clock.sleep(20)
    return fault === 'lostAfter' ? fail('unavailable') : answer
  }

  #asOf(at: number): ReadonlyMap<SecurityGroupId, readonly ObservedRule[]> {
    return (this.#history.findLast((snapshot) => snapshot.at <= at) ?? this.#history[0])?.rules ?? new Map()
  }

  /** What somebody else does by hand. */
  byHand(change: (rules: Map<SecurityGroupId, Map<string, ObservedRule>>, id: string) => void): void {
    change(this.rules, `sgr-${String(++this.#serial)}`)
    this.#remember()
  }

  securityGroups(): SecurityGroups {
    const read = async (
      groups: (
        all: ReadonlyMap<SecurityGroupId, readonly ObservedRule[]>
      ) => [SecurityGroupId, readonly ObservedRule[]][]
    ) => {
      const startedAt = this.#clock.now()
      const rules = await this.#call(
        'DescribeSecurityGroupRules',
        () => new Map(groups(this.#asOf(this.#clock.now() - this.readBehind)))
      )
      return { startedAt, rules }
    }
    return {
      readRules: (groupIds) => read((all) => groupIds.map((groupId) => [groupId, all.get(groupId) ?? []])),
      readOwnedRules: () =>
        read((all) => [...all].map(([groupId, rules]) => [groupId, rules.filter(({ owned }) => owned)])),
      readGroups: (groupIds) =>
        this.#call('DescribeSecurityGroups', () =>
          groupIds
            .filter((groupId) => this.rules.has(groupId))
            .map((groupId) => ({ groupId, vpcId: 'vpc-1', optedIn: this.optedIn.has(groupId) }))
        ),
      authorize: (groupId, rules) => this.#call('AuthorizeSecurityGroupIngress', () => this.#authorize(groupId, rules)),
      revoke: (groupId, ruleIds) => this.#call('RevokeSecurityGroupIngress', () => this.#revoke(groupId, ruleIds))
    }
  }

  #authorize(groupId: SecurityGroupId, wanted: readonly NewRule[]): ObservedRule[] {
    const group = this.rules.get(groupId)
    const refuse = (kind: FailureKind): never => {
      throw new Ec2Failure('AuthorizeSecurityGroupIngress', kind, kind, new Error('refused'))
    }
    if (group === undefined) return refuse('groupNotFound')
    const there = new Set([...group.values()].map(ruleKey))
    if (wanted.some((rule) => there.has(ruleKey(rule)))) return refuse('duplicate')
    if (group.size + wanted.length > this.quota) return refuse('quota')
    return wanted.map((rule) => {
      const made = { ...rule, id: `sgr-${String(++this.#serial)}`, owned: true }
      group.set(made.id, made)
      return made
    })
  }

  #revoke(groupId: SecurityGroupId, ruleIds: readonly string[]): void {
    const group = this.rules.get(groupId)
    if (group === undefined || ruleIds.some((id) => !group.has(id))) {
      throw new Ec2Failure(
        'RevokeSecurityGroupIngress',
        'ruleNotFound',
        'InvalidSecurityGroupRuleId.NotFound',
        new Error('refused')
      )
    }
    for (const id of ruleIds) {
      const rule = group.get(id)
      if (rule !== undefined) this.revokes.push({ at: this.#clock.now(), groupId, rule })
      group.delete(id)
    }
  }
}
