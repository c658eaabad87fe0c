/** A simulator of one test's own, with the real SDK and the control surface to speak to it. */
import { EC2 } from '@aws-sdk/client-ec2'
import type { IpPermission } from '@aws-sdk/client-ec2'
import type { Test } from 'tap'
import type { LoggedCall } from './state/calls.ts'
import { serveSimulator } from './serve.ts'

export interface Trial {
  readonly endpoint: string
  readonly ec2: EC2
  /** A client with another access key. */
  readonly clientOf: (accessKeyId: string) => EC2
  /** A new group, in the VPC that is not the default unless another is named. */
  readonly createGroup: (vpcId?: string) => Promise<string>
  /** @throws Error when the answer is not 200 */
  readonly control: (method: string, path: string, body?: unknown) => Promise<unknown>
  readonly calls: () => Promise<readonly LoggedCall[]>
  /** The ingress rules of a group as `tcp 443-443 10.0.0.1/32`, in the order of creation. */
  readonly rulesOf: (groupId: string) => Promise<readonly string[]>
}

/** Ended with the test. The SDK does not retry, so that every answer is seen. */
export async function startTrial(t: Test): Promise<Trial> {
  const defects: unknown[] = []
  const server = await serveSimulator({ port: 0, onDefect: (error) => defects.push(error) })
  const clients: EC2[] = []
  t.teardown(async () => {
    for (const client of clients) client.destroy()
    await server.close()
    if (defects.length > 0) throw new AggregateError(defects, 'the simulator met defects of its own')
  })
  const clientOf = (accessKeyId: string): EC2 => {
    const client = new EC2({
      region: 'eu-west-1',
      endpoint: server.endpoint,
      maxAttempts: 1,
      credentials: { accessKeyId, secretAccessKey: 'not-a-secret' }
    })
    clients.push(client)
    return client
  }
  const ec2 = clientOf('AKIATRIAL')
  const control = (method: string, path: string, body?: unknown): Promise<unknown> =>
    callControl(server.endpoint, method, path, body)
  return {
    endpoint: server.endpoint,
    ec2,
    clientOf,
    control,
    createGroup: async (vpcId = 'vpc-0abc0000000000002') => {
      const created = await ec2.createSecurityGroup({
        GroupName: `trial-${String(Math.random()).slice(2)}`,
        Description: 'of a test',
        VpcId: vpcId
      })
      return created.GroupId ?? ''
    },
    calls: async () => ((await control('GET', 'calls')) as { calls: readonly LoggedCall[] }).calls,
    rulesOf: async (groupId) => {
      const { groups } = (await control('GET', 'groups')) as { groups: readonly ListedGroup[] }
      const rules = groups.find((group) => group.groupId === groupId)?.rules ?? []
      return rules.map(({ protocol, fromPort, toPort, cidr }) => `${protocol} ${fromPort}-${toPort} ${cidr}`)
    }
  }
}

interface ListedGroup {
  readonly groupId: string
  readonly rules: readonly { protocol: string; fromPort: number; toPort: number; cidr: string }[]
}

async function callControl(endpoint: string, method: string, path: string, body?: unknown): Promise<unknown> {
  const init = body === undefined ? { method } : { method, body: JSON.stringify(body) }
  const response = await fetch(`${endpoint}/_sim/${path}`, init)
  const text = await response.text()
  if (response.status !== 200) throw new Error(`${method} ${path}: ${String(response.status)} ${text}`)
  return JSON.parse(text)
}

export interface Refused {
  readonly code: string
  readonly message: string
  readonly status: number | undefined
}

/** What EC2 refused the call with. @throws Error when it did not */
export async function refusal(call: Promise<unknown>): Promise<Refused> {
  try {
    await call
  } catch (error) {
    const { name, message, $metadata } = error as Error & { readonly $metadata?: { readonly httpStatusCode?: number } }
    return { code: name, message, status: $metadata?.httpStatusCode }
  }
  throw new Error('the call was not refused')
}

/** The code alone. */
export const codeOf = async (call: Promise<unknown>): Promise<string> => (await refusal(call)).code

/** tcp on one port from each of the CIDRs. */
export const tcp = (port: number, ...cidrs: readonly string[]): IpPermission => ({
  IpProtocol: 'tcp',
  FromPort: port,
  ToPort: port,
  IpRanges: cidrs.filter((cidr) => !cidr.includes(':')).map((CidrIp) => ({ CidrIp })),
  Ipv6Ranges: cidrs.filter((cidr) => cidr.includes(':')).map((CidrIpv6) => ({ CidrIpv6 }))
})

/** 10.0.0.0/32 and the following. */
export const hosts = (count: number, start = 0): readonly string[] =>
  Array.from({ length: count }, (_, i) => `10.0.${String((start + i) >> 8)}.${String((start + i) & 255)}/32`)

/** Headers as the SDKs sign them; the simulator does not verify the signature. @param at ms since 1970 */
export const signedHeaders = (at = Date.now()): Record<string, string> => ({
  'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
  'x-amz-date': new Date(at).toISOString().replace(/[-:]|\.\d{3}/g, ''),
  authorization:
    'AWS4-HMAC-SHA256 Credential=AKIATRIAL/20260101/eu-west-1/ec2/aws4_request, ' +
    `SignedHeaders=host;x-amz-date, Signature=${'0'.repeat(64)}`
})
