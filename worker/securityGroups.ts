/** What the worker asks of EC2; worker/aws is its adapter. */
import type { Rule, SecurityGroupId } from '../shared/rules.ts'
import type { FailureKind } from './failures.ts'

/** An ingress rule as EC2 holds it. */
export interface ObservedRule extends Rule {
  readonly id: string
  /** Its owner tag is ours. */
  readonly owned: boolean
  /** The owner tag's value where it is not ours: another cluster's rule. */
  readonly owner?: string
  readonly description: string
}

/** A rule to be made, with the description that names its pod. */
export interface NewRule extends Rule {
  readonly description: string
}

/** A rule of ours that is to become another one, under the id that it has. */
export interface Modification {
  readonly ruleId: string
  /** Of the same family: EC2 lets no rule change it. */
  readonly rule: NewRule
}

/** What was read, and from when on it can be true: EC2 may show the past by some seconds, never the future. */
export interface RulesRead {
  readonly startedAt: number
  /** Every group asked for is a key, also one without rules. */
  readonly rules: ReadonlyMap<SecurityGroupId, readonly ObservedRule[]>
}

/** One security group, its rules apart. Absent from the answer: EC2 has none of that id. */
export interface ObservedGroup {
  readonly groupId: SecurityGroupId
  readonly vpcId: string
  /** Its owner lets this cluster edit it. */
  readonly optedIn: boolean
}

/** Rules as they were read before. Of tens of thousands hardly any changes: what is kept anyway need not be made again. */
export type KnownRules = ReadonlyMap<string, ObservedRule>

/** The right to make one call. What takes it decides after it has it, for it may have waited for minutes. */
export interface Turn {
  /** Milliseconds */
  readonly waited: number
}

/** Every verb throws {@link Ec2Failure}. Times are milliseconds of the clock that the adapter was given. */
export interface SecurityGroups {
  /** So many rules one call changes at most. */
  readonly rulesPerCall: number
  /** All ingress rules of the groups, ours and foreign ones. @param known by id, to come back as they are where nothing has changed */
  readRules(groupIds: readonly SecurityGroupId[], known?: KnownRules): Promise<RulesRead>
  /** All ingress rules, in whatever group, that carry our owner tag or that of another cluster with our id. @param known as above */
  readOwnedRules(known?: KnownRules): Promise<RulesRead>
  readGroups(groupIds: readonly SecurityGroupId[]): Promise<readonly ObservedGroup[]>
  /** Waits for the turn of a call of that name, which must be made at once, or not at all. */
  turn(verb: 'authorize' | 'modify' | 'revoke'): Promise<Turn>
  /** All or nothing. At most {@link rulesPerCall} rules, each but once. @param turn else it is waited for, here as in the next two */
  authorize(groupId: SecurityGroupId, rules: readonly NewRule[], turn?: Turn): Promise<readonly ObservedRule[]>
  /** All or nothing. The rules keep ids, tags and their places in the quota; a description that is left out is gone. */
  modify(
    groupId: SecurityGroupId,
    modifications: readonly Modification[],
    turn?: Turn
  ): Promise<readonly ObservedRule[]>
  /** All or nothing, by rule id. */
  revoke(groupId: SecurityGroupId, ruleIds: readonly string[], turn?: Turn): Promise<void>
}

/** A call to EC2 that failed, in our terms. */
export class Ec2Failure extends Error {
  /** Of the EC2 API, such as AuthorizeSecurityGroupIngress. */
  readonly action: string
  readonly kind: FailureKind
  /** EC2's error code, or the name of the network error. */
  readonly code: string
  constructor(action: string, kind: FailureKind, code: string, cause: unknown) {
    super(`${action} failed with ${code}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    this.name = 'Ec2Failure'
    this.action = action
    this.kind = kind
    this.code = code
  }
}
