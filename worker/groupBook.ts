/**
 * What is known of every security group that concerns us, and on which addresses it may hold a rule of ours. No I/O.
 * Longer than most files here: a record and what is found by it change together.
 */
import type { Family, SecurityGroupId } from '../shared/rules.ts'
import { Multimap } from './multimap.ts'
import { fillOf, UNREAD, viewOf, withRead, withWrites } from './observation.ts'
import type { GroupView, Observation, Write } from './observation.ts'
import type { KnownRules, ObservedGroup, ObservedRule, RulesRead } from './securityGroups.ts'
import { afterAnswer } from './standing.ts'
import type { Standing } from './standing.ts'

/** A group as an object of EC2, its rules apart. */
export interface GroupFacts {
  readonly exists: boolean
  readonly optIn: Standing | undefined
  readonly readAt: number
}

/** Fewer rules than RULES_PER_GROUP, for EC2 refused more. */
export interface LearnedQuota {
  readonly rules: number
  /** When EC2 refused. */
  readonly at: number
  /** One more than it took then, to find out whether the quota was raised since. */
  readonly probing: boolean
}

export interface GroupRecord {
  readonly observation: Observation
  readonly facts: GroupFacts | undefined
  /** Rules that fit, as the last quota error taught us; undefined: RULES_PER_GROUP holds. */
  readonly quota: Partial<Record<Family, LearnedQuota>>
  /** A call failed in a way that makes the last read doubtful. */
  readonly doubtful: boolean
  /** When the reply to a revoke was lost last; -Infinity: never. */
  readonly revokeLostAt: number
  /** Ids of our rules that EC2 does not let us modify, until the next sweep: they are revoked, and made anew. */
  readonly unmodifiable: ReadonlySet<string>
}

export interface GroupBook {
  record(groupId: SecurityGroupId): GroupRecord
  view(groupId: SecurityGroupId): GroupView
  /** Groups in which some rule of ours is known, or possible. */
  groupsWithOwned(): SecurityGroupId[]
  takeRules(read: RulesRead): void
  /** By id, as last read or made: of one group, or of all. */
  knownRules(groupId?: SecurityGroupId): KnownRules
  /** A read of our rules everywhere: groups that it does not name hold none. */
  takeOwnedRules(read: RulesRead): void
  /** @param asked the groups that were asked for: those not among `found` do not exist */
  takeGroups(asked: readonly SecurityGroupId[], found: readonly ObservedGroup[], readAt: number): void
  write(groupId: SecurityGroupId, writes: readonly Write[]): void
  /** The next run reads the group before it decides. */
  doubt(groupId: SecurityGroupId): void
  loseRevoke(groupId: SecurityGroupId, at: number): void
  /** Until {@link forgetRefusals}. */
  refuseModify(groupId: SecurityGroupId, ruleIds: readonly string[]): void
  forgetRefusals(groupId: SecurityGroupId): void
  learnQuota(groupId: SecurityGroupId, quota: Partial<Record<Family, number>>, at: number): void
  /** Lets one more rule be tried where EC2 refused it at or before `until`. */
  probeQuota(groupId: SecurityGroupId, until: number): void
  /** RULES_PER_GROUP holds again. */
  forgetQuota(groupId: SecurityGroupId, families: readonly Family[]): void
  /** Groups in which a rule for this source is known, or possible. */
  groupsWithSource(cidr: string): Iterable<SecurityGroupId>
  /** Our rules in the group whose description is this. */
  groupsDescribing(description: string): Iterable<SecurityGroupId>
  /** Drops groups that hold nothing of ours and that nobody asks for. */
  prune(inUse: ReadonlySet<SecurityGroupId>): void
}

const BLANK: GroupRecord = {
  observation: UNREAD,
  facts: undefined,
  quota: {},
  doubtful: false,
  revokeLostAt: -Infinity,
  unmodifiable: new Set()
}

