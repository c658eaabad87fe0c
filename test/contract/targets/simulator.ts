/** The simulator as a target: one server for a whole run, in its state at start for each case. */
import { serveSimulator } from '../../../bed/ec2/serve.ts'
import { DEFAULT_VPC_ID, OTHER_VPC_ID } from '../../../bed/ec2/state/account.ts'
import type { Callers, Subject } from '../case.ts'
import { CAPABILITIES } from '../case.ts'
import type { Target } from '../suite.ts'
import { createNamelessGroup, withSubject } from './subject.ts'

const REGION = 'eu-west-1'

export interface RunningTarget extends Target {
  readonly close: () => Promise<void>
}

/** Ended by `close`. @throws Error from `close` when the simulator met defects of its own */
export async function startSimulator(): Promise<RunningTarget> {
  const defects: unknown[] = []
  const server = await serveSimulator({ port: 0, onDefect: (error) => defects.push(error) })
  return {
    ...simulatorAt(server.endpoint),
    async close() {
      await server.close()
      if (defects.length > 0) throw new AggregateError(defects, 'the simulator met defects of its own')
    }
  }
}

/** A simulator that runs already, and that nobody else uses: its state is reset. */
export function simulatorAt(endpoint: string): Target {
  const control: Subject['control'] = async (method, path, body) => {
    const response = await fetch(`${endpoint}/_sim/${path}`, { method, body: JSON.stringify(body) })
    if (!response.ok) throw new Error(`${method} ${path}: HTTP ${String(response.status)} ${await response.text()}`)
  }
  return {
    name: 'simulator',
    capabilities: new Set(CAPABILITIES),
    async withSubject(run) {
      await control('POST', 'reset', {})
      // Set before any case asks for such a caller, so that asking need not wait.
      await control('POST', 'policies', { accessKey: 'AKIADENIED', policy: { Version: '2012-10-17', Statement: [] } })
      await control('POST', 'credentials', { accessKey: 'AKIAUNKNOWN', state: 'unknown' })
      await control('POST', 'credentials', { accessKey: 'AKIAEXPIRED', state: 'expired' })
      await withSubject(
        {
          endpoint,
          region: REGION,
          config: { endpoint, region: REGION, credentials: keys('AKIACASE') },
          quota: 60,
          vpcs: { default: DEFAULT_VPC_ID, other: OTHER_VPC_ID },
          readLag: 0,
          control,
          createGroup: createNamelessGroup,
          // The next case's reset takes them away.
          removeGroups: () => Promise.resolve(),
          callers: (client) => callersOf(client, control)
        },
        run
      )
    }
  }
}

const keys = (accessKeyId: string) => ({ accessKeyId, secretAccessKey: 'not-a-secret' })

const callersOf = (client: Subject['client'], control: Subject['control']): Callers => ({
  withoutPermission: () => client({ credentials: keys('AKIADENIED') }),
  unknown: () => client({ credentials: keys('AKIAUNKNOWN') }),
  expired: () => client({ credentials: keys('AKIAEXPIRED') }),
  async withPolicy(policy) {
    await control('POST', 'policies', { accessKey: 'AKIAPOLICY', policy })
    return client({ credentials: keys('AKIAPOLICY') })
  }
})
