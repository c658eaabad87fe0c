/** What a bed is made of. Pure. */

export type Settings = Readonly<Record<string, string>>

export interface BedOptions {
  /** Unique among beds; the folder `.run/<name>/` unless `directory` says otherwise. */
  readonly name?: string
  readonly directory?: string
  /** Replicas of the webhook; 2. */
  readonly webhooks?: number
  /** Replicas of the worker; 2. */
  readonly workers?: number
  /** Environment variables on top of those of the manifests and the bed. */
  readonly settings?: { readonly webhook?: Settings; readonly worker?: Settings; readonly certs?: Settings }
  /** False for a bare control plane, without manifests, EC2 and processes of ours; true. */
  readonly product?: boolean
  /** Whether the policies of manifests/backstop/ are applied too, and with them webhooks that may fail; false. */
  readonly backstop?: boolean
  /** Whether the API server writes what it is asked about pods, by whom and how it went, into its audit log; false. */
  readonly audit?: boolean
  /** Whether pods run; true. */
  readonly kwok?: boolean
  /** Whether the EC2 simulator runs; as `product`. */
  readonly ec2?: boolean
  readonly clusterId?: string
  /** Milliseconds from a replica's /readyz to the balancer heeding it, as endpoints and kube-proxy take; 200. */
  readonly balancerDelay?: number
}

/** Options with every choice made. */
export interface BedPlan {
  readonly name: string
  readonly directory: string
  readonly webhooks: number
  readonly workers: number
  readonly settings: { readonly webhook: Settings; readonly worker: Settings; readonly certs: Settings }
  readonly product: boolean
  readonly backstop: boolean
  readonly audit: boolean
  readonly kwok: boolean
  readonly ec2: boolean
  readonly clusterId: string
  readonly balancerDelay: number
}

/** @throws Error when the options contradict each other */
export function planBed(options: BedOptions & { readonly name: string; readonly directory: string }): BedPlan {
  const product = options.product ?? true
  checkName(options.name)
  if (product && options.ec2 === false) throw new Error('a bed with the product needs ec2')
  return {
    name: options.name,
    directory: options.directory,
    webhooks: product ? (options.webhooks ?? 2) : 0,
    workers: product ? (options.workers ?? 2) : 0,
    settings: {
      webhook: options.settings?.webhook ?? {},
      worker: options.settings?.worker ?? {},
      certs: options.settings?.certs ?? {}
    },
    product,
    backstop: product && (options.backstop ?? false),
    audit: options.audit ?? false,
    kwok: options.kwok ?? true,
    ec2: options.ec2 ?? product,
    clusterId: options.clusterId ?? 'bed',
    balancerDelay: options.balancerDelay ?? 200
  }
}

/** A bed's name becomes a folder. @throws Error saying what it may be */
export function checkName(name: string): void {
  if (/^[a-z0-9][a-z0-9-]{0,40}$/.test(name)) return
  throw new Error(`'${name}' cannot name a bed: use up to 41 of a-z, 0-9 and dashes`)
}
