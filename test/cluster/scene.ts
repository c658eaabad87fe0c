/**
 * One row of the matrix in docs/proof.md as a cluster test: a namespace and a group of its own, so that many rows share a bed
 * and play at once, and what must be true of every row whatever it plays.
 */
import type { Test } from 'tap'
import type { Bed } from '../../bed/bed.ts'
import { FINALIZER, openYard, ruleOn, ruleText } from './pods.ts'
import type { Pod, Yard } from './pods.ts'
import { kubeletOf } from './kubelet.ts'
import type { Kubelet } from './kubelet.ts'

export interface Row {
  readonly name: string
  readonly play: (scene: Scene, t: Test) => Promise<void>
}

export const row = (name: string, play: Row['play']): Row => ({ name, play })

export interface AskOptions {
  readonly ports?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly spec?: Readonly<Record<string, unknown>>
}

export interface Scene {
  readonly yard: Yard
  readonly bed: Bed
  readonly namespace: string
  /** Opted in, and holding a rule of others. */
  readonly group: string
  readonly kubelet: Kubelet
  /** A pod that asks for the group; KWOK gives it addresses at once. */
  pod(name: string, options?: AskOptions): Promise<void>
  /** An annotation that asks for the group. */
  asks(ports?: string): Record<string, string>
  /** Addresses of the pod network that KWOK gives to nobody: one of each family. */
  addresses(): readonly [string, string]
  /** Waits until the rules of ours in the group are those of the pods on these ports, by the addresses that they report. */
  granted(ports: readonly string[], ...pods: readonly string[]): Promise<void>
  /** Waits until the rules of ours in the group are these, spelled as `tcp 443-443 10.64.0.1/32`. */
  holds(rules: readonly string[]): Promise<void>
  /** Rules of ours in the group now. */
  ours(): Promise<readonly string[]>
  /**
   * From the moment before `act` the rules may be revoked, and not sooner.
   * @param what rules, or names of pods: then the rules of ours that their descriptions name
   */
  ends<T>(what: readonly string[], act: () => Promise<T>): Promise<T>
  /** The rules are wanted again: from now on they may not be revoked. */
  wanted(rules: readonly string[]): void
  /** Returns once the worker has seen everything that the API server was told before this, and has acted on it. */
  caughtUp(): Promise<void>
  /** Waits until the pod is ours no more: its object is gone, or our finalizer is off it. */
  released(name: string): Promise<void>
  call(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): ReturnType<Bed['api']['call']>
}

let scenes = 0
let addresses = 0

/** Plays the rows at once, as far as `t.jobs` allows. @returns when all have ended */
export async function playRows(t: Test, bed: Bed, rows: readonly Row[]): Promise<void> {
  await Promise.all(
    rows.map(({ name, play }) =>
      t.test(name, { buffered: true }, async (t) => {
        const { scene, check } = await openScene(bed)
        await play(scene, t)
        await check(t)
      })
    )
  )
}

interface Window {
  readonly from: number
  to: number
}

