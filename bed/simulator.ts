/** The EC2 simulator's control surface, as a client. */

export interface SimulatedRule {
  readonly ruleId: string
  readonly protocol: string
  readonly fromPort: number
  readonly toPort: number
  readonly cidr: string
  readonly description: string
  readonly tags: Readonly<Record<string, string>>
}

export interface SimulatedGroup {
  readonly groupId: string
  readonly vpcId: string
  readonly tags: Readonly<Record<string, string>>
  /** Ingress only. */
  readonly rules: readonly SimulatedRule[]
}

export interface SimulatedCall {
  readonly n: number
  /** Milliseconds since 1970. */
  readonly startedAt: number
  readonly endedAt: number
  readonly action: string
  readonly groupId: string
  readonly rules: readonly Pick<SimulatedRule, 'protocol' | 'fromPort' | 'toPort' | 'cidr'>[]
  /** Empty when the call succeeded. */
  readonly code: string
  readonly accessKey: string
  /** What hit it; empty for none. */
  readonly fault: string
}

export interface Fault {
  readonly action: string
  /** Only calls on this group. */
  readonly groupId?: string
  readonly fault: 'throttle' | 'internalError' | 'unauthorized' | 'reset' | 'hang' | 'dropReply' | 'stale'
  readonly times?: number
  readonly seconds?: number
  readonly staleSeconds?: number
  /** Whether internalError and hang strike before or after the effect; before. */
  readonly effect?: 'before' | 'after'
  readonly seed?: number
}

export interface SimulatorSettings {
  readonly rulesPerGroup?: number
  readonly buckets?: 'on' | 'off' | boolean
  readonly latencyMs?: number
}

export interface SimulatorClient {
  groups(): Promise<readonly SimulatedGroup[]>
  /** The ingress rules of one group; an error when there is no such group. */
  rules(groupId: string): Promise<readonly SimulatedRule[]>
  /** Calls after the n-th. */
  calls(since?: number): Promise<readonly SimulatedCall[]>
  fault(fault: Fault): Promise<void>
  /** All of them, or those on one group. */
  clearFaults(groupId?: string): Promise<void>
  settings(settings: SimulatorSettings): Promise<void>
  policies(body: unknown): Promise<void>
  /** `unknown`, `expired`, or null for a key that is good again. */
  credentials(body: { accessKey: string; state: 'unknown' | 'expired' | null }): Promise<void>
  /** Back to the state at its start. */
  reset(): Promise<void>
}

/** @param url of the simulator, without a slash at its end */
export function simulatorClient(url: string): SimulatorClient {
  const tell = async (method: 'POST' | 'DELETE', path: string, body?: unknown): Promise<void> => {
    await ask(method, path, body)
  }
  async function ask(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown): Promise<unknown> {
    const answer = await fetch(`${url}/_sim/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${method} /_sim/${path} answered ${answer.status}: ${text}`)
    return text === '' ? {} : JSON.parse(text)
  }
  const groups = async (): Promise<readonly SimulatedGroup[]> =>
    ((await ask('GET', 'groups')) as { groups: SimulatedGroup[] }).groups
  return {
    groups,
    async rules(groupId) {
      const group = (await groups()).find((each) => each.groupId === groupId)
      if (group === undefined) throw new Error(`EC2 has no group ${groupId}`)
      return group.rules
    },
    calls: async (since = 0) => ((await ask('GET', `calls?since=${since}`)) as { calls: SimulatedCall[] }).calls,
    fault: (fault) => tell('POST', 'faults', fault),
    clearFaults: (groupId) => tell('DELETE', groupId === undefined ? 'faults' : `faults?groupId=${groupId}`),
    settings: (settings) => tell('POST', 'settings', settings),
    policies: (body) => tell('POST', 'policies', body),
    credentials: (body) => tell('POST', 'credentials', body),
    reset: () => tell('POST', 'reset')
  }
}
