/** The control surface: what tests see and set under `/_sim/`, as plain JSON. No HTTP here. */
import { ACTIONS } from './actions/table.ts'
import type { Simulator, World } from './simulator.ts'
import type { Fault } from './state/faults.ts'
import { FAULTS } from './state/faults.ts'
import { parsePolicy } from './state/policy.ts'
import type { SecurityGroup, SecurityGroupRule } from './state/rule.ts'
import type { Settings } from './state/settings.ts'
import { HISTORY_SECONDS } from './state/store.ts'

export interface ControlAnswer {
  readonly status: number
  readonly body: unknown
}

/** Says what is wrong with a body and what would be right. */
class BadRequest extends Error {}

const USAGE =
  'try GET groups, GET calls?since=N, GET or POST or DELETE faults, GET or POST settings, POST policies, POST reset'

/**
 * @param path what follows `/_sim/`
 * @param body the request's body as text, empty when there is none
 */
export function control(
  simulator: Simulator,
  method: string,
  path: string,
  query: URLSearchParams,
  body: string,
  now: number
): ControlAnswer {
  try {
    return route(simulator, method, path, query, body, now)
  } catch (error) {
    if (error instanceof BadRequest) return { status: 400, body: { error: error.message } }
    throw error
  }
}

function route(
  simulator: Simulator,
  method: string,
  path: string,
  query: URLSearchParams,
  body: string,
  now: number
): ControlAnswer {
  const { world } = simulator
  switch (`${method} ${path}`) {
    case 'GET groups':
      return ok({ groups: world.store.groups().map((group) => describeGroup(world, group)) })
    case 'GET calls':
      return ok({ calls: world.calls.since(readSince(query.get('since'))) })
    case 'GET faults':
      return ok({ faults: world.faults.list(now) })
    case 'POST faults':
      world.faults.add(readFault(body), now)
      return ok({ faults: world.faults.list(now) })
    case 'DELETE faults':
      world.faults.clear()
      return ok({ faults: [] })
    case 'GET settings':
      return ok(describeSettings(world.settings))
    case 'POST settings':
      world.settings = readSettings(body, world.settings)
      return ok(describeSettings(world.settings))
    case 'POST policies':
      return ok(setPolicy(world, body))
    case 'POST reset':
      simulator.reset()
      return ok({})
    default:
      return { status: 404, body: { error: `there is no ${method} /_sim/${path}: ${USAGE}` } }
  }
}

const ok = (body: unknown): ControlAnswer => ({ status: 200, body })

/** Rules without a CIDR, whose source is a group, stand apart: every rule in `rules` has one. */
function describeGroup({ store }: World, { groupId, vpcId, tags }: SecurityGroup): unknown {
  const ingress = store.rulesOf(groupId).filter(({ isEgress }) => !isEgress)
  return {
    groupId,
    vpcId,
    tags: Object.fromEntries(tags),
    rules: ingress
      .filter(({ source }) => source.kind !== 'group')
      .map((rule) => ({ ...describeRule(rule), cidr: rule.source.value })),
    groupSourceRules: ingress
      .filter(({ source }) => source.kind === 'group')
      .map((rule) => ({ ...describeRule(rule), sourceGroupId: rule.source.value }))
  }
}

const describeRule = ({ ruleId, protocol, fromPort, toPort, description, tags }: SecurityGroupRule) => ({
  ruleId,
  protocol,
  fromPort,
  toPort,
  description: description ?? '',
  tags: Object.fromEntries(tags)
})

const describeSettings = ({ rulesPerGroup, buckets, latencyMs }: Settings): unknown => ({
  rulesPerGroup,
  buckets: buckets ? 'on' : 'off',
  latencyMs
})

function readSince(text: string | null): number {
  if (text === null) return 0
  if (!/^\d{1,15}$/.test(text)) throw new BadRequest(`since must be a whole number, not '${text}'`)
  return Number(text)
}

function readFault(body: string): Fault {
  const fields = readObject(body, ['action', 'fault', 'times', 'seconds', 'staleSeconds', 'effect', 'seed'])
  const { action, fault, effect } = fields
  if (typeof action !== 'string' || (action !== '*' && !ACTIONS.has(action)))
    throw new BadRequest(`action must be '*' or one of ${[...ACTIONS.keys()].join(', ')}`)
  const kind = FAULTS.find((name) => name === fault)
  if (kind === undefined) throw new BadRequest(`fault must be one of ${FAULTS.join(', ')}`)
  if (effect !== undefined && effect !== 'before' && effect !== 'after')
    throw new BadRequest("effect must be 'before' or 'after'")
  if (effect !== undefined && kind !== 'internalError' && kind !== 'hang')
    throw new BadRequest('effect goes only with internalError and hang')
  const staleSeconds = readNumber(fields, 'staleSeconds', 0, HISTORY_SECONDS)
  if ((staleSeconds !== undefined) !== (kind === 'stale'))
    throw new BadRequest("staleSeconds goes with fault 'stale', and only with it")
  return {
    action,
    fault: kind,
    times: readInteger(fields, 'times', 1, 1_000_000),
    seconds: readNumber(fields, 'seconds', 0, 86_400),
    staleSeconds: staleSeconds ?? 0,
    effect,
    seed: readInteger(fields, 'seed', 0, 2 ** 32 - 1)
  }
}

function readSettings(body: string, present: Settings): Settings {
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

/** {accessKey, policy}: an IAM policy document, or null for a key that may do everything again. */
function setPolicy(world: World, body: string): unknown {
  const { accessKey, policy } = readObject(body, ['accessKey', 'policy'])
  if (typeof accessKey !== 'string' || accessKey === '') throw new BadRequest('accessKey must be an access key id')
  if (policy === undefined) throw new BadRequest('policy must be an IAM policy document, or null to take it away')
  if (policy === null) world.policies.delete(accessKey)
  else world.policies.set(accessKey, parse(policy))
  return { accessKeys: [...world.policies.keys()] }
}

function parse(policy: unknown): ReturnType<typeof parsePolicy> {
  try {
    return parsePolicy(policy)
  } catch (error) {
    throw new BadRequest((error as Error).message)
  }
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
