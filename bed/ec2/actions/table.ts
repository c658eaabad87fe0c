/** The actions that are simulated, by the name on the wire. */
import { authorizeSecurityGroupIngress } from './authorizeIngress.ts'
import type { Action } from './call.ts'
import { describeSecurityGroupRules } from './describeRules.ts'
import { modifySecurityGroupRules } from './modifyRules.ts'
import { revokeSecurityGroupIngress } from './revokeIngress.ts'
import { createSecurityGroup, deleteSecurityGroup, describeSecurityGroups } from './securityGroups.ts'
import { createTags, deleteTags, describeTags } from './tags.ts'
import { describeVpcs } from './vpcs.ts'

export const ACTIONS: ReadonlyMap<string, Action> = new Map([
  ['AuthorizeSecurityGroupIngress', authorizeSecurityGroupIngress],
  ['CreateSecurityGroup', createSecurityGroup],
  ['CreateTags', createTags],
  ['DeleteSecurityGroup', deleteSecurityGroup],
  ['DeleteTags', deleteTags],
  ['DescribeSecurityGroupRules', describeSecurityGroupRules],
  ['DescribeSecurityGroups', describeSecurityGroups],
  ['DescribeTags', describeTags],
  ['DescribeVpcs', describeVpcs],
  ['ModifySecurityGroupRules', modifySecurityGroupRules],
  ['RevokeSecurityGroupIngress', revokeSecurityGroupIngress]
])
