/** The bodies that the control surface takes, each field checked. Pure. */
import { ACTIONS } from './actions/table.ts'
import type { Fault } from './state/faults.ts'
import { FAULTS } from './state/faults.ts'
import type { Policy } from './state/policy.ts'
import { parsePolicy } from './state/policy.ts'
import type { Settings } from './state/settings.ts'
import { HISTORY_SECONDS } from './state/store.ts'
import type { CredentialState } from './wire/authorization.ts'
import { CREDENTIAL_STATES } from './wire/authorization.ts'

/** Says what is wrong with a body and what would be right. */
export class BadRequest extends Error {}

/** @throws BadRequest */
export function readSince(text: string | null): number {
  if (text === null) return 0
  if (!/^\d{1,15}$/.test(text)) throw new BadRequest(`since must be a whole number, not '${text}'`)
  return Number(text)
}

/**
 * Neither times nor seconds: until the faults are deleted.
 * @throws BadRequest
 */
export function readFault(body: string): Fault {
  const fields = readObject(body, ['action', 'fault', 'groupId', 'times', 'seconds', 'staleSeconds', 'effect', 'seed'])
  const { action, fault, groupId, effect } = fields
  if (typeof action !== 'string' || (action !== '*' && !ACTIONS.has(action)))
    throw new BadRequest(`action must be '*' or one of ${[...ACTIONS.keys()].join(', ')}`)
  const kind = FAULTS.find((name) => name === fault)
  if (kind === undefined) throw new BadRequest(`fault must be one of ${FAULTS.join(', ')}`)
  if (groupId !== undefined && (typeof groupId !== 'string' || !groupId.startsWith('sg-')))
    throw new BadRequest('groupId must be the id of a group')
  if (effect !== undefined && effect !== 'before' && effect !== 'after')
    throw new BadRequest("effect must be 'before' or 'after'")
  if (effect !== undefined && kind !== 'internalError' && kind !== 'hang')
    throw new BadRequest('effect goes only with internalError and hang')
  const staleSeconds = readNumber(fields, 'staleSeconds', 0, HISTORY_SECONDS)
  if ((staleSeconds !== undefined) !== (kind === 'stale'))
    throw new BadRequest("staleSeconds goes with fault 'stale', and only with it")
  if (kind === 'stale' && action !== '*' && !action.startsWith('Describe'))
    throw new BadRequest(`only reads can be stale, and ${action} is none`)
  return {
    action,
    fault: kind,
    groupId,
    times: readInteger(fields, 'times', 1, 1_000_000),
    seconds: readNumber(fields, 'seconds', 0, 86_400),
    staleSeconds: staleSeconds ?? 0,
    effect,
    seed: readInteger(fields, 'seed', 0, 2 ** 32 - 1)
  }
}

/**
 * What is not named stays as it is.
 * @throws BadRequest
 */
export function readSettings(body: string, present: Settings): Settings {
  const fields = readObject(body, ['rulesPerGroup', 'buckets', 'latencyMs'])
  const { buckets } = fields
  if (buckets !== undefined && !['on', 'off', true, false].includes(buckets as string | boolean))
    throw new BadRequest("buckets must be 'on' or 'off'")
  return {
    rulesPerGroup: readInteger(fields, 'rulesPerGroup', 1, 1000) ?? present.rulesPerGroup,
    buckets: buckets === undefined ? present.buckets : buckets === 'on' || buckets === true,
    latencyMs: readNumber(fields, 'latencyMs', 0, 600_000) ?? present.latencyMs
  }
}

/**
 * {accessKey, policy}: an IAM policy document, or null for a key that may do everything again.
 * @throws BadRequest
 */
export function readPolicy(body: string): { readonly accessKey: string; readonly policy: Policy | undefined } {
  const { accessKey, policy } = readObject(body, ['accessKey', 'policy'])
  if (typeof accessKey !== 'string' || accessKey === '') throw new BadRequest('accessKey must be an access key id')
  if (policy === undefined) throw new BadRequest('policy must be an IAM policy document, or null to take it away')
  if (policy === null) return { accessKey, policy: undefined }
  try {
    return { accessKey, policy: parsePolicy(policy) }
  } catch (error) {
    throw new BadRequest((error as Error).message)
  }
}

/**
 * {accessKey, state}: `unknown`, `expired`, or null for a key that is good again.
 * @throws BadRequest
 */
export function readCredentials(body: string): {
  readonly accessKey: string
  readonly state: CredentialState | undefined
} {
  const { accessKey, state } = readObject(body, ['accessKey', 'state'])
  if (typeof accessKey !== 'string' || accessKey === '') throw new BadRequest('accessKey must be an access key id')
  const found = CREDENTIAL_STATES.find((name) => name === state)
  if (found === undefined && state !== null)
    throw new BadRequest(`state must be one of ${CREDENTIAL_STATES.join(', ')}, or null for a key that is good`)
  return { accessKey, state: found }
}

type Fields = Readonly<Record<string, unknown>>

function readObject(body: string, known: readonly string[]): Fields {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch (error) {
    throw new BadRequest(`the body is not JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BadRequest('the body must be a JSON object')
  const other = Object.keys(value).find((key) => !known.includes(key))
  if (other !== undefined) throw new BadRequest(`'${other}' is none of ${known.join(', ')}`)
  return value as Fields
}

function readNumber(fields: Fields, name: string, least: number, most: number): number | undefined {
  const value = fields[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'number' || !(value >= least && value <= most))
    throw new BadRequest(`${name} must be a number from ${String(least)} to ${String(most)}`)
  return value
}

function readInteger(fields: Fields, name: string, least: number, most: number): number | undefined {
  const value = readNumber(fields, name, least, most)
  if (value !== undefined && !Number.isInteger(value)) throw new BadRequest(`${name} must be a whole number`)
  return value
}