async function openScene(bed: Bed): Promise<{ scene: Scene; check: (t: Test) => Promise<void> }> {
  const namespace = `row-${String(++scenes)}`
  const { api } = bed
  await api.call('POST', '/api/v1/namespaces', { metadata: { name: namespace } })
  const yard = await openYard(bed, namespace)
  const group = await yard.group()
  const foreign = await leaveForeignRule(yard, group)
  const windows = new Map<string, Window[]>()
  let beacons = 0

  const ownRules = async () => (await bed.rules(group)).filter(({ tags }) => 'sg.amazonaws.com/owner' in tags)
  const asks = (ports = 'tcp:443'): Record<string, string> => ({ [`sg.amazonaws.com/${group}`]: ports })
  const holds = async (rules: readonly string[]): Promise<void> => {
    const wanted = JSON.stringify([...rules].sort())
    let held = ''
    await yard
      .until(`rules in ${group}`, async () => (held = JSON.stringify(await scene.ours())) === wanted)
      .catch((error: unknown) => {
        throw new Error(`${group} holds ${held}, not ${wanted}`, { cause: error })
      })
  }
  const scene: Scene = {
    yard,
    bed,
    namespace,
    group,
    asks,
    holds,
    kubelet: kubeletOf(yard),
    pod: (name, { annotations = {}, ports, spec = {} } = {}) =>
      yard.pod(name, group, { annotations: { ...asks(ports), ...annotations }, spec }),
    addresses() {
      const last = ++addresses
      return [`10.64.120.${String(last)}`, `fd00:64::7fff:${last.toString(16)}`]
    },
    async granted(ports, ...pods) {
      const held = await Promise.all(pods.map((pod) => yard.addresses(pod)))
      await holds(held.flat().flatMap((address) => ports.map((port) => ruleOn(port, address))))
    },
    ours: async () => (await ownRules()).map(ruleText).sort(),
    async ends(what, act) {
      const described = what.map((name) => `bed/${namespace}/${name}`)
      const rules = (await ownRules()).filter(({ description }) => described.includes(description)).map(ruleText)
      const from = Date.now()
      for (const rule of [...rules, ...what.filter((each) => each.includes('/'))]) {
        windows.set(rule, [...(windows.get(rule) ?? []), { from, to: Infinity }])
      }
      return act()
    },
    wanted(rules) {
      for (const rule of rules)
        for (const window of windows.get(rule) ?? []) window.to = Math.min(window.to, Date.now())
    },
    async caughtUp() {
      // A watch tells in order, and a run decides about all that it was told. So a pod that comes last and goes shows it.
      const name = `beacon-${String(++beacons)}`
      const port = 60_000 + beacons
      await scene.pod(name, { ports: `tcp:${String(port)}` })
      const rules = (await yard.addresses(name)).map((ip) => ruleOn(`tcp ${String(port)}-${String(port)}`, ip))
      await yard.until(`${name} to be granted`, async () => {
        const held = await scene.ours()
        return rules.every((rule) => held.includes(rule))
      })
      await scene.ends(rules, () => yard.delete(name, '--force', '--grace-period=0'))
      await yard.until(`${name} to be revoked`, async () => {
        const held = await scene.ours()
        return !rules.some((rule) => held.includes(rule))
      })
    },
    released: (name) =>
      yard.until(`${name} to be released`, async () => {
        const pod = await yard.get(name)
        return !(pod?.metadata?.finalizers ?? []).includes(FINALIZER)
      }),
    call: (method, path, body) => api.call(method, path.replace('{ns}', namespace), body)
  }
  const check = async (t: Test): Promise<void> => {
    await holds([])
    await yard.until('no ended pod to be held', async () => !(await yard.pods()).some(isHeld))
    const left = (await bed.rules(group)).map(({ ruleId }) => ruleId)
    t.same(left, [foreign], 'the rule of others is untouched')
    t.same(await revokedInVain(bed, group, windows), [], 'nothing was revoked that was wanted')
  }
  return { scene, check }
}

const isHeld = ({ metadata }: Pod): boolean =>
  metadata?.deletionTimestamp !== undefined && metadata.finalizers?.includes(FINALIZER) === true

async function leaveForeignRule({ bed, ec2 }: Yard, groupId: string): Promise<string> {
  const office = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '192.0.2.0/24' }] }
  await ec2.authorizeSecurityGroupIngress({ GroupId: groupId, IpPermissions: [office] })
  const [rule] = await bed.rules(groupId)
  return rule?.ruleId ?? ''
}

/** Successful revocations, as EC2 logged them, of rules whose claim had not ended when the call was made. */
async function revokedInVain(
  bed: Bed,
  group: string,
  windows: ReadonlyMap<string, readonly Window[]>
): Promise<string[]> {
  const calls = (await bed.calls()).filter(
    ({ accessKey, action, code, groupId }) =>
      groupId === group && action === 'RevokeSecurityGroupIngress' && code === '' && accessKey === 'bed-worker'
  )
  return calls.flatMap(({ rules, startedAt }) =>
    rules
      .map(ruleText)
      .filter((rule) => !(windows.get(rule) ?? []).some(({ from, to }) => from <= startedAt && startedAt <= to))
      .map((rule) => `${rule} at ${new Date(startedAt).toISOString()}`)
  )
}
