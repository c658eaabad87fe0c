/** For cluster tests: groups, pods and questions about them, in words of the tests. */
import { EC2 } from '@aws-sdk/client-ec2'
import { eventually } from '../../bed/bed.ts'
import type { Bed, KubeObject } from '../../bed/bed.ts'

export const FINALIZER = 'sg.amazonaws.com/revoke-rules'
export const LABEL = 'sg.amazonaws.com/managed'
const CONDITION = 'sg.amazonaws.com/rules-in-effect'

/** Milliseconds that anything may take before a test gives up; no test asserts how long it took. */
const LIMIT = 45_000

export interface Pod extends KubeObject {
  readonly status?: {
    readonly phase?: string
    readonly podIP?: string
    readonly podIPs?: readonly { readonly ip: string }[]
    readonly conditions?: readonly {
      readonly type: string
      readonly status: string
      readonly reason?: string
      readonly message?: string
    }[]
  }
}

export interface PodOptions {
  readonly annotations?: Readonly<Record<string, string>>
  readonly spec?: Readonly<Record<string, unknown>>
  readonly ports?: string
}

export interface Yard {
  readonly bed: Bed
  readonly ec2: EC2
  /** A new group, opted in unless told otherwise. */
  group(optedIn?: boolean): Promise<string>
  /** A running pod that asks for the group, unless `annotations` say otherwise. */
  pod(name: string, groupId: string, options?: PodOptions): Promise<void>
  get(name: string): Promise<Pod | undefined>
  /** Its addresses, once it has some. */
  addresses(name: string): Promise<readonly string[]>
  /** Rules as `tcp 443-443 10.64.0.1/32`. */
  rules(groupId: string): Promise<readonly string[]>
  /** Waits until the group holds rules on these ports, for all addresses of the pods and for nothing else. */
  granted(groupId: string, ports: readonly string[], ...pods: readonly string[]): Promise<void>
  /** Waits until the group holds no rule. */
  empty(groupId: string): Promise<void>
  /** Waits until the pod's condition has this reason. @returns its message */
  reason(name: string, reason: string): Promise<string>
  /** Waits for an Event with this reason on the pod. @returns its note */
  event(name: string, reason: string): Promise<string>
  gone(name: string): Promise<void>
  delete(name: string, ...flags: readonly string[]): Promise<void>
  patch(name: string, patch: unknown, subresource?: string): Promise<void>
  until(what: string, isSo: () => Promise<boolean>): Promise<void>
}

/** Lets every pod of the namespace default use every group: permission has tests of its own. */
export async function openYard(bed: Bed): Promise<Yard> {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_REGION: region = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    CLUSTER_ID = ''
  } = bed.env
  const ec2 = new EC2({ region, endpoint: bed.ec2Url, credentials: { accessKeyId, secretAccessKey } })
  await bed.apply(PERMIT_ALL)
  let groups = 0
  const until = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
    await eventually(what, async () => (await isSo()) || undefined, { within: LIMIT })
  }
  const get = async (name: string): Promise<Pod | undefined> => {
    const answer = await bed.kubectl(['get', 'pod', name, '-o', 'json', '--ignore-not-found'])
    if (answer.code !== 0) throw new Error(answer.stderr)
    return answer.stdout === '' ? undefined : (JSON.parse(answer.stdout) as Pod)
  }
  const rules = async (groupId: string): Promise<readonly string[]> =>
    (await bed.rules(groupId))
      .map(({ protocol, fromPort, toPort, cidr }) => `${protocol} ${String(fromPort)}-${String(toPort)} ${cidr}`)
      .sort()
  const addresses = (name: string): Promise<readonly string[]> =>
    eventually(
      `${name} to have addresses`,
      async () => {
        const ips = (await get(name))?.status?.podIPs ?? []
        return ips.length === 0 ? undefined : ips.map(({ ip }) => ip)
      },
      { within: LIMIT }
    )
  const kubectl = async (...args: readonly string[]): Promise<void> => {
    const answer = await bed.kubectl(args)
    if (answer.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${answer.stderr}`)
  }
  return {
    bed,
    ec2,
    get,
    rules,
    addresses,
    until,
    async group(optedIn = true) {
      const tags = optedIn
        ? [{ Key: `sg.amazonaws.com/cluster/${CLUSTER_ID}`, Value: 'allowed' }]
        : [{ Key: 'Name', Value: 'closed' }]
      const made = await ec2.createSecurityGroup({
        GroupName: `test-${String(++groups)}-${String(Date.now())}`,
        Description: 'of a test',
        TagSpecifications: [{ ResourceType: 'security-group', Tags: tags }]
      })
      return made.GroupId ?? ''
    },
    async pod(name, groupId, { annotations, ports = 'tcp:443', spec } = {}) {
      await bed.apply({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, annotations: annotations ?? { [`sg.amazonaws.com/${groupId}`]: ports } },
        spec: { containers: [{ name: 'app', image: 'example.com/app' }], ...spec }
      })
    },
    async granted(groupId, ports, ...pods) {
      const wanted: string[] = []
      for (const pod of pods) {
        for (const address of await addresses(pod)) {
          for (const port of ports) wanted.push(`${port} ${address}/${address.includes(':') ? '128' : '32'}`)
        }
      }
      let held: readonly string[] = []
      await until(`${groupId} to hold ${wanted.sort().join(', ')}`, async () => {
        held = await rules(groupId)
        return JSON.stringify(held) === JSON.stringify(wanted)
      }).catch((error: unknown) => {
        throw new Error(`it holds ${held.join(', ') || 'nothing'}`, { cause: error })
      })
    },
    empty: (groupId) => until(`${groupId} to hold nothing`, async () => (await rules(groupId)).length === 0),
    reason: (name, reason) =>
      eventually(
        `condition of ${name} to say ${reason}`,
        async () => {
          const condition = (await get(name))?.status?.conditions?.find(({ type }) => type === CONDITION)
          return condition?.reason === reason ? (condition.message ?? '') : undefined
        },
        { within: LIMIT }
      ),
    event: (name, reason) =>
      eventually(
        `an Event ${reason} on ${name}`,
        async () => {
          const answer = await bed.kubectl([
            'get',
            'events',
            '--field-selector',
            `involvedObject.name=${name},reason=${reason}`,
            '-o',
            'json'
          ])
          const [event] = (JSON.parse(answer.stdout) as { items: { message: string }[] }).items
          return event?.message
        },
        { within: LIMIT }
      ),
    gone: (name) => until(`pod ${name} to be gone`, async () => (await get(name)) === undefined),
    delete: (name, ...flags) => kubectl('delete', 'pod', name, '--wait=false', ...flags),
    patch: (name, patch, subresource) =>
      kubectl(
        'patch',
        'pod',
        name,
        '--type=merge',
        '-p',
        JSON.stringify(patch),
        ...(subresource === undefined ? [] : [`--subresource=${subresource}`])
      )
  }
}

const PERMIT_ALL = `apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: use-all, namespace: default}
rules: [{apiGroups: [sg.amazonaws.com], resources: [securitygroups], verbs: [use]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: use-all, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: use-all}
subjects: [{kind: ServiceAccount, name: default, namespace: default}]
`

/** Short enough that a test need not wait for minutes; their meaning stays. */
export const QUICK = {
  SWEEP_INTERVAL: '3s',
  EC2_READ_LAG: '1s',
  LEASE_DURATION: '4s',
  RENEW_DEADLINE: '3s',
  RETRY_PERIOD: '500ms'
}
