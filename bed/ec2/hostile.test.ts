/** Requests that mean harm, or nothing: always an answer in EC2's shape, never a defect, and a refusal changes nothing. */
import { XMLParser } from 'fast-xml-parser'
import fc from 'fast-check'
import { request } from 'node:http'
import t from 'tap'
import { ACTIONS } from './actions/table.ts'
import { createSimulator } from './simulator.ts'
import { signedHeaders, startTrial } from './trial.ts'

const GROUP = 'sg-0def0000000000001'
const NAMES = [
  'GroupId',
  'GroupId.1',
  'GroupName',
  'GroupDescription',
  'VpcId',
  'DryRun',
  'MaxResults',
  'NextToken',
  'IpProtocol',
  'FromPort',
  'ToPort',
  'CidrIp',
  'IpPermissions.1.IpProtocol',
  'IpPermissions.1.FromPort',
  'IpPermissions.1.ToPort',
  'IpPermissions.1.IpRanges.1.CidrIp',
  'IpPermissions.1.IpRanges.1.Description',
  'IpPermissions.1.Ipv6Ranges.1.CidrIpv6',
  'IpPermissions.1.Groups.1.GroupId',
  'IpPermissions.2.IpRanges.0.CidrIp',
  'SecurityGroupRuleId.1',
  'SecurityGroupRule.1.SecurityGroupRuleId',
  'SecurityGroupRule.1.SecurityGroupRule.CidrIpv4',
  'SecurityGroupRule.1.SecurityGroupRule.IpProtocol',
  'TagSpecification.1.ResourceType',
  'TagSpecification.1.Tag.1.Key',
  'TagSpecification.1.Tag.1.Value',
  'ResourceId.1',
  'Tag.1.Key',
  'Tag.1.Value',
  'Filter.1.Name',
  'Filter.1.Value.1',
  '__proto__',
  'constructor.prototype'
]
const VALUES = [
  GROUP,
  'vpc-0def0000000000001',
  'sgr-00000000000000000',
  'tcp',
  '-1',
  '443',
  '10.0.0.1/32',
  '2001:db8::1/128',
  'true',
  'security-group-rule',
  'group-id',
  'tag:k',
  '',
  '*',
  '\\',
  '2147483647',
  '-2147483648',
  '1e3'
]

const RULE = {
  'IpPermissions.1.IpProtocol': 'tcp',
  'IpPermissions.1.FromPort': '443',
  'IpPermissions.1.ToPort': '443',
  'IpPermissions.1.IpRanges.1.CidrIp': '10.0.0.1/32'
}
const FILTER = { 'Filter.1.Name': 'group-id', 'Filter.1.Value.1': GROUP }

/** A good call of each action, which is then spoilt. */
const GOOD: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  AuthorizeSecurityGroupIngress: { GroupId: GROUP, ...RULE },
  RevokeSecurityGroupIngress: { GroupId: GROUP, ...RULE },
  CreateSecurityGroup: { GroupName: 'g', GroupDescription: 'd', VpcId: 'vpc-0def0000000000001' },
  DeleteSecurityGroup: { GroupName: 'g' },
  CreateTags: { 'ResourceId.1': GROUP, 'Tag.1.Key': 'k', 'Tag.1.Value': 'v' },
  DeleteTags: { 'ResourceId.1': GROUP, 'Tag.1.Key': 'k' },
  DescribeSecurityGroupRules: FILTER,
  DescribeSecurityGroups: FILTER
}

const form = fc.dictionary(
  fc.constantFrom(...NAMES),
  fc.oneof(fc.constantFrom(...VALUES), fc.string({ unit: 'binary', maxLength: 20 }), fc.string({ maxLength: 300 })),
  { maxKeys: 5 }
)

const spellMaps = (_: string, value: unknown): unknown => (value instanceof Map ? [...value.entries()] : value)

interface Parsed {
  readonly Response?: { readonly Errors: { readonly Error: { readonly Code: unknown } } }
}

