/** A case's clients and groups, on whatever EC2, and their end. */
import { EC2 } from '@aws-sdk/client-ec2'
import type { EC2ClientConfig } from '@aws-sdk/client-ec2'
import { NodeHttpHandler } from '@smithy/node-http-handler'
import type { Callers, Subject, VpcKind } from '../case.ts'
import { readSettled } from './settled.ts'

export interface Surroundings {
  readonly config: EC2ClientConfig
  readonly endpoint: string
  readonly region: string
  readonly quota: number
  /** Ids of VPCs; at least one of them. */
  readonly vpcs: Readonly<Partial<Record<VpcKind, string>>>
  /** For how long reads may lag behind writes, in ms; 0 for a target whose reads do not. */
  readonly readLag: number
  readonly createGroup: (ec2: EC2, vpcId: string) => Promise<string>
  /** Takes back what the case made; called once, also after a failure. */
  readonly removeGroups: (ec2: EC2, groupIds: readonly string[]) => Promise<void>
  readonly callers?: (client: Subject['client']) => Callers
  readonly control?: Subject['control']
  /** Once it aborts, no client of a case makes another call. */
  readonly stop?: AbortSignal
}

/** Runs a case and clears away behind it. @throws what the case throws, or what clearing away met */
export async function withSubject(here: Surroundings, run: (subject: Subject) => Promise<void>): Promise<void> {
  const clients: EC2[] = []
  const groups: string[] = []
  const client = (changes: Partial<EC2ClientConfig>): EC2 => {
    const made = createClient(here, changes)
    clients.push(made)
    return made
  }
  const ec2 = client({})
  const vpcOf = (kind: VpcKind): string => {
    const vpcId = here.vpcs[kind]
    if (vpcId === undefined) throw new Error(`a case that does not say that it needs the ${kind} VPC uses it`)
    return vpcId
  }
  try {
    await run({
      ec2,
      client,
      endpoint: here.endpoint,
      region: here.region,
      quota: here.quota,
      vpcOf,
      callers: here.callers?.(client) ?? NO_CALLERS,
      async createGroup(kind) {
        const groupId = await here.createGroup(
          ec2,
          vpcOf(kind ?? (here.vpcs.other === undefined ? 'default' : 'other'))
        )
        groups.push(groupId)
        return groupId
      },
      settled: (read, satisfies) => readSettled(here.readLag, read, satisfies),
      control: here.control ?? (() => Promise.reject(new Error('a case that does not say what it needs uses control')))
    })
  } finally {
    try {
      await here.removeGroups(ec2, groups)
    } finally {
      for (const each of clients) each.destroy()
    }
  }
}

function createClient({ config, stop }: Surroundings, changes: Partial<EC2ClientConfig>): EC2 {
  const client = new EC2({
    maxAttempts: 1,
    requestHandler: new NodeHttpHandler({
      connectionTimeout: 5000,
      requestTimeout: 30_000,
      throwOnRequestTimeout: true
    }),
    ...config,
    ...changes
  })
  // Before each attempt, repeated ones too.
  client.middlewareStack.add(
    (next) => (args) => {
      stop?.throwIfAborted()
      return next(args)
    },
    { step: 'finalizeRequest', priority: 'low' }
  )
  return client
}

/** For targets where nobody else is: the name need only be new. */
export async function createNamelessGroup(ec2: EC2, VpcId: string): Promise<string> {
  const GroupName = `contract-${String(Math.random()).slice(2)}`
  const { GroupId } = await ec2.createSecurityGroup({ GroupName, Description: 'of a case', VpcId })
  return GroupId ?? ''
}

const absent = (): never => {
  throw new Error('a case that does not say that it needs another caller uses one')
}
const NO_CALLERS: Callers = { withoutPermission: absent, unknown: absent, expired: absent, withPolicy: absent }