/** @param lag EC2_READ_LAG in milliseconds */
export function createGroupBook(lag: number): GroupBook {
  const records = new Map<SecurityGroupId, GroupRecord>()
  const views = new Map<SecurityGroupId, GroupView>()
  const bySource = new Multimap<string, SecurityGroupId>()
  const byDescription = new Multimap<string, SecurityGroupId>()

  const record = (groupId: SecurityGroupId): GroupRecord => records.get(groupId) ?? BLANK
  const view = (groupId: SecurityGroupId): GroupView => views.get(groupId) ?? viewOf(UNREAD)

  const put = (groupId: SecurityGroupId, change: Partial<GroupRecord>): void => {
    const next = { ...record(groupId), ...change }
    records.set(groupId, next)
    if (change.observation === undefined) return
    const before = view(groupId)
    const seen = viewOf(next.observation)
    views.set(groupId, seen)
    if (seen.owned !== before.owned || seen.unseen.size + before.unseen.size > 0) index(groupId, before, seen)
    // Where so many are, so many fit: a lagging read may have taught too few. Who takes the place that was to be tried leaves it to be tried.
    const quota = mapQuota(next.quota, (learned, family) => {
      const rules = Math.max(learned.rules, fillOf(seen, family) + (learned.probing ? 1 : 0))
      return rules === learned.rules ? learned : { ...learned, rules }
    })
    if (Object.keys(quota).length > 0) records.set(groupId, { ...next, quota })
  }

  /** Only what differs: of the hundreds of rules of a group a call changes a few, and a map grows with what is taken out of it and put back. */
  const index = (groupId: SecurityGroupId, before: GroupView, seen: GroupView): void => {
    const pairs = [
      [bySource, sourcesOf(before), sourcesOf(seen)],
      [byDescription, descriptionsOf(before), descriptionsOf(seen)]
    ] as const
    for (const [map, old, fresh] of pairs) {
      for (const key of old) if (!fresh.has(key)) map.delete(key, groupId)
      for (const key of fresh) if (!old.has(key)) map.add(key, groupId)
    }
  }

  const takeRead = (
    groupId: SecurityGroupId,
    rules: readonly ObservedRule[],
    startedAt: number,
    complete: boolean
  ): void => {
    put(groupId, { observation: withRead(record(groupId).observation, rules, startedAt, complete, lag) })
  }

  return {
    record,
    view,
    groupsWithOwned: () =>
      [...views].filter(([, { owned, unseen }]) => owned.length + unseen.size > 0).map(([groupId]) => groupId),
    knownRules(groupId) {
      const known = new Map<string, ObservedRule>()
      for (const { foreign, owned } of groupId === undefined ? views.values() : [view(groupId)]) {
        for (const rule of owned) known.set(rule.id, rule)
        for (const rule of foreign) known.set(rule.id, rule)
      }
      return known
    },
    takeRules(read) {
      for (const [groupId, rules] of read.rules) {
        takeRead(groupId, rules, read.startedAt, true)
        put(groupId, { doubtful: false })
      }
    },
    takeOwnedRules(read) {
      const groupIds = new Set([...records.keys(), ...read.rules.keys()])
      for (const groupId of groupIds) takeRead(groupId, read.rules.get(groupId) ?? [], read.startedAt, false)
    },
    takeGroups(asked, found, readAt) {
      const byId = new Map(found.map((group) => [group.groupId, group]))
      for (const groupId of asked) {
        const group = byId.get(groupId)
        const before = record(groupId).facts?.optIn
        const optIn = group === undefined ? before : afterAnswer(before, group.optedIn, readAt)
        put(groupId, { facts: { exists: group !== undefined, optIn, readAt } })
      }
    },
    write(groupId, writes) {
      if (writes.length > 0) put(groupId, { observation: withWrites(record(groupId).observation, writes) })
    },
    doubt: (groupId) => put(groupId, { doubtful: true }),
    loseRevoke: (groupId, at) => put(groupId, { revokeLostAt: at }),
    refuseModify: (groupId, ruleIds) =>
      put(groupId, { unmodifiable: new Set([...record(groupId).unmodifiable, ...ruleIds]) }),
    forgetRefusals(groupId) {
      if (record(groupId).unmodifiable.size > 0) put(groupId, { unmodifiable: new Set() })
    },
    learnQuota(groupId, quota, at) {
      const learned: Partial<Record<Family, LearnedQuota>> = {}
      for (const [family, rules] of Object.entries(quota)) learned[family as Family] = { rules, at, probing: false }
      put(groupId, { quota: { ...record(groupId).quota, ...learned } })
    },
    probeQuota(groupId, until) {
      const { quota } = record(groupId)
      const next = mapQuota(quota, (learned) =>
        learned.probing || learned.at > until ? learned : { ...learned, rules: learned.rules + 1, probing: true }
      )
      if (Object.keys(quota).length > 0) put(groupId, { quota: next })
    },
    forgetQuota(groupId, families) {
      if (families.length === 0) return
      const left = Object.entries(record(groupId).quota).filter(([family]) => !families.includes(family as Family))
      put(groupId, { quota: Object.fromEntries(left) })
    },
    groupsWithSource: (cidr) => bySource.get(cidr),
    groupsDescribing: (description) => byDescription.get(description),
    prune(inUse) {
      for (const groupId of records.keys()) {
        const { owned, unseen } = view(groupId)
        if (owned.length + unseen.size > 0 || inUse.has(groupId) || record(groupId).observation.writes.length > 0)
          continue
        views.delete(groupId)
        records.delete(groupId)
      }
    }
  }
}

const sourcesOf = ({ owned, unseen }: GroupView): ReadonlySet<string> =>
  new Set([...owned.map(({ cidr }) => cidr), ...[...unseen.keys()].map((key) => key.slice(key.lastIndexOf(' ') + 1))])

const descriptionsOf = ({ owned }: GroupView): ReadonlySet<string> =>
  new Set(owned.map(({ description }) => description))

function mapQuota(
  quota: GroupRecord['quota'],
  change: (learned: LearnedQuota, family: Family) => LearnedQuota
): GroupRecord['quota'] {
  const entries = Object.entries(quota) as [Family, LearnedQuota][]
  return Object.fromEntries(entries.map(([family, learned]) => [family, change(learned, family)]))
}