t.test(
  'any parameters to any action: an answer that parses, no defect, and a refusal leaves all as it was',
  async () => {
    const defects: unknown[] = []
    let id = 0
    const hex = (): string => (++id).toString(16).padStart(16, '0')
    const simulator = createSimulator({ now: () => 0, hex, onDefect: (error) => defects.push(error) })
    const headers = signedHeaders(0)
    const credentials = { authorization: headers.authorization, date: headers['x-amz-date'] }
    const state = () => JSON.stringify([simulator.world.store.groups(), simulator.world.store.rules()], spellMaps)
    fc.assert(
      fc.property(fc.constantFrom(...ACTIONS.keys()), form, (Action, parameters) => {
        const before = state()
        const body = new URLSearchParams({ Action, Version: '2016-11-15', ...GOOD[Action], ...parameters }).toString()
        const outcome = simulator.handle({ credentials, body: Buffer.from(body) }, 0)
        if (outcome.kind !== 'answer') throw new Error(outcome.kind)
        if (defects.length > 0) throw new AggregateError(defects)
        const { Response } = new XMLParser().parse(outcome.body) as Parsed
        if (outcome.status === 200) return
        if (typeof Response?.Errors.Error.Code !== 'string') throw new Error(outcome.body)
        if (state() !== before) throw new Error(`a refused ${Action} changed something`)
      }),
      { numRuns: 20_000 }
    )
  }
)

t.test('10 000 rules in a call: all of them, or the one that is wrong', async (t) => {
  const { endpoint, calls, rulesOf } = await startTrial(t)
  const ranges = Array.from(
    { length: 10_000 },
    (_, i) => `&IpPermissions.1.IpRanges.${String(i + 1)}.CidrIp=10.${String(i >> 8)}.${String(i & 255)}.0/24`
  )
  const head = `Action=AuthorizeSecurityGroupIngress&Version=2016-11-15&GroupId=${GROUP}&IpPermissions.1.IpProtocol=-1`
  const post = async (body: string) => {
    const response = await fetch(endpoint, { method: 'POST', body, headers: signedHeaders() })
    return /<Code>([^<]+)/.exec(await response.text())?.[1]
  }
  t.equal(await post(head + ranges.join('')), 'RulesPerSecurityGroupLimitExceeded')
  t.equal(
    await post(`${head + ranges.join('')}&IpPermissions.1.IpRanges.10001.CidrIp=nonsense`),
    'InvalidParameterValue'
  )
  t.equal(
    await post(`${head + ranges.join('')}&IpPermissions.1.IpRanges.10001.CidrIp=10.0.1.7/24`),
    'InvalidParameterValue'
  )
  t.strictSame(await rulesOf(GROUP), [])
  t.equal((await calls())[0]?.rules.length, 10_000, 'the log has what was meant')
})

t.test('requests that HTTP allows and EC2 does not know', async (t) => {
  const { endpoint, ec2 } = await startTrial(t)
  const ask = (method: string, headers: Record<string, string>, body: string) =>
    new Promise<string>((resolve, reject) => {
      const outgoing = request(endpoint, { method, headers: { ...signedHeaders(), ...headers } }, (response) => {
        let text = `${String(response.statusCode)} `
        response.on('data', (chunk: Buffer) => (text += chunk.toString()))
        response.on('end', () => resolve(text))
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  const query = 'Action=DescribeVpcs&Version=2016-11-15'
  t.match(await ask('PUT', {}, query), /^200 /)
  t.match(await ask('DELETE', {}, ''), /^400 .*MissingAction/s)
  t.match(await ask('POST', { 'content-type': 'multipart/form-data; boundary=x' }, '--x--'), /^400 .*MissingAction/s)
  t.match(await ask('POST', { 'content-encoding': 'gzip' }, '\u001f\u0008'), /^400 .*<Code>Inv|Mis/s)
  t.match(await ask('POST', { 'x-amz-date': 'yesterday' }, query), /^401 .*AuthFailure/s)
  t.match(await ask('POST', { authorization: 'A'.repeat(10_000) }, query), /^401 .*AuthFailure/s)
  t.equal((await ec2.describeVpcs({})).Vpcs?.length, 2, 'and it goes on')
})
