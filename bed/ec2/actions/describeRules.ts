/** DescribeSecurityGroupRules: one row per rule, both directions, by group without looking at others. Pure. */
import { ruleNotFound } from '../state/error.ts'
import type { Fields, Filter } from '../state/filters.ts'
import { compileFilters, exactValues, isWildcard } from '../state/filters.ts'
import { checkGroupId, checkRuleId } from '../state/ids.ts'
import { pageOf, sequencePosition } from '../state/pages.ts'
import type { SecurityGroupRule } from '../state/rule.ts'
import type { View } from '../state/store.ts'
import type { Action } from './call.ts'
import { demandAnything, fail, readFilters, readPage } from './call.ts'
import { ruleElement } from './elements.ts'

/** The documented filters, and no others: neither `is-egress` nor a CIDR. */
const FIELDS: Fields<SecurityGroupRule> = {
  'group-id': (rule) => [rule.groupId],
  'security-group-rule-id': (rule) => [rule.ruleId]
}

export const describeSecurityGroupRules: Action = (call) => {
  const { parameters } = call
  const ids = parameters.texts('SecurityGroupRuleId')
  const filters = readFilters(parameters)
  const page = readPage(parameters)
  call.note({
    groupId: filters
      .filter(({ name }) => name === 'group-id')
      .flatMap(({ values }) => values)
      .join(',')
  })
  ids.forEach(checkRuleId)
  checkGroupFilters(filters)
  const matches = compileFilters(filters, FIELDS, (rule) => rule.tags)
  const view = call.admit([demandAnything(call)])
  const { items, nextToken } = pageOf(select(view, ids, filters).filter(matches), page, sequencePosition)
  const vpcOf = (rule: SecurityGroupRule): string => view.group(rule.groupId)?.vpcId ?? ''
  return { securityGroupRuleSet: items.map((rule) => ruleElement(call, rule, vpcOf(rule))), nextToken }
}

/**
 * A malformed id in the group-id filter is refused (localstack/localstack#9059), an unknown one matches nothing
 * (getmoto/moto#7620); both were compared with AWS there.
 */
function checkGroupFilters(filters: readonly Filter[]): void {
  for (const { name, values } of filters) {
    if (name === 'group-id') values.filter((value) => !isWildcard(value)).forEach(checkGroupId)
  }
}

/** The fewest rules among which all matches are, in the order of their creation. */
function select(view: View, ids: readonly string[], filters: readonly Filter[]): readonly SecurityGroupRule[] {
  if (ids.length > 0) return inOrder(ids.map((id) => view.rule(id) ?? fail(ruleNotFound(id))))
  const ruleIds = exactValues(filters, 'security-group-rule-id')
  if (ruleIds !== undefined) return inOrder(ruleIds.map((id) => view.rule(id)).filter((rule) => rule !== undefined))
  const groupIds = exactValues(filters, 'group-id')
  if (groupIds !== undefined) return inOrder([...new Set(groupIds)].flatMap((id) => view.rulesOf(id)))
  return view.rules()
}

const inOrder = (rules: readonly SecurityGroupRule[]): readonly SecurityGroupRule[] =>
  [...new Set(rules)].sort((a, b) => a.sequence - b.sequence)
