/** The log of calls, read by tests over the control surface. Pure. */

/** A rule as the control surface shows it; `cidr` is the group's id when the source is a group. */
export interface LoggedRule {
  readonly protocol: string
  readonly fromPort: number
  readonly toPort: number
  readonly cidr: string
}

export interface LoggedCall {
  /** 1, 2, ... in the order in which EC2 acted on the calls. */
  readonly n: number
  /** ms since 1970: when the request was read. */
  readonly startedAt: number
  /** ms since 1970: when EC2 had acted; a hung call ends here too. */
  readonly endedAt: number
  readonly action: string
  /** The group that the call is about; several, as in a filter, are joined with commas; empty when none. */
  readonly groupId: string
  readonly rules: readonly LoggedRule[]
  /** EC2's error code, empty when the call took effect, `reset` or `hang` when a fault kept it from doing so. */
  readonly code: string
  readonly accessKey: string
  /** The fault that hit the call, empty when none did. */
  readonly fault: string
}

export interface CallLog {
  append(call: Omit<LoggedCall, 'n'>): void
  /** Calls with a number greater than `n`. */
  since(n: number): readonly LoggedCall[]
}

/** Enough for a soak; the oldest are forgotten first. */
const CAPACITY = 200_000

export function createCallLog(): CallLog {
  let calls: LoggedCall[] = []
  let first = 1
  return {
    append(call) {
      calls.push({ n: first + calls.length, ...call })
      if (calls.length < CAPACITY * 2) return
      first += calls.length - CAPACITY
      calls = calls.slice(-CAPACITY)
    },
    since: (n) => calls.slice(Math.max(0, n + 1 - first))
  }
}
