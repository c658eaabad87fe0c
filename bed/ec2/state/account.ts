/** The account as it is at start: a default and another VPC, each with its default group. Pure. */
import type { HexSource } from './ids.ts'
import type { SecurityGroup, Vpc } from './rule.ts'
import type { Store } from './store.ts'
import { createStore } from './store.ts'

/** Ids that never change, so that scripts may name them; DescribeVpcs tells which is the default. */
export const DEFAULT_VPC_ID = 'vpc-0def0000000000001'
export const OTHER_VPC_ID = 'vpc-0abc0000000000002'
export const DEFAULT_GROUP_ID = 'sg-0def0000000000001'
export const OTHER_DEFAULT_GROUP_ID = 'sg-0abc0000000000002'

export function createAccount(hex: HexSource, now: number): Store {
  const store = createStore()
  addVpc(store, hex, now, DEFAULT_VPC_ID, DEFAULT_GROUP_ID, '172.31.0.0/16', true)
  addVpc(store, hex, now, OTHER_VPC_ID, OTHER_DEFAULT_GROUP_ID, '10.64.0.0/16', false)
  return store
}

/** A default group lets its own members in and everything out. https://docs.aws.amazon.com/vpc/latest/userguide/default-security-group.html */
function addVpc(
  store: Store,
  hex: HexSource,
  now: number,
  vpcId: string,
  groupId: string,
  cidr: string,
  isDefault: boolean
): void {
  const vpc: Vpc = { vpcId, cidr, isDefault, tags: new Map(), sequence: store.nextSequence() }
  const group: SecurityGroup = {
    groupId,
    groupName: 'default',
    description: 'default VPC security group',
    vpcId,
    tags: new Map(),
    sequence: store.nextSequence()
  }
  store.putVpc(vpc)
  store.putGroup(group, now)
  for (const isEgress of [false, true]) {
    store.putRule(
      {
        ruleId: `sgr-0${hex()}`,
        groupId,
        isEgress,
        protocol: '-1',
        fromPort: -1,
        toPort: -1,
        source: isEgress ? { kind: 'ipv4', value: '0.0.0.0/0' } : { kind: 'group', value: groupId },
        description: undefined,
        tags: new Map(),
        sequence: store.nextSequence()
      },
      now
    )
  }
}
