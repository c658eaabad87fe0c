/** Steps that cases share: calls over the SDK, and comparisons that say what was expected and what came. */
import type { IpPermission, SecurityGroupRule, TagSpecification } from '@aws-sdk/client-ec2'
import { isDeepStrictEqual } from 'node:util'
import type { Subject } from './case.ts'
import { Difference, normalize } from './case.ts'

/** tcp on one port from each of the CIDRs. */
export const tcp = (port: number, ...cidrs: readonly string[]): IpPermission => permission('tcp', port, port, ...cidrs)

export const permission = (
  IpProtocol: string | undefined,
  FromPort: number | undefined,
  ToPort: number | undefined,
  ...cidrs: readonly string[]
): IpPermission => {
  const ipv4 = cidrs.filter((cidr) => !cidr.includes(':')).map((CidrIp) => ({ CidrIp }))
  const ipv6 = cidrs.filter((cidr) => cidr.includes(':')).map((CidrIpv6) => ({ CidrIpv6 }))
  return {
    ...(IpProtocol === undefined ? {} : { IpProtocol }),
    ...(FromPort === undefined ? {} : { FromPort }),
    ...(ToPort === undefined ? {} : { ToPort }),
    ...(ipv4.length === 0 ? {} : { IpRanges: ipv4 }),
    ...(ipv6.length === 0 ? {} : { Ipv6Ranges: ipv6 })
  }
}

/** tcp 443 from 10.0.0.1/32 with a description. */
export const described = (Description: string, CidrIp = '10.0.0.1/32'): IpPermission => ({
  ...tcp(443),
  IpRanges: [{ CidrIp, Description }]
})

/** 10.0.0.0/32 and the following. */
export const hosts = (count: number, start = 0): readonly string[] =>
  Array.from({ length: count }, (_, i) => `10.0.${String((start + i) >> 8)}.${String((start + i) & 255)}/32`)

/** 2001:db8::/128 and the following. */
export const hosts6 = (count: number): readonly string[] =>
  Array.from({ length: count }, (_, i) => `2001:db8::${i === 0 ? '' : i.toString(16)}/128`)

export const tagged = (
  tags: Readonly<Record<string, string>>,
  ResourceType: TagSpecification['ResourceType'] = 'security-group-rule'
): { readonly TagSpecifications: TagSpecification[] } => ({
  TagSpecifications: [{ ResourceType, Tags: Object.entries(tags).map(([Key, Value]) => ({ Key, Value })) }]
})

export async function authorize(
  { ec2 }: Pick<Subject, 'ec2'>,
  GroupId: string,
  ...IpPermissions: IpPermission[]
): Promise<readonly SecurityGroupRule[]> {
  return (await ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions })).SecurityGroupRules ?? []
}

/** A new group that holds these rules. */
export async function groupWith(subject: Subject, ...permissions: IpPermission[]): Promise<string> {
  const groupId = await subject.createGroup()
  await authorize(subject, groupId, ...permissions)
  return groupId
}

/** A new group and the ids of its rules, in the order of the CIDRs. */
export async function groupOf(
  subject: Subject,
  ...cidrs: readonly string[]
): Promise<{ readonly groupId: string; readonly ids: readonly string[] }> {
  const groupId = await subject.createGroup()
  const made = await authorize(subject, groupId, tcp(443, ...cidrs))
  const ids = cidrs.map((cidr) => made.find((rule) => cidrOf(rule) === cidr)?.SecurityGroupRuleId)
  return { groupId, ids: ids.map((id) => id ?? differ('the answer to Authorize lacks a rule that was asked for')) }
}

export const cidrOf = (rule: SecurityGroupRule): string => rule.CidrIpv4 ?? rule.CidrIpv6 ?? ''

export const idOf = (rule: SecurityGroupRule | undefined): string => rule?.SecurityGroupRuleId ?? ''

/** As `tcp 443-443 10.0.0.1/32`. */
export const nameRule = (rule: SecurityGroupRule): string =>
  `${String(rule.IpProtocol)} ${String(rule.FromPort)}-${String(rule.ToPort)} ${cidrOf(rule)}`

/** The ingress rules of a group, over all pages. */
export async function readRules({ ec2 }: Pick<Subject, 'ec2'>, groupId: string): Promise<readonly SecurityGroupRule[]> {
  const { SecurityGroupRules = [] } = await ec2.describeSecurityGroupRules({
    Filters: [{ Name: 'group-id', Values: [groupId] }]
  })
  return SecurityGroupRules.filter(({ IsEgress }) => IsEgress !== true)
}

/** The ingress rules once they are these, in any order; of `[]`, and of what must not have changed, see {@link expectUnchanged}. */
export async function expectRules(
  subject: Subject,
  groupId: string,
  expected: readonly string[]
): Promise<readonly SecurityGroupRule[]> {
  const wanted = [...expected].sort()
  const rules = await subject.settled(
    () => readRules(subject, groupId),
    (found) => isDeepStrictEqual(found.map(nameRule).sort(), wanted)
  )
  expectSame(rules.map(nameRule).sort(), wanted, 'rules of the group')
  return rules
}

/** The ingress rules after a refused call. */
export async function expectUnchanged(subject: Subject, groupId: string, expected: readonly string[]): Promise<void> {
  const rules = await subject.settled(() => readRules(subject, groupId))
  expectSame(rules.map(nameRule).sort(), [...expected].sort(), 'rules of the group after the refused call')
}

/** @throws Difference unless EC2 refuses the call with this code, and a message that matches */
export async function expectRefusal(call: Promise<unknown>, code: string, message = /./): Promise<Error> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason as Error
  )
  if (error === undefined) return differ(`expected ${code}, but the call was accepted`)
  const { httpStatusCode } = (error as { $metadata?: { httpStatusCode?: number } }).$metadata ?? {}
  if (error.name !== code)
    return differ(`expected ${code}, found ${error.name} (HTTP ${String(httpStatusCode)}): ${firstLine(error.message)}`)
  if (!message.test(error.message)) return differ(`${code} with another message: ${firstLine(error.message)}`)
  return error
}

export function expectSame(found: unknown, expected: unknown, what: string): void {
  if (!isDeepStrictEqual(found, expected))
    throw new Difference(`${what}: expected ${show(expected)}, found ${show(found)}`)
}

export function expectThat(holds: boolean, otherwise: string): void {
  if (!holds) throw new Difference(otherwise)
}

export const differ = (message: string): never => {
  throw new Difference(message)
}

const show = (value: unknown): string => {
  const text = JSON.stringify(value) as string | undefined
  return text === undefined ? 'nothing' : shorten(normalize(text))
}

const shorten = (text: string): string => (text.length > 120 ? `${text.slice(0, 119)}…` : text)

const firstLine = (text: string): string => (text.split('\n')[0] ?? '').slice(0, 100)
