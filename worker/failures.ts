/** Every way in which a call to EC2 fails, and its one handling. Pure. */
import type { Reason } from './reasons.ts'

export type FailureKind =
  | 'throttled'
  | 'unavailable'
  | 'duplicate'
  | 'ruleNotFound'
  | 'groupNotFound'
  | 'quota'
  | 'denied'
  | 'credentials'
  | 'rejected'
  | 'notLeading'

export interface Handling {
  /** What has happened, for docs/failures.md. */
  readonly when: string
  /** What is done beside what the other fields say, for docs/failures.md. */
  readonly then: string
  /** The effect may have happened although the reply is an error or was lost. */
  readonly maybeApplied: boolean
  /** The group must be read again before anything is decided. */
  readonly observeAgain: boolean
  /** Some item of the call is at fault, not the call: try its halves. */
  readonly bisect: boolean
  /** First delay before the next try, in milliseconds; doubled each time up to `slowest`. */
  readonly retryAfter: number
  readonly slowest: number
  /** Reason on the pod's condition and Event while this lasts. */
  readonly reason: Reason
  /** What its owner can do about it, one sentence. */
  readonly advice: string
}

const once = { maybeApplied: false, observeAgain: false, bisect: false, retryAfter: 1000, slowest: 30_000 }

/**
 * Each class, from the most frequent. EC2 validates a call before it changes anything, so that a 4xx left nothing behind
 * (undocumented, see docs/architecture.md); a 5xx, a cut connection or a timeout may have had its effect.
 */
export const HANDLING: Readonly<Record<FailureKind, Handling>> = {
  throttled: {
    ...once,
    when: 'EC2 or the service that hands out credentials limits the rate of calls',
    then: "nothing more: every action has a bucket of its own, below AWS's, so that a throttled Authorize keeps no Revoke",
    reason: 'Throttled',
    advice: 'EC2 throttles this account, and the call is repeated'
  },
  unavailable: {
    ...once,
    when: '5xx, no answer in time, a cut connection, no DNS, an answer that cannot be read',
    then: 'a rule that was to be made or changed counts as possible, and its pod is not released, until EC2_READ_LAG later a read can tell; a change is said again at once, for that makes it certain',
    maybeApplied: true,
    observeAgain: true,
    retryAfter: 500,
    slowest: 15_000,
    reason: 'EC2Unavailable',
    advice: 'the call is repeated'
  },
  duplicate: {
    ...once,
    when: 'the rule is there already: made by somebody else, or by a call of ours whose answer was lost',
    then: 'what the read shows is left out, and the others are sent again; a single one counts as present though no read shows it yet, and whose it is a later read tells',
    observeAgain: true,
    bisect: true,
    retryAfter: 100,
    reason: 'AuthorizeFailed',
    advice: 'the rule is there already; EC2 is read again'
  },
  ruleNotFound: {
    ...once,
    when: 'a rule that was to be revoked or changed has gone already',
    then: 'what has gone is left out, and the others are sent again; a single one counts as gone, unless we made it less than EC2_READ_LAG ago',
    observeAgain: true,
    bisect: true,
    retryAfter: 100,
    reason: 'RevokeFailed',
    advice: 'the rule has gone already; EC2 is read again'
  },
  groupNotFound: {
    ...once,
    when: 'EC2 has no group of this id in this account and Region, or does not know it yet',
    then: 'rules of a deleted group are gone with it, so that the pods that wait for their revocation are released',
    observeAgain: true,
    reason: 'SecurityGroupNotFound',
    advice: 'create the security group in this Region, or correct its id in the annotation'
  },
  quota: {
    ...once,
    when: 'the group cannot take so many rules',
    then: 'the oldest pods get what room there is (halves of the call, IPv4 and IPv6 apart), the others wait in order of age; so many rules as it holds now count as its quota, and every fifth sweep one more is tried; a Modify is replaced by Revoke and Authorize',
    observeAgain: true,
    retryAfter: 5000,
    slowest: 60_000,
    reason: 'RuleQuotaExceeded',
    advice:
      "raise the EC2 quota 'inbound rules per security group' and RULES_PER_GROUP with it, or use fewer pods or port ranges on this group"
  },
  denied: {
    ...once,
    when: 'IAM denies the call, as it does with the least policy for a group in another VPC',
    then: 'nothing is taken away; a Modify is replaced by Revoke and Authorize, and a description stays as it is',
    observeAgain: false,
    retryAfter: 5000,
    slowest: 60_000,
    reason: 'EC2AccessDenied',
    advice: "let the worker's IAM role make this call"
  },
  credentials: {
    ...once,
    when: 'credentials are missing, expired or unknown, whoever hands them out (STS) fails, the account is blocked, or our clock is wrong',
    then: 'the SDK looks for credentials before each call, and corrects its clock by the answer, so that the next call can succeed',
    retryAfter: 2000,
    slowest: 30_000,
    reason: 'EC2CredentialsRejected',
    advice: "check the worker's AWS credentials and the node's clock"
  },
  rejected: {
    ...once,
    when: 'any other 4xx',
    then: "the rule that EC2 refuses is told on its pod, left out for a minute, and takes nobody's place, and what passes by an old rule of the pod instead goes on passing; a Modify of a rule by which nothing of it passes is replaced by Revoke and Authorize",
    observeAgain: true,
    bisect: true,
    retryAfter: 5000,
    slowest: 60_000,
    reason: 'AuthorizeFailed',
    advice: 'EC2 refuses this rule'
  },
  notLeading: {
    ...once,
    when: 'our lease would end before the call does',
    then: 'no call is made; whoever leads next looks at everything',
    reason: 'NotLeading',
    advice: 'another worker has taken over'
  }
}

