/** Faults put into the simulator by tests. Every matching call is hit, so runs repeat. Pure: the time is an argument. */

export const FAULTS = [
  /** 503 RequestLimitExceeded, nothing done. */
  'throttle',
  /** 500 InternalError, before or after the effect. */
  'internalError',
  /** 403 UnauthorizedOperation, nothing done. */
  'unauthorized',
  /** The connection is cut once the request is read, nothing done. */
  'reset',
  /** The request is read and never answered; before or after the effect. */
  'hang',
  /** The call takes effect and the connection is cut instead of a reply. */
  'dropReply',
  /** A Describe answers from a snapshot of some seconds ago. */
  'stale'
] as const

export type FaultKind = (typeof FAULTS)[number]

export interface Fault {
  /** An action's name, or `*`. */
  readonly action: string
  readonly fault: FaultKind
  /** Hits only calls on this group, or that name it in a filter; undefined for any. */
  readonly groupId?: string | undefined
  /** How many calls it hits; undefined for no such limit. */
  readonly times: number | undefined
  /** For how long it holds; undefined for no such limit. */
  readonly seconds: number | undefined
  /** How old a stale read is. */
  readonly staleSeconds: number
  /** Whether internalError and hang strike before or after the effect; undefined leaves it to the seed, or before. */
  readonly effect: 'before' | 'after' | undefined
  /** Draws what is left open: before or after, and for stale reads an age from 0 to staleSeconds. */
  readonly seed: number | undefined
}

/** What hits one call. */
export interface Hit {
  readonly fault: FaultKind
  readonly effect: 'before' | 'after'
  readonly staleSeconds: number
}

export interface Faults {
  add(fault: Fault, now: number): void
  /** Takes all away, or those on one group. */
  clear(groupId?: string): void
  /** The first fault, in the order of adding, that matches; counted as used. */
  take(action: string, now: number, groupIds?: readonly string[]): Hit | undefined
  /** Those that may still hit, with the times that are left. */
  list(now: number): readonly Fault[]
}

interface Active {
  readonly fault: Fault
  left: number
  readonly until: number
  readonly random: (() => number) | undefined
}

export function createFaults(): Faults {
  let active: Active[] = []
  const prune = (now: number): void => {
    active = active.filter(({ left, until }) => left > 0 && now < until)
  }
  return {
    add(fault, now) {
      active.push({
        fault,
        left: fault.times ?? Infinity,
        until: fault.seconds === undefined ? Infinity : now + fault.seconds * 1000,
        random: fault.seed === undefined ? undefined : seeded(fault.seed)
      })
    },
    clear(groupId) {
      active = groupId === undefined ? [] : active.filter(({ fault }) => fault.groupId !== groupId)
    },
    take(action, now, groupIds = []) {
      prune(now)
      const found = active.find(({ fault }) => matches(fault, action, groupIds))
      if (found === undefined) return undefined
      found.left--
      return draw(found)
    },
    list(now) {
      prune(now)
      return active.map(({ fault, left }) => ({ ...fault, times: left === Infinity ? undefined : left }))
    }
  }
}

const matches = (fault: Fault, action: string, groupIds: readonly string[]): boolean =>
  (fault.action === '*' || fault.action === action) &&
  (fault.groupId === undefined || groupIds.includes(fault.groupId)) &&
  (fault.fault !== 'stale' || action.startsWith('Describe'))

function draw({ fault, random }: Active): Hit {
  const chance = random?.()
  return { fault: fault.fault, effect: effectOf(fault, chance), staleSeconds: fault.staleSeconds * (chance ?? 1) }
}

function effectOf({ fault, effect }: Fault, chance: number | undefined): 'before' | 'after' {
  if (fault === 'dropReply') return 'after'
  if (fault !== 'internalError' && fault !== 'hang') return 'before'
  return effect ?? (chance !== undefined && chance < 0.5 ? 'after' : 'before')
}

/** mulberry32: small, and the same on every machine. */
function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
