/**
 * Pods that come, change their mind and end in many ways, for tests under churn; and a ledger of which rule was wanted when, to be
 * held against EC2's log of calls.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { SimulatedCall } from '../../bed/simulator.ts'
import { kubeletOf } from './kubelet.ts'
import { FINALIZER, ruleOn, ruleText } from './pods.ts'
import type { Pod, Yard } from './pods.ts'

/** A rule that a living pod wanted from the one moment to the other, milliseconds since 1970. */
interface Want {
  readonly member: Member
  readonly groupId: string
  readonly rule: string
  readonly from: number
  to: number
}

interface Member {
  readonly name: string
  readonly groupId: string
  ports: readonly number[]
  /** Since it was seen with addresses, by its ports. */
  wants: Want[]
  addresses: readonly string[]
  /** It is being ended: whatever failed of that is tried again. */
  end: Ending | undefined
  /** The API server has agreed to its end. */
  ended: boolean
  busy: boolean
}

type Ending = 'delete' | 'force' | 'complete' | 'evict'
const ENDINGS: readonly Ending[] = ['delete', 'force', 'complete', 'evict']

export interface Crowd {
  /** Pods made so far. */
  made(): number
  /** Ends all that live, and returns once they have gone. */
  disperse(): Promise<void>
  /** Stops coming, going and changing, for good. */
  rest(): Promise<void>
  /** What the groups should hold of ours, by what the API server says of its pods: `group rule`. */
  expected(): Promise<readonly string[]>
  /** Pods that our finalizer holds although they have ended. */
  held(): Promise<readonly string[]>
  /** Revocations of the worker that took a rule which a living pod wanted. */
  revokedInVain(calls: readonly SimulatedCall[]): readonly string[]
}

/** How long the containers of a deleted pod go on, milliseconds. */
const DRAIN = 5000
const LOOK_EVERY = 250
const ACT_EVERY = 150

/**
 * Begins at once. Whatever the API server refuses or leaves unanswered is tried again.
 * @param most how many live at once
 * @param random from 0 to 1
 */
