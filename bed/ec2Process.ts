/** The EC2 simulator on the bed, and how AWS clients are pointed at it. */
import { join } from 'node:path'
import type { Settings } from './bedPlan.ts'
import { answersOk } from './kubeApi.ts'
import type { PortBlock } from './ports.ts'
import type { ProcessTable } from './processTable.ts'

export const REGION = 'us-east-1'

export interface Ec2Options {
  readonly root: string
  readonly node: string
  readonly directory: string
  readonly ports: PortBlock
  readonly processes: ProcessTable
  readonly tell: (step: string) => void
}

/** Starts it. @returns its URL */
export async function startEc2({ root, node, directory, ports, processes, tell }: Ec2Options): Promise<string> {
  const port = await ports.next()
  const url = `http://127.0.0.1:${port}`
  tell('ec2')
  processes.add({
    name: 'ec2',
    command: node,
    args: [join(root, 'bed', 'ec2', 'main.ts')],
    environment: { PORT: String(port) },
    cwd: directory,
    ready: () => answersOk(`${url}/_sim/groups`),
    // It holds its groups in memory: to start it again unasked would hide that they are gone.
    restart: false
  })
  await processes.run('start', 'ec2')
  return url
}

/** What a client needs to speak to the simulator. The access key tells callers apart there. */
export const awsOf = (ec2Url: string, accessKey: string) => ({
  AWS_REGION: REGION,
  // What version 1 of the AWS CLI reads instead.
  AWS_DEFAULT_REGION: REGION,
  AWS_ENDPOINT_URL_EC2: ec2Url,
  AWS_ACCESS_KEY_ID: accessKey,
  AWS_SECRET_ACCESS_KEY: 'not-a-secret'
})

/** Keeps a client from whatever the user of this machine has configured for the real AWS. */
export const AWS_APART: Settings = {
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true'
}
