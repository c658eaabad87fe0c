/** A real account as a target. Only groups of the run's own are written to. */
import type { EC2, EC2ClientConfig } from '@aws-sdk/client-ec2'
import { setTimeout as delay } from 'node:timers/promises'
import type { Callers, Capability, VpcKind } from '../case.ts'
import { removeGroups, RUN_TAG } from '../janitor.ts'
import type { Identity } from '../settings.ts'
import type { Target } from '../suite.ts'
import { withSubject } from './subject.ts'

export interface AccountOptions {
  /** For what must go on after an interruption. */
  readonly janitor: EC2
  readonly config: EC2ClientConfig
  readonly endpoint: string
  readonly region: string
  readonly vpcs: Readonly<Partial<Record<VpcKind, string>>>
  readonly quota: number
  /** ms */
  readonly readLag: number
  readonly run: string
  /** Keys of a user who may do nothing. */
  readonly denied: Identity | undefined
  /** Ends the clients of the case that runs when it aborts. */
  readonly stop: AbortSignal
}

export function accountTarget(options: AccountOptions): Target {
  const { denied, readLag, run } = options
  let made = 0
  return {
    name: 'aws',
    capabilities: new Set(capabilitiesOf(options)),
    withSubject: (runCase) =>
      withSubject(
        {
          ...options,
          async createGroup(ec2, VpcId) {
            const { GroupId = '' } = await ec2.createSecurityGroup({
              GroupName: `${RUN_TAG}-${run}-${String(++made)}`,
              Description: 'of a test run of kube-sg, removed by it',
              VpcId,
              TagSpecifications: [{ ResourceType: 'security-group', Tags: [{ Key: RUN_TAG, Value: run }] }]
            })
            await waitForGroup(ec2, GroupId, readLag)
            return GroupId
          },
          // What is kept is found again by its tag at the end of the run, and told then.
          removeGroups: async (_, groupIds) => {
            await removeGroups(options.janitor, groupIds, readLag)
          },
          callers: (client): Callers => ({
            withoutPermission: () => (denied === undefined ? absent() : client({ credentials: denied })),
            unknown: () => client({ credentials: UNKNOWN }),
            expired: absent,
            withPolicy: absent
          })
        },
        runCase
      )
  }
}

const capabilitiesOf = ({ vpcs, denied }: AccountOptions): readonly Capability[] => [
  ...(vpcs.default === undefined ? [] : ['a default VPC' as const]),
  ...(vpcs.other === undefined ? [] : ['a VPC that is not the default' as const]),
  ...(denied === undefined ? [] : ['a caller without permission' as const]),
  'unknown credentials'
]

/** The shape of an access key, and nobody's: AWS's own example. */
const UNKNOWN: Identity = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'not-a-secret' }

const absent = (): never => {
  throw new Error('a case that does not say that it needs another caller uses one')
}

/** A new group may be unknown for some seconds. @throws Error when it stays so */
async function waitForGroup(ec2: EC2, groupId: string, readLag: number): Promise<void> {
  const Filters = [{ Name: 'group-id', Values: [groupId] }]
  for (let attempt = 1; attempt <= 30; attempt++) {
    const { SecurityGroupRules = [] } = await ec2.describeSecurityGroupRules({ Filters })
    if (SecurityGroupRules.length > 0) return
    await delay(Math.min(1000, readLag))
  }
  throw new Error(`group ${groupId} was created and is not to be seen`)
}
