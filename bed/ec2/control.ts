/** The control surface: what tests see and set under `/_sim/`, as plain JSON. No HTTP here. */
import { BadRequest, readCredentials, readFault, readPolicy, readSettings, readSince } from './controlBodies.ts'
import type { Simulator } from './simulator.ts'
import type { World } from './world.ts'
import type { SecurityGroup, SecurityGroupRule } from './state/rule.ts'
import type { Settings } from './state/settings.ts'

export interface ControlAnswer {
  readonly status: number
  readonly body: unknown
}

const USAGE =
  'try GET groups, GET calls?since=N, GET or POST or DELETE faults, GET or POST settings, POST policies, ' +
  'POST credentials, POST reset'

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
      world.faults.clear(query.get('groupId') ?? undefined)
      return ok({ faults: world.faults.list(now) })
    case 'GET settings':
      return ok(describeSettings(world.settings))
    case 'POST settings':
      world.settings = readSettings(body, world.settings)
      return ok(describeSettings(world.settings))
    case 'POST policies':
      return ok(setPolicy(world, body))
    case 'POST credentials':
      return ok(setCredentials(world, body))
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

function setPolicy({ policies }: World, body: string): unknown {
  const { accessKey, policy } = readPolicy(body)
  if (policy === undefined) policies.delete(accessKey)
  else policies.set(accessKey, policy)
  return { accessKeys: [...policies.keys()] }
}

function setCredentials({ credentials }: World, body: string): unknown {
  const { accessKey, state } = readCredentials(body)
  if (state === undefined) credentials.delete(accessKey)
  else credentials.set(accessKey, state)
  return { credentials: Object.fromEntries(credentials) }
}
