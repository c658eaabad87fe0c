/** Who calls: the access key in the Authorization header. Signatures are not verified. Pure. */
import { EC2Error } from '../state/error.ts'

export interface Caller {
  readonly accessKey: string
  /** The Region that the request is signed for. */
  readonly region: string
}

/** What may be wrong with an access key whose request is well signed. */
export const CREDENTIAL_STATES = ['unknown', 'expired'] as const
export type CredentialState = (typeof CREDENTIAL_STATES)[number]

export interface Credentials {
  readonly authorization: string | undefined
  /** X-Amz-Date: basic ISO 8601. */
  readonly date: string | undefined
}

const HEADER =
  /^AWS4-HMAC-SHA256 +Credential=([^/,\s]{1,128})\/\d{8}\/([a-z0-9-]{1,40})\/ec2\/aws4_request, *SignedHeaders=[^,\s]+, *Signature=[0-9a-f]{64}$/
const DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

/** AWS refuses signatures older or newer than this: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html */
const SKEW_MS = 5 * 60_000

/**
 * @param now ms since 1970
 * @param states of the access keys that are not good
 * @throws EC2Error MissingAuthenticationToken, AuthFailure, RequestExpired
 */
export function readCaller(
  credentials: Credentials,
  now: number,
  states: ReadonlyMap<string, CredentialState> = new Map()
): Caller {
  const { authorization, date } = credentials
  if (authorization === undefined || authorization === '')
    throw new EC2Error('MissingAuthenticationToken', 'Request is missing Authentication Token', 403)
  const match = HEADER.exec(authorization)
  const [, accessKey, region] = match ?? []
  if (accessKey === undefined || region === undefined) throw authFailure()
  const signedAt = DATE.exec(date ?? '')
  if (signedAt === null) throw authFailure()
  const [, year, month, day, hour, minute, second] = signedAt.map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number
  ]
  if (Math.abs(now - Date.UTC(year, month - 1, day, hour, minute, second)) > SKEW_MS)
    throw new EC2Error('RequestExpired', `Request has expired. Timestamp date is ${date ?? ''}.`)
  const state = states.get(accessKey)
  if (state === 'unknown') throw authFailure()
  if (state === 'expired') throw new EC2Error('RequestExpired', 'Request has expired.')
  return { accessKey, region }
}

const authFailure = (): EC2Error =>
  new EC2Error('AuthFailure', 'AWS was not able to validate the provided access credentials', 401)
