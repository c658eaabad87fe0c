import t from 'tap'
import { createNetwork } from '../shared/address.ts'
import { desire } from './desired.ts'
import type { PodView, Surroundings } from './desired.ts'
import type { ObservedPod } from './pods.ts'
import { asking, GROUP, podOf, viewOf } from './podFixture.ts'

const around: Surroundings = {
  holder: () => 'a',
  permission: () => 'granted',
  optIn: 'granted',
  exists: true,
  optInTag: 'sg.amazonaws.com/cluster/demo',
  podNetwork: createNetwork(['10.64.0.0/16', 'fd00:64::/64']),
  nodeAddresses: new Set(['10.64.9.9'])
}
const RULE = 'tcp 443-443 10.64.0.7/32'
interface Case {
  readonly name: string
  readonly pod?: Partial<ObservedPod>
  readonly view?: Partial<PodView>
  readonly around?: Partial<Surroundings>
  readonly claims: Record<string, boolean>
  readonly refused?: string[]
}
const cases: Case[] = [
  { name: 'a living pod claims its rule', claims: { [RULE]: true } },
  { name: 'an ended pod claims nothing', view: { end: { at: 1, reason: 'terminal' } }, claims: {} },
  {
    name: 'without our finalizer nothing new is made, and nothing taken',
    pod: { finalized: false },
    claims: { [RULE]: false }
  },
  { name: 'hostNetwork gets nothing', pod: { hostNetwork: true }, claims: {}, refused: ['HostNetworkRefused'] },
  { name: "a node's address gets nothing", pod: { addresses: ['10.64.9.9'] }, claims: {}, refused: ['AddressRefused'] },
  {
    name: 'an address outside of the pod network gets nothing',
    pod: { addresses: ['10.65.0.1'] },
    claims: {},
    refused: ['AddressRefused']
  },
  {
    name: 'who lost the address gets nothing',
    around: { holder: () => 'b' },
    claims: {},
    refused: ['AddressConflict']
  },
  {
    name: 'a group that is not there',
    around: { exists: false },
    claims: { [RULE]: false },
    refused: ['SecurityGroupNotFound']
  },
  {
    name: 'a group that could not be read yet',
    around: { optIn: 'unknown', exists: undefined },
    claims: { [RULE]: false },
    refused: ['EC2Unavailable']
  },
  {
    name: 'an opt-in denied once takes nothing away',
    around: { optIn: 'keep' },
    claims: { [RULE]: false },
    refused: ['SecurityGroupNotOptedIn']
  },
  {
    name: 'an opt-in denied for good does',
    around: { optIn: 'refused' },
    claims: {},
    refused: ['SecurityGroupNotOptedIn']
  },
  {
    name: 'permission denied once',
    around: { permission: () => 'keep' },
    claims: { [RULE]: false },
    refused: ['NotPermitted']
  },
  {
    name: 'permission denied for good',
    around: { permission: () => 'refused' },
    claims: {},
    refused: ['NotPermitted']
  },
  {
    name: 'permission that could not be asked',
    around: { permission: () => 'unknown' },
    claims: { [RULE]: false },
    refused: ['PermissionUnknown']
  },
  {
    name: 'both families, and icmp only for its own',
    pod: { addresses: ['10.64.0.7', 'fd00:64::7'], declaration: asking('tcp:443,icmp,icmpv6') },
    claims: {
      [RULE]: true,
      'tcp 443-443 fd00:64::7/128': true,
      'icmp -1--1 10.64.0.7/32': true,
      'icmpv6 -1--1 fd00:64::7/128': true
    }
  }
]
for (const { name, pod, view, around: tweak, claims, refused } of cases) {
  t.test(name, async (t) => {
    const desired = desire(GROUP, [viewOf(podOf('a', pod), view)], { ...around, ...tweak })
    t.same(Object.fromEntries([...desired.claims].map(([key, { authorizable }]) => [key, authorizable])), claims)
    t.same(
      desired.refusals.map(({ reason }) => reason),
      refused ?? []
    )
  })
}
