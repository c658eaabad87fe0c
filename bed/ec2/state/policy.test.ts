import t from 'tap'
import type { Demand } from './policy.ts'
import { parsePolicy, permits } from './policy.ts'

const policy = (...statements: object[]) => ({ Version: '2012-10-17', Statement: statements })
const demand = (context: Readonly<Record<string, readonly string[]>> = {}): Demand => ({
  action: 'ec2:CreateTags',
  arn: 'arn:aws:ec2:eu-west-1:123456789012:security-group-rule/sgr-1',
  context: new Map(Object.entries(context))
})
const allows = (statement: object, context?: Readonly<Record<string, readonly string[]>>): boolean =>
  permits(parsePolicy(policy({ Effect: 'Allow', Action: 'ec2:*', Resource: '*', ...statement })), demand(context))

t.test('actions, resources and denials', async (t) => {
  t.equal(allows({}), true)
  t.equal(allows({ Action: ['ec2:createtags'] }), true, 'actions have no case')
  t.equal(allows({ Action: 'ec2:Create' }), false)
  t.equal(allows({ Action: undefined, NotAction: 'ec2:CreateTags' }), false)
  t.equal(allows({ Resource: 'arn:aws:ec2:*:123456789012:security-group-rule/*' }), true)
  t.equal(allows({ Resource: 'arn:aws:ec2:*:*:security-group/*' }), false)
  const both = policy(
    { Effect: 'Allow', Action: '*', Resource: '*' },
    { Effect: 'Deny', Action: 'ec2:CreateTags', Resource: '*' }
  )
  t.equal(permits(parsePolicy(both), demand()), false, 'a deny wins')
  t.equal(permits(parsePolicy(policy()), demand()), false, 'what nobody allows is denied')
})

t.test('conditions', async (t) => {
  const vpc = 'arn:aws:ec2:eu-west-1:123456789012:vpc/vpc-1'
  const context = { 'ec2:vpc': [vpc], 'aws:resourcetag/team': ['blue'], 'aws:tagkeys': ['a', 'b'] }
  const cases: readonly [condition: object, holds: boolean][] = [
    [{ StringEquals: { 'aws:ResourceTag/team': ['red', 'blue'] } }, true],
    [{ StringEquals: { 'aws:ResourceTag/team': 'Blue' } }, false],
    [{ StringEqualsIgnoreCase: { 'aws:ResourceTag/TEAM': 'BLUE' } }, true],
    [{ StringEquals: { 'aws:ResourceTag/none': 'x' } }, false],
    [{ StringNotEquals: { 'aws:ResourceTag/none': 'x' } }, true],
    [{ StringEqualsIfExists: { 'aws:ResourceTag/none': 'x' } }, true],
    [{ StringLike: { 'aws:ResourceTag/team': 'b?u*' } }, true],
    [{ StringNotLike: { 'aws:ResourceTag/team': 'b*' } }, false],
    [{ ArnEquals: { 'ec2:Vpc': 'arn:aws:ec2:*:123456789012:vpc/vpc-1' } }, true],
    [{ ArnEquals: { 'ec2:Vpc': 'arn:aws:ec2:*:123456789012:vpc/vpc-2' } }, false],
    [{ ArnLike: { 'ec2:Vpc': 'arn:*' } }, false],
    [{ Null: { 'aws:ResourceTag/none': 'true' } }, true],
    [{ Null: { 'aws:ResourceTag/team': true } }, false],
    [{ 'ForAllValues:StringEquals': { 'aws:TagKeys': ['a', 'b', 'c'] } }, true],
    [{ 'ForAllValues:StringEquals': { 'aws:TagKeys': ['a'] } }, false],
    [{ 'ForAnyValue:StringEquals': { 'aws:TagKeys': ['a'] } }, true],
    [{ StringEquals: { 'aws:ResourceTag/team': 'blue', 'aws:ResourceTag/none': 'x' } }, false]
  ]
  for (const [Condition, holds] of cases) t.equal(allows({ Condition }, context), holds, JSON.stringify(Condition))
})

t.test('what is malformed or not simulated is refused, never ignored', async (t) => {
  const cases: readonly [document: unknown, message: RegExp][] = [
    ['text', /must be a JSON object/],
    [{ ...policy(), Statements: [] }, /Statements, which is not one of/],
    [policy({ Effect: 'Maybe', Action: '*', Resource: '*' }), /Statement 1: Effect/],
    [policy({ Effect: 'Allow', Action: '*' }), /one of Resource and NotResource/],
    [policy({ Effect: 'Allow', Action: 5, Resource: '*' }), /string or a list of strings/],
    [
      policy({ Effect: 'Allow', Action: '*', Resource: '*', Condition: { IpAddress: {} } }),
      /IpAddress is not simulated/
    ],
    [
      policy({ Effect: 'Allow', Action: '*', Resource: '*', Condition: { StringEquals: { 'aws:SourceIp': 'x' } } }),
      /condition key aws:SourceIp is not simulated/
    ]
  ]
  for (const [document, message] of cases) t.throws(() => parsePolicy(document), { message })
})
