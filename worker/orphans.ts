/** Proof that a rule of ours has outlived its pod. Pure: the API server's answers are arguments. */
import { ruleKey } from '../shared/rules.ts'
import type { Rule, SecurityGroupId } from '../shared/rules.ts'
import { rulesOf } from './desired.ts'
import { endOf } from './pods.ts'
import type { ObservedPod } from './pods.ts'

/** The address of a rule made for one pod; undefined for a wider source, which we never make. */
export function addressOf(rule: Rule): string | undefined {
  const [address, length] = rule.cidr.split('/')
  return length === (rule.cidr.includes(':') ? '128' : '32') ? address : undefined
}

/**
 * Whether the pod may still need the rule: it lives, asks for it, and has the address, or hides for a while which it has
 * (kubernetes#125370). A pending pod without an address hides nothing: it never reported one, so the rule was not made for it.
 * @param now in milliseconds
 */
function mayNeed(pod: ObservedPod, groupId: SecurityGroupId, rule: Rule, now: number): boolean {
  const address = addressOf(rule)
  if (address === undefined || endOf(pod, false, now) !== undefined) return false
  const asks = rulesOf(pod.declaration.requests, groupId, [address]).some((asked) => ruleKey(asked) === ruleKey(rule))
  const family = pod.addresses.filter((other) => other.includes(':') === address.includes(':'))
  const hides = family.length === 0 && pod.phase !== 'Pending'
  return asks && (hides || family.includes(address))
}

/**
 * An orphan is proven when no living pod at its address asks for it, and neither does the pod that its description names.
 * A stranger at the address who asks for nothing is no reason to keep the rule: he is the one it must not serve.
 * @param near every pod that reports the address, from an unlabelled list, and the pod of the description, as they are now
 */
export function isProvenOrphan(
  groupId: SecurityGroupId,
  rule: Rule,
  near: readonly ObservedPod[],
  now: number
): boolean {
  return addressOf(rule) !== undefined && !near.some((pod) => mayNeed(pod, groupId, rule, now))
}
