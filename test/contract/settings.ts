/** Settings of a run on a real account, from the environment. Pure. */
import type { Reader } from '../../shared/config.ts'
import { ConfigError, integer, readConfig, word } from '../../shared/config.ts'

export interface AccountSettings {
  readonly region: string
  /** One, or one of each kind. */
  readonly vpcIds: readonly string[]
  /** Rules of each family that fit into a group of this account. */
  readonly quota: number
  /** ms */
  readonly readLag: number
  readonly planOnly: boolean
  /** Keys of a user who may do nothing. */
  readonly denied: Identity | undefined
  /** Only where EC2 is to be found elsewhere. */
  readonly endpoint: string | undefined
}

export interface Identity {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** Says what is wrong with what was given, and what to do. */
export class BadSettings extends Error {}

const vpcIds: Reader<readonly string[]> = (text) => {
  const ids = text.split(',').map((id) => id.trim())
  if (ids.length > 2 || !ids.every((id) => /^vpc-([0-9a-f]{8}|[0-9a-f]{17})$/.test(id)))
    throw new Error('be the id of a VPC, or two of them with a comma')
  return ids
}

/** @throws BadSettings naming each that is missing or malformed */
export function readAccountSettings(environment: Readonly<Record<string, string | undefined>>): AccountSettings {
  const { DENIED_AWS_ACCESS_KEY_ID: accessKeyId, DENIED_AWS_SECRET_ACCESS_KEY: secretAccessKey } = environment
  const sessionToken = environment.DENIED_AWS_SESSION_TOKEN
  try {
    const config = readConfig(environment, {
      AWS_REGION: { read: word, meaning: 'the Region of the VPC, such as eu-west-1' },
      VPC_ID: {
        read: vpcIds,
        meaning:
          'the VPC in which groups are made and removed; two, one of them the default VPC, let more cases run, such as ' +
          'vpc-0123456789abcdef0,vpc-0fedcba9876543210'
      },
      RULES_PER_GROUP: { read: integer(5, 1000), fallback: '60', meaning: "the account's quota of rules per group" },
      READ_LAG_SECONDS: { read: integer(0, 300), fallback: '5', meaning: 'how long a read may lag behind a write' },
      PLAN_ONLY: { read: integer(0, 1), fallback: '0', meaning: '1 says what would be done, and does nothing' }
    })
    return {
      region: config.AWS_REGION,
      vpcIds: config.VPC_ID,
      quota: config.RULES_PER_GROUP,
      readLag: config.READ_LAG_SECONDS * 1000,
      planOnly: config.PLAN_ONLY === 1,
      denied:
        accessKeyId === undefined || secretAccessKey === undefined
          ? undefined
          : { accessKeyId, secretAccessKey, ...(sessionToken === undefined ? {} : { sessionToken }) },
      endpoint: environment.AWS_ENDPOINT_URL_EC2 ?? environment.AWS_ENDPOINT_URL
    }
  } catch (error) {
    if (error instanceof ConfigError) throw new BadSettings(error.message)
    throw error
  }
}
