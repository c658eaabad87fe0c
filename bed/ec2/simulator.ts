/**
 * EC2 without its HTTP: one call in, one outcome out, synchronously, so that concurrent callers see one order.
 * No I/O: the time and the source of ids are given.
 */
import { ACTIONS } from './actions/table.ts'
import type { Action, Call } from './actions/call.ts'
import { createAccount } from './state/account.ts'
import type { Buckets } from './state/buckets.ts'
import { createBuckets } from './state/buckets.ts'
import type { CallLog, LoggedRule } from './state/calls.ts'
import { createCallLog } from './state/calls.ts'
import { EC2Error, missingParameter } from './state/error.ts'
import type { Faults, Hit } from './state/faults.ts'
import { createFaults } from './state/faults.ts'
import type { HexSource } from './state/ids.ts'
import { ACCOUNT } from './state/ids.ts'
import type { Demand, Policy } from './state/policy.ts'
import { permits } from './state/policy.ts'
import type { Settings } from './state/settings.ts'
import { INITIAL_SETTINGS } from './state/settings.ts'
import type { Store } from './state/store.ts'
import type { Caller, Credentials } from './wire/authorization.ts'
import { readCaller } from './wire/authorization.ts'
import type { Parameters } from './wire/parameters.ts'
import { createParameters, unknownParameter } from './wire/parameters.ts'
import { parseQuery } from './wire/query.ts'
import { renderError, renderResponse } from './wire/xml.ts'

/** All that the simulator holds. Reset replaces it as a whole. */
export interface World {
  readonly store: Store
  readonly buckets: Buckets
  readonly faults: Faults
  readonly calls: CallLog
  /** By access key; a key without policy may do everything. */
  readonly policies: Map<string, Policy>
  settings: Settings
}

export interface Simulator {
  readonly world: World
  /** To the state at start. */
  reset(): void
  /** @param startedAt ms since 1970, when the request was read */
  handle(request: Request, startedAt: number): Outcome
}

export interface Request {
  readonly credentials: Credentials
  readonly body: Uint8Array
}

export type Outcome =
  | { readonly kind: 'answer'; readonly status: number; readonly requestId: string; readonly body: string }
  /** The connection is cut without an answer. */
  | { readonly kind: 'cut' }
  /** No answer ever comes. */
  | { readonly kind: 'hang' }

export interface SimulatorOptions {
  readonly now: () => number
  readonly hex: HexSource
  /** Told about a bug of the simulator's own; the caller gets EC2's InternalFailure. */
  readonly onDefect: (error: unknown) => void
}

/** Thrown by admit when a fault leaves nothing to answer and nothing to do. */
class CutShort extends Error {
  readonly fault: 'reset' | 'hang'
  constructor(fault: 'reset' | 'hang') {
    super(fault)
    this.fault = fault
  }
}

/** What the log tells of one call, gathered on its way. */
interface Trace {
  action: string
  accessKey: string
  groupId: string
  rules: readonly LoggedRule[]
  hit: Hit | undefined
}

export function createSimulator(options: SimulatorOptions): Simulator {
  let world = createWorld(options)
  return {
    get world() {
      return world
    },
    reset() {
      world = createWorld(options)
    },
    handle: (request, startedAt) => handle(world, options, request, startedAt)
  }
}

const createWorld = ({ hex, now }: SimulatorOptions): World => ({
  store: createAccount(hex, now()),
  buckets: createBuckets(),
  faults: createFaults(),
  calls: createCallLog(),
  policies: new Map(),
  settings: INITIAL_SETTINGS
})

function handle(world: World, options: SimulatorOptions, request: Request, startedAt: number): Outcome {
  const requestId = formatRequestId(options.hex() + options.hex())
  const trace: Trace = { action: '', accessKey: '', groupId: '', rules: [], hit: undefined }
  const { outcome, code } = act(world, options, request, requestId, trace)
  const { hit, ...about } = trace
  world.calls.append({ startedAt, endedAt: options.now(), ...about, code, fault: hit?.fault ?? '' })
  return outcome
}

interface Done {
  readonly outcome: Outcome
  readonly code: string
}

function act(world: World, options: SimulatorOptions, request: Request, requestId: string, trace: Trace): Done {
  try {
    const caller = readCaller(request.credentials, options.now())
    trace.accessKey = caller.accessKey
    const parameters = createParameters(parseQuery(request.body))
    trace.action = parameters.text('Action') ?? ''
    const action = findAction(parameters, trace.action)
    const response = action(createCall(world, options, caller, parameters, trace))
    return afterEffect(trace.hit, requestId, renderResponse(trace.action, requestId, response))
  } catch (error) {
    if (error instanceof CutShort)
      return { outcome: { kind: error.fault === 'reset' ? 'cut' : 'hang' }, code: error.fault }
    if (error instanceof EC2Error) return refuse(requestId, error)
    options.onDefect(error)
    return refuse(requestId, new EC2Error('InternalFailure', `defect of the simulator: ${String(error)}`, 500))
  }
}

