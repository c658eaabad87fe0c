/** For tests: a living pod that asks for tcp 443 in one group, tweaked. Pure. */
import { parseAnnotations } from '../shared/annotation.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import type { PodView } from './desired.ts'
import type { ObservedPod } from './pods.ts'

export const GROUP = 'sg-0123456789abcdef0' as SecurityGroupId
export const OTHER_GROUP = 'sg-1a2b3c4d' as SecurityGroupId

export function asking(value: string, groupId: SecurityGroupId = GROUP): ObservedPod['declaration'] {
  return parseAnnotations({ [`sg.amazonaws.com/${groupId}`]: value })
}

export function podOf(uid: string, tweak: Partial<ObservedPod> = {}): ObservedPod {
  return {
    namespace: 'web',
    name: `pod-${uid}`,
    uid,
    createdAt: 1000,
    startedAt: 1000,
    deletionTimestamp: undefined,
    gracePeriodSeconds: undefined,
    phase: 'Running',
    hostNetwork: false,
    nodeName: 'node-0',
    serviceAccountName: 'default',
    addresses: ['10.64.0.7'],
    declaration: asking('tcp:443'),
    annotated: true,
    gated: false,
    labelled: true,
    finalized: true,
    heldByFinalizer: true,
    containersTerminatedAt: undefined,
    condition: undefined,
    ...tweak
  }
}

export function viewOf(pod: ObservedPod, tweak: Partial<PodView> = {}): PodView {
  return { pod, addresses: pod.addresses, end: undefined, ...tweak }
}
