/**
 * EC2 without its HTTP: one call in, one outcome out, synchronously, so that concurrent callers see one order.
 * No I/O: the time and the source of ids are given.
 */
import type { Action } from './actions/call.ts'
import { ACTIONS } from './actions/table.ts'
import type { Trace } from './admission.ts'
import { createCall, CutShort, internalError } from './admission.ts'
import { EC2Error, missingParameter } from './state/error.ts'
import type { Hit } from './state/faults.ts'
import type { HexSource } from './state/ids.ts'
import type { Credentials } from './wire/authorization.ts'
import { readCaller } from './wire/authorization.ts'
import type { Parameters } from './wire/parameters.ts'
import { createParameters } from './wire/parameters.ts'
import { parseQuery } from './wire/query.ts'
import { renderError, renderResponse } from './wire/xml.ts'
import type { World } from './world.ts'
import { createWorld } from './world.ts'

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
  /** ms since 1970. */
  readonly now: () => number
  readonly hex: HexSource
  /** Told about a defect of the simulator's own; the caller gets EC2's InternalFailure. */
  readonly onDefect: (error: unknown) => void
}

export function createSimulator(options: SimulatorOptions): Simulator {
  let world = createWorld(options.hex, options.now())
  return {
    get world() {
      return world
    },
    reset() {
      world = createWorld(options.hex, options.now())
    },
    handle: (request, startedAt) => handle(world, options, request, startedAt)
  }
}

function handle(world: World, options: SimulatorOptions, request: Request, startedAt: number): Outcome {
  const requestId = formatRequestId(options.hex() + options.hex())
  const trace: Trace = { action: '', accessKey: '', groupId: '', rules: [], hit: undefined }
  const { outcome, code } = afterEffect(trace, requestId, act(world, options, request, requestId, trace))
  const { hit, ...about } = trace
  world.calls.append({ startedAt, endedAt: options.now(), ...about, code, fault: hit?.fault ?? '' })
  return outcome
}

interface Done {
  readonly outcome: Outcome
  /** For the log. */
  readonly code: string
}

function act(world: World, options: SimulatorOptions, request: Request, requestId: string, trace: Trace): Done {
  try {
    const now = options.now()
    const caller = readCaller(request.credentials, now, world.credentials)
    trace.accessKey = caller.accessKey
    const parameters = createParameters(parseQuery(request.body))
    trace.action = parameters.text('Action') ?? ''
    const action = findAction(parameters, trace.action)
    const response = action(createCall(world, caller, parameters, trace, options.hex, now))
    const body = renderResponse(trace.action, requestId, response)
    return { outcome: { kind: 'answer', status: 200, requestId, body }, code: '' }
  } catch (error) {
    if (error instanceof CutShort)
      return { outcome: { kind: error.fault === 'reset' ? 'cut' : 'hang' }, code: error.fault }
    if (error instanceof EC2Error) return refuse(requestId, error)
    options.onDefect(error)
    return refuse(requestId, new EC2Error('InternalFailure', `defect of the simulator: ${String(error)}`, 500))
  }
}

function findAction(parameters: Parameters, name: string): Action {
  if (name === '')
    throw new EC2Error('MissingAction', 'The request is missing an action or a required parameter: Action')
  const version = parameters.text('Version')
  if (version === undefined || version === '') throw missingParameter('Version')
  if (version !== '2016-11-15')
    throw new EC2Error('NoSuchVersion', `The requested version (${version}) of service AmazonEC2 does not exist`)
  const action = ACTIONS.get(name)
  if (action === undefined) {
    const known = [...ACTIONS.keys()].join(', ')
    throw new EC2Error(
      'InvalidAction',
      `The action ${name} is not valid for this web service. (This EC2 simulator has: ${known}.)`
    )
  }
  return action
}

const refuse = (requestId: string, error: EC2Error): Done => ({
  outcome: { kind: 'answer', status: error.status, requestId, body: renderError(requestId, error.code, error.message) },
  code: error.code
})

/** Faults that strike once the call took effect, or was refused: the code in the log stays what EC2 meant to answer. */
function afterEffect({ hit }: { readonly hit: Hit | undefined }, requestId: string, done: Done): Done {
  if (hit?.effect !== 'after') return done
  if (hit.fault === 'internalError') return { ...done, outcome: refuse(requestId, internalError()).outcome }
  return { ...done, outcome: { kind: hit.fault === 'hang' ? 'hang' : 'cut' } }
}

const formatRequestId = (hex: string): string => hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
