/** moto as a target: one process for a whole run. https://github.com/getmoto/moto */
import { EC2 } from '@aws-sdk/client-ec2'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { installMoto } from '../../../bed/ec2/clients/install.ts'
import type { Capability, VpcKind } from '../case.ts'
import type { Target } from '../suite.ts'
import type { RunningTarget } from './simulator.ts'
import { createNamelessGroup, withSubject } from './subject.ts'

const REGION = 'eu-west-1'
const CAPABLE: readonly Capability[] = ['a default VPC', 'a VPC that is not the default']
const START_MS = 60_000

/**
 * Installs moto if need be, and starts it on a port of the system's choice. Ended by `close`.
 * @param environment the user's; none of its AWS settings reach moto
 * @param tell what takes long is told here
 */
export async function startMoto(
  environment: Readonly<Record<string, string | undefined>>,
  tell: (line: string) => void
): Promise<RunningTarget> {
  const python = await installMoto(environment, tell)
  const own = Object.fromEntries(Object.entries(environment).filter(([name]) => !/^(AWS|MOTO)_/.test(name)))
  const child = spawn(python, ['-m', 'moto.server', '--host', '127.0.0.1', '--port', '0'], {
    env: { ...own, PYTHONUNBUFFERED: '1', NO_COLOR: '1' },
    stdio: ['ignore', 'ignore', 'pipe']
  })
  const exited = once(child, 'exit')
  const close = async (): Promise<void> => {
    child.kill('SIGKILL')
    await exited
  }
  try {
    const endpoint = await readEndpoint(createInterface({ input: child.stderr }), exited)
    // Nobody reads its log, and a full pipe would stop it.
    child.stderr.resume()
    return { ...motoAt(endpoint, await createVpcs(endpoint)), close }
  } catch (error) {
    await close()
    throw error
  }
}

type Vpcs = Readonly<Record<VpcKind, string>>

const configOf = (endpoint: string) => ({
  endpoint,
  region: REGION,
  credentials: { accessKeyId: 'AKIACASE', secretAccessKey: 'not-a-secret' }
})

const motoAt = (endpoint: string, vpcs: Vpcs): Target => ({
  name: 'moto',
  capabilities: new Set(CAPABLE),
  withSubject: (run) =>
    withSubject(
      {
        endpoint,
        region: REGION,
        config: configOf(endpoint),
        quota: 60,
        vpcs,
        readLag: 0,
        createGroup: createNamelessGroup,
        // They go with the process.
        removeGroups: () => Promise.resolve()
      },
      run
    )
})

/** Its server prints the port that it was given, once it listens. */
async function readEndpoint(lines: AsyncIterable<string>, exited: Promise<unknown>): Promise<string> {
  const said: string[] = []
  const read = async (): Promise<string> => {
    for await (const line of lines) {
      said.push(line)
      const endpoint = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1]
      if (endpoint !== undefined) return endpoint
    }
    throw new Error(`moto ended before it listened:\n${said.join('\n')}`)
  }
  const timeout = AbortSignal.timeout(START_MS)
  const late = once(timeout, 'abort').then(() => {
    throw new Error(`moto did not listen within ${String(START_MS / 1000)} s:\n${said.join('\n')}`)
  })
  return Promise.race([read(), late, exited.then(() => read())])
}

/** It has a default VPC at start; another is made. */
async function createVpcs(endpoint: string): Promise<Vpcs> {
  const ec2 = new EC2(configOf(endpoint))
  const { Vpcs = [] } = await ec2.describeVpcs({})
  const { Vpc } = await ec2.createVpc({ CidrBlock: '10.64.0.0/16' })
  ec2.destroy()
  return { default: Vpcs.find(({ IsDefault }) => IsDefault)?.VpcId ?? '', other: Vpc?.VpcId ?? '' }
}
