/**
 * What a verdict leaves in the API server's audit log. The API server puts the webhook's name before each key, as in
 * `pods.sg.amazonaws.com/decision`. Pure.
 */
import { decisionOf, reasonsOf } from './verdict.ts'
import type { Need, Verdict } from './verdict.ts'

/**
 * Of an allowed request: which groups it opens, to how many rules for each address, and which of them nobody permitted
 * where that only warns. Of a denied one: why.
 */
export function auditAnnotations(verdict: Verdict): Readonly<Record<string, string>> {
  const decision = { decision: decisionOf(verdict) }
  if (verdict.kind !== 'allowed') return { ...decision, reasons: reasonsOf(verdict).join(',') }
  if (verdict.uses.length === 0) return decision
  const asked = { 'security-groups': idsOf(verdict.uses), rules: String(verdict.rules) }
  return { ...decision, ...asked, ...(verdict.refused === undefined ? {} : { unpermitted: idsOf(verdict.refused) }) }
}

const idsOf = (uses: readonly Need[]): string => uses.map(({ groupId }) => groupId).join(',')