const refuse = (requestId: string, error: EC2Error): Done => ({
  outcome: { kind: 'answer', status: error.status, requestId, body: renderError(requestId, error.code, error.message) },
  code: error.code
})

/** Faults that strike once the call took effect. */
function afterEffect(hit: Hit | undefined, requestId: string, body: string): Done {
  if (hit?.effect === 'after') {
    if (hit.fault === 'dropReply') return { outcome: { kind: 'cut' }, code: '' }
    if (hit.fault === 'hang') return { outcome: { kind: 'hang' }, code: '' }
    if (hit.fault === 'internalError') return refuse(requestId, internalError())
  }
  return { outcome: { kind: 'answer', status: 200, requestId, body }, code: '' }
}

function findAction(parameters: Parameters, name: string): Action {
  if (name === '')
    throw new EC2Error('MissingAction', 'The request is missing an action or a required parameter: Action')
  const version = parameters.text('Version')
  if (version === undefined || version === '') throw missingParameter('Version')
  if (version !== '2016-11-15')
    throw new EC2Error('NoSuchVersion', `The requested version (${version}) of service AmazonEC2 does not exist`)
  const action = ACTIONS.get(name)
  if (action === undefined)
    throw new EC2Error(
      'InvalidAction',
      `The action ${name} is not valid for this web service. (This EC2 simulator has: ${[...ACTIONS.keys()].join(', ')}.)`
    )
  return action
}

function createCall(
  world: World,
  options: SimulatorOptions,
  caller: Caller,
  parameters: Parameters,
  trace: Trace
): Call {
  const now = options.now()
  const { action } = trace
  const dryRun = parameters.boolean('DryRun')
  return {
    action,
    parameters,
    store: world.store,
    settings: world.settings,
    now,
    hex: options.hex,
    region: caller.region,
    note(about) {
      if (about.groupId !== undefined) trace.groupId = about.groupId
      if (about.rules !== undefined) trace.rules = about.rules
    },
    admit(demands, unfiltered = false) {
      const unread = parameters.unread()
      if (unread !== undefined) throw unknownParameter(unread)
      if (world.settings.buckets && !world.buckets.take(action, unfiltered, now)) throw throttled(action)
      const hit = world.faults.take(action, now)
      trace.hit = hit
      if (hit !== undefined) strike(hit, action, caller, demands)
      const policy = world.policies.get(caller.accessKey)
      const denied = policy === undefined ? undefined : demands.find((demand) => !permits(policy, demand))
      if (denied !== undefined) throw unauthorized(caller, denied)
      // AWS documents DryRun as a check of permissions alone: neither quota nor duplicates are looked at.
      if (dryRun) throw new EC2Error('DryRunOperation', 'Request would have succeeded, but DryRun flag is set.', 412)
      return hit?.fault === 'stale' ? world.store.asOf(now - hit.staleSeconds * 1000) : world.store
    }
  }
}

/** Faults that strike before the effect. */
function strike(hit: Hit, action: string, caller: Caller, demands: readonly Demand[]): void {
  if (hit.effect === 'after') return
  switch (hit.fault) {
    case 'throttle':
      throw throttled(action)
    case 'internalError':
      throw internalError()
    case 'unauthorized':
      throw unauthorized(caller, demands[0])
    case 'reset':
    case 'hang':
      throw new CutShort(hit.fault)
    case 'dropReply':
    case 'stale':
      return
  }
}

const throttled = (action: string): EC2Error =>
  new EC2Error(
    'RequestLimitExceeded',
    `Request limit exceeded. Account ${ACCOUNT} has been throttled on ec2:${action} because it exceeded its request rate limit.`,
    503
  )

const internalError = (): EC2Error => new EC2Error('InternalError', 'An internal error has occurred', 500)

/** AWS adds a blob for sts:DecodeAuthorizationMessage; clients must not read more than the code. */
function unauthorized(caller: Caller, demand: Demand | undefined): EC2Error {
  const action = demand?.action ?? 'ec2:*'
  return new EC2Error(
    'UnauthorizedOperation',
    `You are not authorized to perform this operation. User: arn:aws:iam::${ACCOUNT}:user/${caller.accessKey} is not ` +
      `authorized to perform: ${action} on resource: ${demand?.arn ?? '*'} because no identity-based policy allows the ` +
      `${action} action. Encoded authorization failure message: c2ltdWxhdGVk`,
    403
  )
}

const formatRequestId = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