/** Codes of the EC2 API reference (errors-overview) and of the services that hand out credentials; the SDK names some with `Exception` behind. */
export const BY_CODE: Readonly<Record<string, FailureKind>> = {
  EC2ThrottledException: 'throttled',
  RequestLimitExceeded: 'throttled',
  SlowDown: 'throttled',
  Throttling: 'throttled',
  TooManyRequestsException: 'throttled',
  'InvalidPermission.Duplicate': 'duplicate',
  'InvalidPermission.NotFound': 'ruleNotFound',
  'InvalidSecurityGroupRuleId.NotFound': 'ruleNotFound',
  'InvalidGroup.NotFound': 'groupNotFound',
  'InvalidGroupId.Malformed': 'groupNotFound',
  'InvalidSecurityGroupID.NotFound': 'groupNotFound',
  'InvalidSecurityGroupId.Malformed': 'groupNotFound',
  RulesPerSecurityGroupLimitExceeded: 'quota',
  AccessDenied: 'denied',
  UnauthorizedOperation: 'denied',
  AuthFailure: 'credentials',
  Blocked: 'credentials',
  CredentialsProviderError: 'credentials',
  ExpiredToken: 'credentials',
  IDPCommunicationError: 'credentials',
  IDPRejectedClaim: 'credentials',
  IncompleteSignature: 'credentials',
  InvalidClientTokenId: 'credentials',
  InvalidIdentityToken: 'credentials',
  MissingAuthenticationToken: 'credentials',
  OptInRequired: 'credentials',
  InvalidSignatureException: 'credentials',
  PendingVerification: 'credentials',
  RegionDisabled: 'credentials',
  RequestExpired: 'credentials',
  RequestInTheFuture: 'credentials',
  RequestTimeTooSkewed: 'credentials',
  SignatureDoesNotMatch: 'credentials',
  TokenProviderError: 'credentials',
  UnrecognizedClientException: 'credentials'
}

/**
 * The class of a failed call. What is not known by its code is told by its status: a client's error was refused whole,
 * everything else (5xx, no status at all: reset, timeout, DNS) may have happened.
 * @param code EC2's code, `Client.` or `Server.` before it or not, or the name of the error
 * @param status HTTP status, undefined when there was no reply
 */
export function classify(code: string, status: number | undefined): FailureKind {
  const known = BY_CODE[code.replace(/^(Client|Server)\./, '')] ?? BY_CODE[code.replace(/Exception$/, '')]
  if (known !== undefined) return known
  if (status === 429) return 'throttled'
  return status !== undefined && status >= 400 && status < 500 ? 'rejected' : 'unavailable'
}

/**
 * The class of a call that failed at a service which hands out credentials, such as STS: EC2 was never asked, so that nothing may have
 * happened, and whatever was said concerns all calls and no rule.
 */
export const classifyCredentials = (code: string, status: number | undefined): FailureKind =>
  classify(code, status) === 'throttled' ? 'throttled' : 'credentials'
