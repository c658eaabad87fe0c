/** Every name that kube-sg puts into Kubernetes or EC2, once. Changing one is an upgrade that users feel. */

/** Prefix of every annotation, label and tag of ours. The name is inherited from the 2018 kube-sg; it is not Amazon's. */
export const PREFIX = 'sg.amazonaws.com/'

/** Bare annotation key of the 2018 kube-sg, still read. */
export const LEGACY_BARE_KEY = 'sg.amazonaws.com'

/** Second annotation key of the 2018 kube-sg, still read. */
export const LEGACY_INGRESS_KEY = 'sg.amazonaws.com/ingress'

/** Setting: ask for a readiness gate that holds until the rules are in effect. */
export const READINESS_GATE_KEY = 'sg.amazonaws.com/readiness-gate'

/** Keeps the pod object until its rules are gone. */
export const FINALIZER = 'sg.amazonaws.com/revoke-rules'

/** Label by which the worker watches only the pods that concern it. */
export const MANAGED_LABEL = 'sg.amazonaws.com/managed'
export const MANAGED_VALUE = 'true'

/** Pod condition, and the readiness gate of the same name. */
export const CONDITION = 'sg.amazonaws.com/rules-in-effect'

/** Tag on every rule of ours; its value is the owner, `<cluster id>/<uid of the kube-system namespace>`. */
export const OWNER_TAG = 'sg.amazonaws.com/owner'

/** Tag by which the owner of a security group lets a cluster edit it; its value is {@link OPT_IN_VALUE}. */
export const optInTag = (clusterId: string): string => `sg.amazonaws.com/cluster/${clusterId}`
export const OPT_IN_VALUE = 'allowed'

/** The virtual resource on which RBAC grants a service account the use of a security group. */
export const PERMISSION = { verb: 'use', group: 'sg.amazonaws.com', resource: 'securitygroups' } as const

export const NAMESPACE = 'kube-sg'
export const WEBHOOK_SERVICE = 'kube-sg-webhook'
export const WEBHOOK_CONFIGURATION = 'kube-sg'
export const TLS_SECRET = 'kube-sg-webhook-tls'
export const CA_SECRET = 'kube-sg-ca'
export const WORKER_LEASE = 'kube-sg-worker'
export const WORKER_ACCOUNT = 'kube-sg-worker'

/** Annotation that the kubelet puts on the API server's copy of a static pod. */
export const MIRROR_POD_KEY = 'kubernetes.io/config.mirror'
