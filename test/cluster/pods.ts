/** For cluster tests: groups, pods and questions about them, in words of the tests. */
import { EC2 } from '@aws-sdk/client-ec2'
import { eventually, KubeError } from '../../bed/bed.ts'
import type { Bed, KubeObject } from '../../bed/bed.ts'

export const FINALIZER = 'sg.amazonaws.com/revoke-rules'
export const LABEL = 'sg.amazonaws.com/managed'
const CONDITION = 'sg.amazonaws.com/rules-in-effect'

/** Milliseconds that anything may take before a test gives up; no test asserts how long it took. */
const LIMIT = 60_000
/** Milliseconds between two looks. */
const EVERY = 100

export interface Pod extends KubeObject {
  readonly metadata?: KubeObject['metadata'] & {
    readonly deletionGracePeriodSeconds?: number
    readonly creationTimestamp?: string
  }
  readonly spec?: { readonly nodeName?: string; readonly containers?: readonly { readonly name: string }[] }
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
  readonly namespace: string
  /** A new group, opted in unless told otherwise. */
  group(optedIn?: boolean): Promise<string>
  /** A running pod that asks for the group, unless `annotations` say otherwise; of one that is there, the annotations are set. */
  pod(name: string, groupId: string, options?: PodOptions): Promise<void>
  get(name: string): Promise<Pod | undefined>
  pods(): Promise<readonly Pod[]>
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
  until(what: string, isSo: () => Promise<boolean>, within?: number): Promise<void>
}

/** The rule as the tests spell it. */
export const ruleText = (rule: { protocol: string; fromPort: number; toPort: number; cidr: string }): string =>
  `${rule.protocol} ${String(rule.fromPort)}-${String(rule.toPort)} ${rule.cidr}`

/** @param ports such as `tcp 443-443` */
export const ruleOn = (ports: string, address: string): string =>
  `${ports} ${address}/${address.includes(':') ? '128' : '32'}`

let groups = 0

/**
 * Lets every pod of the namespace use every group, for permission has tests of its own. The namespace must exist, and is
 * ready for pods when this returns.
 */
export async function openYard(bed: Bed, namespace = 'default'): Promise<Yard> {
  const {
    AWS_ACCESS_KEY_ID: accessKeyId = '',
    AWS_REGION: region = '',
    AWS_SECRET_ACCESS_KEY: secretAccessKey = '',
    CLUSTER_ID = ''
  } = bed.env
  const ec2 = new EC2({ region, endpoint: bed.ec2Url, credentials: { accessKeyId, secretAccessKey } })
  await permitAll(bed, namespace)
  const path = `/api/v1/namespaces/${namespace}/pods`
  const until = async (what: string, isSo: () => Promise<boolean>, within = LIMIT): Promise<void> => {
    await eventually(what, async () => (await isSo()) || undefined, { within, every: EVERY })
  }
  const get = async (name: string): Promise<Pod | undefined> => {
    try {
      return await bed.api.call('GET', `${path}/${name}`)
    } catch (error) {
      if (error instanceof KubeError && error.status === 404) return undefined
      throw error
    }
  }
  const rules = async (groupId: string): Promise<readonly string[]> => (await bed.rules(groupId)).map(ruleText).sort()
  const addresses = (name: string): Promise<readonly string[]> =>
    eventually(
      `${name} to have addresses`,
      async () => {
        const ips = (await get(name))?.status?.podIPs ?? []
        return ips.length === 0 ? undefined : ips.map(({ ip }) => ip)
      },
      { within: LIMIT, every: EVERY }
    )
  const kubectl = async (...args: readonly string[]): Promise<void> => {
    const answer = await bed.kubectl(['-n', namespace, ...args])
    if (answer.code !== 0) throw new Error(`kubectl ${args.join(' ')}: ${answer.stderr}`)
  }
  return {
    bed,
    ec2,
    namespace,
    get,
    rules,
    addresses,
    until,
    pods: async () => ((await bed.api.call('GET', path)) as unknown as { items: Pod[] }).items,
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
      const metadata = { name, annotations: annotations ?? { [`sg.amazonaws.com/${groupId}`]: ports } }
      const containers = [{ name: 'app', image: 'example.com/app' }]
      try {
        await bed.api.call('POST', path, { metadata, spec: { containers, ...spec } })
      } catch (error) {
        if (!(error instanceof KubeError) || error.reason !== 'AlreadyExists') throw error
        await bed.api.patch(`${path}/${name}`, { metadata: { annotations: metadata.annotations } })
      }
    },
    async granted(groupId, ports, ...pods) {
      const wanted: string[] = []
      for (const pod of pods) {
        for (const address of await addresses(pod)) for (const port of ports) wanted.push(ruleOn(port, address))
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
        { within: LIMIT, every: EVERY }
      ),
    event: (name, reason) =>
      eventually(
        `an Event ${reason} on ${name}`,
        async () => {
          const query = `fieldSelector=${encodeURIComponent(`involvedObject.name=${name},reason=${reason}`)}`
          const answer = await bed.api.call('GET', `/api/v1/namespaces/${namespace}/events?${query}`)
          const [event] = (answer as unknown as { items: { message: string }[] }).items
          return event?.message
        },
        { within: LIMIT, every: 2 * EVERY }
      ),
    gone: (name) => until(`pod ${name} to be gone`, async () => (await get(name)) === undefined),
    async delete(name, ...flags) {
      if (flags.length > 0) await kubectl('delete', 'pod', name, '--wait=false', ...flags)
      else await bed.api.call('DELETE', `${path}/${name}`)
    },
    async patch(name, patch, subresource) {
      await bed.api.patch(`${path}/${name}${subresource === undefined ? '' : `/${subresource}`}`, patch)
    }
  }
}

/** Lets every service account of the namespace use every group, and waits until the API server knows it. */
async function permitAll({ api }: Bed, namespace: string): Promise<void> {
  const rbac = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`
  const group = 'sg.amazonaws.com'
  const metadata = { name: 'use-all', namespace }
  const subjects = [
    { kind: 'Group', name: `system:serviceaccounts:${namespace}`, apiGroup: 'rbac.authorization.k8s.io' }
  ]
  const roleRef = { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'use-all' }
  await api.call('POST', `${rbac}/roles`, {
    metadata,
    rules: [{ apiGroups: [group], resources: ['securitygroups'], verbs: ['use'] }]
  })
  await api.call('POST', `${rbac}/rolebindings`, { metadata, roleRef, subjects })
  const review = {
    user: `system:serviceaccount:${namespace}:default`,
    groups: [`system:serviceaccounts:${namespace}`],
    resourceAttributes: { group, resource: 'securitygroups', name: 'sg-12345678', namespace, verb: 'use' }
  }
  await eventually(
    `permission in namespace ${namespace}`,
    async () => {
      await api.call('GET', `/api/v1/namespaces/${namespace}/serviceaccounts/default`)
      const answer = await api.call('POST', '/apis/authorization.k8s.io/v1/subjectaccessreviews', { spec: review })
      return (answer.status as { allowed: boolean }).allowed || undefined
    },
    { within: LIMIT, every: EVERY }
  )
}

/** Of a lease that nobody is to lose, however slow the machine is. */
export const STEADY = { LEASE_DURATION: '20s', RENEW_DEADLINE: '15s', RETRY_PERIOD: '3s' }

/** Short enough that a test need not wait for minutes; their meaning stays. */
export const QUICK = {
  SWEEP_INTERVAL: '3s',
  EC2_READ_LAG: '1s',
  LEASE_DURATION: '5s',
  RENEW_DEADLINE: '4s',
  RETRY_PERIOD: '700ms'
}
