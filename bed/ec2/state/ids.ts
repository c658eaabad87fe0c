/** Ids of EC2 resources: their shapes, and EC2's two ways to refuse one. Pure. */
import { EC2Error } from './error.ts'

/** The one account that is simulated; AWS's documentation uses it as its example. */
export const ACCOUNT = '123456789012'

/** What makes new ids: 16 hex digits that never come twice, not even after a restart, as EC2 never reuses an id. */
export type HexSource = () => string

const GROUP_ID = /^sg-(?:[0-9a-f]{8}|[0-9a-f]{17})$/
const VPC_ID = /^vpc-(?:[0-9a-f]{8}|[0-9a-f]{17})$/

/** The message with the expected prefix is EC2's: hashicorp/terraform-provider-aws#6104. */
const malformed = (code: string, id: string, prefix: string): EC2Error =>
  new EC2Error(code, `Invalid id: "${id}" (expecting "${prefix}-...")`)

/** @throws EC2Error InvalidGroupId.Malformed */
export function checkGroupId(id: string): void {
  if (!GROUP_ID.test(id)) throw malformed('InvalidGroupId.Malformed', id, 'sg')
}

/** @throws EC2Error InvalidVpcID.Malformed */
export function checkVpcId(id: string): void {
  if (!VPC_ID.test(id)) throw malformed('InvalidVpcID.Malformed', id, 'vpc')
}

/**
 * Only the prefix and the length make a rule id malformed; `sgr-xyz` is merely unknown. Seen by mulgadc/spinifex's
 * comparison with EC2; AWS documents neither.
 * @throws EC2Error InvalidSecurityGroupRuleId.Malformed
 */
export function checkRuleId(id: string): void {
  if (!id.startsWith('sgr-') || id.length > 21) throw malformed('InvalidSecurityGroupRuleId.Malformed', id, 'sgr')
}