export function gatherCrowd(yard: Yard, groupIds: readonly string[], most: number, random: () => number): Crowd {
  const members = new Map<string, Member>()
  const wants: Want[] = []
  const kubelet = kubeletOf(yard)
  let made = 0
  let port = 1000
  let stopped = false
  const pick = <T>(from: readonly T[]): T => {
    const found = from[Math.floor(random() * from.length)]
    if (found === undefined) throw new Error('nothing to pick from')
    return found
  }
  const spelled = (ports: readonly number[]): string => ports.map((each) => `tcp:${String(each)}`).join(',')
  const begin = (member: Member): void => {
    const from = Date.now()
    const begun = member.ports.flatMap((each) =>
      member.addresses.map((address) => ({
        ...{ member, groupId: member.groupId, from, to: Infinity },
        rule: ruleOn(`tcp ${String(each)}-${String(each)}`, address)
      }))
    )
    const fresh = begun.filter(({ rule }) => !member.wants.some((want) => want.rule === rule))
    member.wants.push(...fresh)
    wants.push(...fresh)
  }
  const close = (member: Member, at: number, ports?: readonly number[]): void => {
    for (const want of member.wants) {
      const kept = ports?.some((each) => want.rule.startsWith(`tcp ${String(each)}-`)) === true
      if (!kept) want.to = Math.min(want.to, at)
    }
  }

  /** An address is known once it is seen; a pod that is seen no more has gone. */
  const look = async (): Promise<void> => {
    const pods = new Map((await yard.pods()).map((pod) => [pod.metadata?.name ?? '', pod]))
    for (const member of members.values()) {
      const pod = pods.get(member.name)
      const addresses = pod?.status?.podIPs?.map(({ ip }) => ip) ?? []
      if (member.end === undefined && member.addresses.length === 0 && addresses.length > 0) {
        member.addresses = addresses
        begin(member)
      }
      if (member.end !== undefined && pod === undefined) members.delete(member.name)
    }
  }

  const come = async (): Promise<void> => {
    const name = `churn-${String(++made)}`
    const groupId = pick(groupIds)
    // One port is everybody's, so that an address given out again may bring the same rule again.
    const unborn = { wants: [], addresses: [], end: undefined, ended: false, busy: false }
    const member: Member = { ...unborn, name, groupId, ports: [443] }
    const annotations = {
      [`sg.amazonaws.com/${groupId}`]: spelled(member.ports),
      'pod-terminate.stage.kwok.x-k8s.io/delay': `${String(DRAIN)}ms`
    }
    members.set(name, member)
    await yard.pod(name, groupId, { annotations })
  }

  const change = async (member: Member): Promise<void> => {
    const before = member.ports
    // Never two neighbours, which would be one range.
    port += 2
    const after = random() < 0.5 ? [443, port] : [...before.slice(-1), port]
    close(member, Date.now(), after)
    const annotations = { [`sg.amazonaws.com/${member.groupId}`]: spelled(after) }
    await yard.patch(member.name, { metadata: { annotations } })
    member.ports = after
    // A port that was given up is never asked for again: a revocation under way would be right, and look wrong.
    begin(member)
  }

  const end = async (member: Member): Promise<void> => {
    const ending = (member.end ??= pick(ENDINGS))
    close(member, Date.now() + (ending === 'delete' || ending === 'evict' ? DRAIN : 0))
    const { name } = member
    const path = `/api/v1/namespaces/${yard.namespace}/pods/${name}`
    if ((await yard.get(name)) === undefined) {
      member.ended = true
      return
    }
    if (ending === 'complete') await kubelet.finish(name, 'Succeeded')
    if (ending === 'evict') {
      await yard.bed.api.call('POST', `${path}/eviction`, {
        ...{ apiVersion: 'policy/v1', kind: 'Eviction' },
        metadata: { name, namespace: yard.namespace }
      })
    } else await yard.bed.api.call('DELETE', path, ending === 'force' ? { gracePeriodSeconds: 0 } : undefined)
    member.ended = true
  }

  const act = async (): Promise<void> => {
    const free = [...members.values()].filter(({ busy }) => !busy)
    const living = free.filter((member) => member.end === undefined)
    const served = living.filter(({ addresses }) => addresses.length > 0)
    const failed = free.filter((member) => member.end !== undefined && !member.ended)
    if (failed.length > 0 && random() < 0.5) return work(pick(failed), end)
    if (living.length < most && members.size < 3 * most && (served.length === 0 || random() < 0.6)) return come()
    if (served.length > 0) return work(pick(served), random() < 0.3 ? change : end)
  }
  const work = async (member: Member, verb: (member: Member) => Promise<void>): Promise<void> => {
    member.busy = true
    try {
      await verb(member)
    } catch (error) {
      // It may have happened or not. So it is ended, and until then nothing is asked of its rules.
      close(member, Date.now() - 1)
      for (const want of member.wants) want.to = Math.min(want.to, want.from)
      member.end ??= 'force'
      throw error
    } finally {
      member.busy = false
    }
  }

  const loop = async (verb: () => Promise<void>, every: number): Promise<void> => {
    while (!stopped) {
      // The API server is away at times; that is what this is about.
      await verb().catch(() => undefined)
      await sleep(every)
    }
  }
  const looking = loop(look, LOOK_EVERY)
  const acting = [loop(act, ACT_EVERY), loop(act, ACT_EVERY)]

  const rest = async (): Promise<void> => {
    stopped = true
    await Promise.all([looking, ...acting])
    // Pods whose making or end was left unanswered.
    for (const member of [...members.values()].filter(({ end, ended }) => end !== undefined && !ended))
      await end(member).catch(() => undefined)
    await look()
  }
  return {
    made: () => made,
    rest,
    async disperse() {
      for (const member of members.values()) {
        member.end = 'force'
        await end(member)
      }
      await yard.until('all pods to be gone', async () => (await yard.pods()).length === 0)
    },
    expected: async () => (await yard.pods()).filter(isLiving).flatMap(wantedBy).sort(),
    held: async () =>
      (await yard.pods())
        .filter((pod) => !isLiving(pod) && (pod.metadata?.finalizers ?? []).includes(FINALIZER))
        .map(({ metadata }) => metadata?.name ?? ''),
    revokedInVain: (calls) =>
      calls
        .filter(
          ({ accessKey, action, code }) => accessKey === 'bed-worker' && action.startsWith('Revoke') && code === ''
        )
        .flatMap(({ endedAt, groupId, rules, startedAt }) =>
          rules
            .map(ruleText)
            .flatMap((rule) =>
              wants
                .filter(
                  (want) => want.groupId === groupId && want.rule === rule && want.from < startedAt && endedAt < want.to
                )
                .map(
                  ({ from, member, to }) =>
                    `${member.name} wanted ${rule} in ${groupId} from ${time(from)} to ${time(to)} (${String(member.end)}), ` +
                    `revoked from ${time(startedAt)} to ${time(endedAt)}`
                )
            )
        )
  }
}

const time = (at: number): string => (Number.isFinite(at) ? new Date(at).toISOString().slice(11, 23) : 'now')

const isLiving = ({ metadata, status }: Pod): boolean =>
  metadata?.deletionTimestamp === undefined && status?.phase !== 'Succeeded' && status?.phase !== 'Failed'

function wantedBy({ metadata, status }: Pod): string[] {
  return Object.entries(metadata?.annotations ?? {})
    .filter(([key]) => key.startsWith('sg.amazonaws.com/'))
    .flatMap(([key, value]) =>
      value.split(',').flatMap((item) => {
        const port = item.replace('tcp:', '')
        return (status?.podIPs ?? []).map(
          ({ ip }) => `${key.replace('sg.amazonaws.com/', '')} ${ruleOn(`tcp ${port}-${port}`, ip)}`
        )
      })
    )
}
