/** When a pod may go: what still stands against taking our finalizer off. Pure. */
import { ruleKey } from '../shared/rules.ts'
import type { Rule, RuleKey, SecurityGroupId } from '../shared/rules.ts'
import { rulesOf } from './desired.ts'
import type { PodView } from './desired.ts'
import { addressOf } from './orphans.ts'

/** Everything that could tell of a rule that the pod leaves behind. */
export interface ReleaseFacts {
  /** All our rules have been read at least once since this worker leads, so that what is not known is not there. */
  readonly trusted: boolean
  /** Rules of ours for its addresses or with its description, known or possible, by group. */
  readonly rules: readonly {
    readonly groupId: SecurityGroupId
    readonly key: RuleKey
    readonly rule: Rule | undefined
  }[]
  /** Claims of this pod that ended and whose rules no run has settled yet. */
  readonly unsettledClaims: number
  /** The living pod that holds an address, if there is one, and its rules in the group are in effect, or it may have the one of the key. */
  readonly holderOf: (address: string, groupId: SecurityGroupId, key: RuleKey) => PodView | undefined
  /** A run has tried to revoke since the pod ended, whatever came of it. */
  readonly attempted: boolean
}

export type Verdict =
  | { readonly release: true; readonly forced: false }
  /** MAX_HOLD is over: the sweep revokes what is left. */
  | { readonly release: true; readonly forced: true; readonly left: number }
  | { readonly release: false; readonly why: string; readonly again: number | undefined }

/**
 * An ended pod is released when every owned rule on its addresses is gone, or is claimed by another living pod; at the latest
 * `maxHold` after its end, if at least one attempt was made: the finalizer does not hold the address, so that holding longer
 * protects nobody. A living pod that asks for nothing any more is released likewise, but has no deadline.
 * @param heldFor milliseconds since its end; no matter for a living pod
 * @param maxHold milliseconds
 */
export function mayRelease(view: PodView, facts: ReleaseFacts, heldFor: number, maxHold: number): Verdict {
  if (view.pod.nodeName === undefined && view.addresses.length === 0) return { release: true, forced: false }
  const remaining = facts.rules.filter((known) => !isClaimedByAnother(view, known, facts)).length
  const open = Math.max(remaining, facts.unsettledClaims)
  if (facts.trusted && open === 0) return { release: true, forced: false }
  const left = view.end === undefined ? undefined : Math.max(0, maxHold - heldFor)
  if (left === 0 && facts.attempted) return { release: true, forced: true, left: open }
  const why = facts.trusted
    ? `${String(open)} of its rules ${open === 1 ? 'is' : 'are'} not revoked yet`
    : 'the rules have not been read from EC2 yet'
  return { release: false, why, again: left }
}

function isClaimedByAnother(view: PodView, known: ReleaseFacts['rules'][number], facts: ReleaseFacts): boolean {
  const { groupId, key, rule } = known
  const address = rule === undefined ? undefined : addressOf(rule)
  const holder = address === undefined ? undefined : facts.holderOf(address, groupId, key)
  if (address === undefined || holder === undefined || holder.pod.uid === view.pod.uid) return false
  return rulesOf(holder.pod.declaration.requests, groupId, [address]).some((asked) => ruleKey(asked) === key)
}
