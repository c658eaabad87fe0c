/**
 * What EC2 holds, indexed by group, with a journal of the last minutes for reads that lag behind writes.
 * It lives in memory and survives nothing. No I/O: the time is an argument.
 */
import type { SecurityGroup, SecurityGroupRule, Vpc } from './rule.ts'
import { permissionKey } from './rule.ts'

/** Reads, of now or of some time ago. Rules and groups come in the order of their creation. */
export interface View {
  group(groupId: string): SecurityGroup | undefined
  groups(): readonly SecurityGroup[]
  rule(ruleId: string): SecurityGroupRule | undefined
  rules(): readonly SecurityGroupRule[]
  /** Both directions. */
  rulesOf(groupId: string): readonly SecurityGroupRule[]
  vpc(vpcId: string): Vpc | undefined
  vpcs(): readonly Vpc[]
}

export interface Store extends View {
  /** The ingress rule of the group with this {@link permissionKey}. */
  ingressRule(groupId: string, key: string): SecurityGroupRule | undefined
  putVpc(vpc: Vpc): void
  putGroup(group: SecurityGroup, at: number): void
  /** Takes the group's rules with it. */
  dropGroup(groupId: string, at: number): void
  putRule(rule: SecurityGroupRule, at: number): void
  dropRule(ruleId: string, at: number): void
  /** The state as of `time` (ms); at most {@link HISTORY_SECONDS} before the last write are remembered. */
  asOf(time: number): View
  nextSequence(): number
}

/** Public trackers saw EC2's reads lag by more than two minutes (hashicorp/terraform#6325). */
export const HISTORY_SECONDS = 300

/** What stood under an id before a write at `at`; undefined when nothing did. */
type Entry =
  | { readonly at: number; readonly kind: 'group'; readonly id: string; readonly before: SecurityGroup | undefined }
  | { readonly at: number; readonly kind: 'rule'; readonly id: string; readonly before: SecurityGroupRule | undefined }

interface GroupIndex {
  readonly byId: Map<string, SecurityGroupRule>
  readonly ingress: Map<string, SecurityGroupRule>
}

const bySequence = (a: { readonly sequence: number }, b: { readonly sequence: number }): number =>
  a.sequence - b.sequence

export function createStore(): Store {
  const vpcs = new Map<string, Vpc>()
  const groups = new Map<string, SecurityGroup>()
  const rules = new Map<string, SecurityGroupRule>()
  const index = new Map<string, GroupIndex>()
  let journal: Entry[] = []
  let sequence = 0

  const record = (entry: Entry): void => {
    const oldest = entry.at - HISTORY_SECONDS * 1000
    // Cutting only when half is too old makes the cost of one write constant in the mean.
    if ((journal[journal.length >> 1]?.at ?? Infinity) < oldest) journal = journal.filter(({ at }) => at >= oldest)
    journal.push(entry)
  }
  const unindex = (rule: SecurityGroupRule): void => {
    const ofGroup = index.get(rule.groupId)
    ofGroup?.byId.delete(rule.ruleId)
    if (!rule.isEgress) ofGroup?.ingress.delete(permissionKey(rule))
  }

  const store: Store = {
    vpc: (vpcId) => vpcs.get(vpcId),
    vpcs: () => [...vpcs.values()],
    group: (groupId) => groups.get(groupId),
    groups: () => [...groups.values()],
    rule: (ruleId) => rules.get(ruleId),
    rules: () => [...rules.values()],
    rulesOf: (groupId) => [...(index.get(groupId)?.byId.values() ?? [])],
    ingressRule: (groupId, key) => index.get(groupId)?.ingress.get(key),
    nextSequence: () => ++sequence,
    putVpc(vpc) {
      vpcs.set(vpc.vpcId, vpc)
    },
    putGroup(group, at) {
      record({ at, kind: 'group', id: group.groupId, before: groups.get(group.groupId) })
      groups.set(group.groupId, group)
      if (!index.has(group.groupId)) index.set(group.groupId, { byId: new Map(), ingress: new Map() })
    },
    dropGroup(groupId, at) {
      for (const rule of store.rulesOf(groupId)) store.dropRule(rule.ruleId, at)
      record({ at, kind: 'group', id: groupId, before: groups.get(groupId) })
      groups.delete(groupId)
      index.delete(groupId)
    },
    putRule(rule, at) {
      const before = rules.get(rule.ruleId)
      record({ at, kind: 'rule', id: rule.ruleId, before })
      const ofGroup = index.get(rule.groupId)
      if (ofGroup === undefined)
        throw new Error(`rule ${rule.ruleId} put into group ${rule.groupId}, which is not there`)
      if (before?.isEgress === false) ofGroup.ingress.delete(permissionKey(before))
      // Setting an existing key keeps its place, so a modified rule keeps its order too.
      rules.set(rule.ruleId, rule)
      ofGroup.byId.set(rule.ruleId, rule)
      if (!rule.isEgress) ofGroup.ingress.set(permissionKey(rule), rule)
    },
    dropRule(ruleId, at) {
      const before = rules.get(ruleId)
      if (before === undefined) return
      record({ at, kind: 'rule', id: ruleId, before })
      unindex(before)
      rules.delete(ruleId)
    },
    asOf: (time) => rewind(store, journal, time)
  }
  return store
}

/** The view before every write later than `time`: what those writes replaced, laid over the present. */
function rewind(store: View, journal: readonly Entry[], time: number): View {
  const groups = new Map<string, SecurityGroup | undefined>()
  const rules = new Map<string, SecurityGroupRule | undefined>()
  for (let i = journal.length - 1; i >= 0; i--) {
    const entry = journal[i]
    if (entry === undefined || entry.at <= time) break
    // Walking back in time, the oldest replaced value of an id wins.
    if (entry.kind === 'group') groups.set(entry.id, entry.before)
    else rules.set(entry.id, entry.before)
  }
  const laid = <T extends { readonly sequence: number }>(
    present: readonly T[],
    over: ReadonlyMap<string, T | undefined>,
    idOf: (item: T) => string,
    wanted: (item: T) => boolean
  ): readonly T[] =>
    over.size === 0
      ? present
      : [
          ...present.filter((item) => !over.has(idOf(item))),
          ...[...over.values()].filter((item) => item !== undefined).filter(wanted)
        ].sort(bySequence)
  const ruleId = (rule: SecurityGroupRule): string => rule.ruleId
  return {
    vpc: (vpcId) => store.vpc(vpcId),
    vpcs: () => store.vpcs(),
    group: (groupId) => (groups.has(groupId) ? groups.get(groupId) : store.group(groupId)),
    groups: () =>
      laid(
        store.groups(),
        groups,
        (group) => group.groupId,
        () => true
      ),
    rule: (id) => (rules.has(id) ? rules.get(id) : store.rule(id)),
    rules: () => laid(store.rules(), rules, ruleId, () => true),
    rulesOf: (groupId) => laid(store.rulesOf(groupId), rules, ruleId, (rule) => rule.groupId === groupId)
  }
}
