/** Every reason that a pod's condition or Event of ours can give, once. docs/worker.md has its table from here. Pure. */

/** Who can end what the reason tells of. */
export type Party =
  /** Nobody needs to: nothing is wrong. */
  | 'nobody'
  /** Whoever wrote the pod. */
  | 'pod'
  /** The owner of the security group, of the AWS account, or of the cluster. */
  | 'owner'
  /** It passes, or the worker mends it. */
  | 'itself'

export interface ReasonMeaning {
  /** The condition's status; undefined: an Event alone. */
  readonly status: 'True' | 'False' | undefined
  /** The Event's type. */
  readonly type: 'Normal' | 'Warning'
  readonly party: Party
  /** When it is given. */
  readonly when: string
  /** What to do about it. */
  readonly remedy: string
}

const good = { status: 'True', type: 'Normal', party: 'nobody', remedy: 'Nothing.' } as const
const bad = { status: 'False', type: 'Warning' } as const

export const REASONS = {
  RulesInEffect: { ...good, when: 'Every rule that the pod asks for is in its security groups.' },
  NothingRequested: {
    ...good,
    status: 'False',
    when: 'The pod asks for no security group any more. Or it has a readiness gate and nothing to wait for: then the status is True.'
  },
  RulesRevoked: {
    ...good,
    status: 'False',
    when: 'The pod has completed, and its rules are gone although its object is still there.'
  },
  InvalidAnnotation: {
    ...bad,
    party: 'pod',
    when: 'An annotation of kube-sg cannot be read. The webhook refuses such pods, so this one came while it was away.',
    remedy: 'Correct the annotation; the message names every mistake.'
  },
  HostNetworkRefused: {
    ...bad,
    party: 'pod',
    when: 'The pod uses hostNetwork: its address is that of its node.',
    remedy: 'Take hostNetwork or the annotation away.'
  },
  NoRuleForFamily: {
    ...bad,
    party: 'pod',
    when: "The pod asks for 'icmp' and has no IPv4 address, or for 'icmpv6' and has no IPv6 address.",
    remedy: 'Ask for the ICMP of the family that the pod has.'
  },
  AddressRefused: {
    ...bad,
    party: 'owner',
    when: "The pod's address is outside of POD_CIDRS, or is the address of a node.",
    remedy:
      'Add the CIDR of the pod network to POD_CIDRS. If the network is right, find out who wrote the address into the status of the pod.'
  },
  AddressConflict: {
    ...bad,
    party: 'owner',
    when: 'A pod that started later reports the same address, and holds it now. The later one gets an Event too.',
    remedy: 'Delete the older pod if it stays: its network is broken.'
  },
  NotPermitted: {
    ...bad,
    party: 'owner',
    when: "The pod's service account may not use the security group.",
    remedy:
      "Grant it the verb 'use' on the group by a Role; README.md shows one. What was granted before is taken away after two denials at least 30 seconds apart."
  },
  PermissionUnknown: {
    ...bad,
    party: 'itself',
    when: 'The API server could not be asked whether the service account may use the security group.',
    remedy: 'Look at the log of the worker if it lasts. What the pod has it keeps.'
  },
  SecurityGroupNotFound: {
    ...bad,
    party: 'owner',
    when: 'No security group of this id exists in AWS_REGION, in the account of the worker.',
    remedy: 'Correct the id in the annotation, or create the group.'
  },
  SecurityGroupNotOptedIn: {
    ...bad,
    party: 'owner',
    when: 'The security group does not carry the tag by which its owner lets this cluster edit it.',
    remedy: 'The owner of the group sets the tag that the message names.'
  },
  RuleQuotaExceeded: {
    ...bad,
    party: 'owner',
    when: 'The security group holds as many rules as it may. The message tells the place of the pod in the order of those that wait; older pods come first.',
    remedy:
      "Raise the EC2 quota 'Inbound or outbound rules per security group', use fewer pods or port ranges on the group, or spread the pods over several groups."
  },
  Throttled: {
    ...bad,
    party: 'itself',
    when: 'EC2 throttles the calls of this account. The call is repeated.',
    remedy: 'If it lasts, find out who else calls EC2 in this account and Region so often.'
  },
  EC2Unavailable: {
    ...bad,
    party: 'itself',
    when: 'EC2 failed, did not answer, or has not been read yet. The call is repeated.',
    remedy: 'Look at the AWS Health Dashboard and at the way from the worker to EC2 if it lasts.'
  },
  EC2AccessDenied: {
    ...bad,
    party: 'owner',
    when: "The worker's IAM role may not make the call to EC2.",
    remedy: "Allow the role the calls that README.md lists. Mind permission boundaries and the organization's policies."
  },
  EC2CredentialsRejected: {
    ...bad,
    party: 'owner',
    when: 'EC2 does not accept the credentials of the worker, or there are none.',
    remedy: "Look at the worker's service account and IAM role, and at the clock of its node."
  },
  AuthorizeFailed: {
    ...bad,
    party: 'owner',
    when: 'EC2 refuses one of the rules; the message has its words.',
    remedy: 'Do what the words of EC2 ask for.'
  },
  RevokeFailed: {
    ...bad,
    party: 'itself',
    when: 'The pod has ended, and some of its rules have been in EC2 for more than 5 seconds since. The message has the cause.',
    remedy: 'Mend the cause. The pod is released at the latest after MAX_HOLD.'
  },
  PodsUnreadable: {
    ...bad,
    party: 'itself',
    when: 'The worker has just started to lead, and the API server did not let it list all pods yet.',
    remedy: 'Look at the log of the worker if it lasts.'
  },
  NotLeading: {
    ...bad,
    party: 'itself',
    when: 'Another worker is about to take over.',
    remedy: 'Nothing.'
  },
  FinalizerHoldExceeded: {
    ...bad,
    status: undefined,
    party: 'owner',
    when: 'The pod was released after MAX_HOLD although some of its rules may remain in EC2. The worker goes on revoking them.',
    remedy: 'Look at the Event RevokeFailed before it, and at kube_sg_ec2_calls_total by code.'
  }
} as const satisfies Record<string, ReasonMeaning>

export type Reason = keyof typeof REASONS

/** Whether somebody outside has to act first; else it passes, and the time that it takes is ours. */
export function waitsForOthers(reason: Reason): boolean {
  return REASONS[reason].party === 'pod' || REASONS[reason].party === 'owner'
}
