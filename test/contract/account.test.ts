/** The run on a real account, as a person starts it, with the simulator as the account. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import type { Trial } from '../../bed/ec2/trial.ts'
import { startTrial } from '../../bed/ec2/trial.ts'
import { isAbandoned, nameRun } from './janitor.ts'
import { readAccountSettings } from './settings.ts'

const VPCS = 'vpc-0def0000000000001,vpc-0abc0000000000002'
const KEYS = { AWS_ACCESS_KEY_ID: 'AKIAOWNER', AWS_SECRET_ACCESS_KEY: 'not-a-secret' }
const TAG = 'kube-sg-contract'

function start(t: Test, environment: Readonly<Record<string, string>>) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), 'aws'], {
    env: {
      PATH: process.env.PATH,
      AWS_CONFIG_FILE: '/dev/null',
      AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
      AWS_EC2_METADATA_DISABLED: 'true',
      READ_LAG_SECONDS: '0',
      ...environment
    },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  t.teardown(() => child.kill('SIGKILL'))
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => {
      said += chunk.toString()
    })
  const exited = once(child, 'close') as Promise<[number | null, string | null]>
  return {
    end: async () => ({ code: (await exited)[0], said }),
    said: () => said,
    interrupt: () => child.kill('SIGINT')
  }
}

const onAccount = (trial: Trial) => ({
  ...KEYS,
  AWS_ENDPOINT_URL_EC2: trial.endpoint,
  AWS_REGION: 'eu-west-1',
  VPC_ID: VPCS
})

/** Groups beside those that were there at start. */
async function madeGroups(trial: Trial): Promise<readonly string[]> {
  const { SecurityGroups = [] } = await trial.ec2.describeSecurityGroups({})
  return SecurityGroups.map(({ GroupName = '' }) => GroupName).filter((name) => name !== 'default')
}

const until = async (holds: () => Promise<boolean>): Promise<void> => {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10))
}

t.test('settings: every bad one at once; missing credentials; a VPC that is not there', async (t) => {
  const nothing = await start(t, {}).end()
  t.equal(nothing.code, 1)
  t.match(nothing.said, /2 bad settings:\n- AWS_REGION must be set: .*\n- VPC_ID must be set: the VPC in which groups/)
  const trial = await startTrial(t)
  const { AWS_ACCESS_KEY_ID: _, ...keyless } = onAccount(trial)
  const without = await start(t, keyless).end()
  t.equal(without.code, 1)
  t.match(without.said, /there are no AWS credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID/)
  const elsewhere = await start(t, { ...onAccount(trial), VPC_ID: 'vpc-00000000' }).end()
  t.equal(elsewhere.code, 1)
  t.match(elsewhere.said, /VPC_ID vpc-00000000 cannot be read in eu-west-1: InvalidVpcID.NotFound/)
  for (const VPC_ID of ['vpc-1', `${VPCS},vpc-00000000`])
    t.throws(() => readAccountSettings({ AWS_REGION: 'x', VPC_ID }), { message: /VPC_ID must be the id of a VPC/ })
})

t.test('PLAN_ONLY says what would be done, and writes nothing', async (t) => {
  const trial = await startTrial(t)
  const { code, said } = await start(t, { ...onAccount(trial), PLAN_ONLY: '1' }).end()
  t.equal(code, 0, said)
  t.match(said, /On account 123456789012, Region eu-west-1, VPC vpc-0def0000000000001 and vpc-0abc0000000000002/)
  t.match(said, /run 1\d\d of \d+ cases/)
  t.match(said, /delete each group after its case/)
  t.strictSame(
    new Set((await trial.calls()).map(({ action }) => action)),
    new Set(['DescribeVpcs', 'DescribeSecurityGroups'])
  )
})

t.test('every applicable case passes, foreign groups are not touched, and nothing is left', async (t) => {
  const trial = await startTrial(t)
  const foreign = await trial.createGroup()
  await trial.control('POST', 'policies', { accessKey: 'AKIADENIED', policy: { Version: '2012-10-17', Statement: [] } })
  await trial.control('POST', 'credentials', { accessKey: 'AKIAIOSFODNN7EXAMPLE', state: 'unknown' })
  const denied = { DENIED_AWS_ACCESS_KEY_ID: 'AKIADENIED', DENIED_AWS_SECRET_ACCESS_KEY: 'x' }
  const { code, said } = await start(t, { ...onAccount(trial), ...denied }).end()
  t.equal(code, 0, said)
  const [, applicable = '', all = ''] = /run (\d+) of (\d+) cases/.exec(said) ?? []
  t.match(said, `\n${applicable} passed, 0 failed, ${String(Number(all) - Number(applicable))} not applicable\n`)
  t.match(said, /not applicable {2}1000 rules fit into one call: it lacks another quota/)
  const calls = await trial.calls()
  const firstWrite = calls.findIndex(({ action }) => !action.startsWith('Describe'))
  t.equal(calls[firstWrite]?.action, 'CreateSecurityGroup')
  t.ok(said.indexOf('On account') < said.indexOf('passed'), 'the plan comes first')
  const own = calls.filter(({ accessKey, action }) => accessKey === 'AKIAOWNER' && !action.startsWith('Describe'))
  t.notOk(own.some(({ groupId }) => groupId.includes(foreign)))
  const { SecurityGroups = [] } = await trial.ec2.describeSecurityGroups({})
  t.equal(SecurityGroups.length, 3, 'the two default groups and the foreign one')
})

t.test('after failures, and creations that were never answered, nothing is left', async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'faults', { action: 'CreateSecurityGroup', fault: 'dropReply', times: 3 })
  await trial.control('POST', 'faults', { action: 'RevokeSecurityGroupIngress', fault: 'unauthorized', times: 30 })
  await trial.control('POST', 'faults', { action: 'DeleteSecurityGroup', fault: 'unauthorized', times: 3 })
  const { code, said } = await start(t, onAccount(trial)).end()
  t.equal(code, 1)
  t.match(said, /failed {10}a description is no part of what makes a rule/)
  t.strictSame(await madeGroups(trial), [])
})

t.test('groups that cannot be removed are named, with the command to do so', async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'faults', { action: 'DeleteSecurityGroup', fault: 'unauthorized' })
  const run = start(t, { ...onAccount(trial) })
  await until(async () => (await madeGroups(trial)).length > 3)
  run.interrupt()
  const { code, said } = await run.end()
  t.equal(code, 130)
  t.match(
    said,
    /left behind: sg-\w+ \(UnauthorizedOperation: .*\); aws ec2 delete-security-group --region eu-west-1 --group-id sg-/
  )
})

t.test('interrupted in the middle of a call: what was made is removed', async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'settings', { latencyMs: 100 })
  const run = start(t, onAccount(trial))
  await until(async () => (await madeGroups(trial)).length > 0)
  run.interrupt()
  const { code, said } = await run.end()
  t.equal(code, 130)
  t.match(said, /stopped: removing what was made/)
  t.strictSame(await madeGroups(trial), [])
  t.match(said, /\n[0-5] passed, 0 failed, 0 not applicable\n/, 'a case that was cut short tells nothing')
})

t.test('what a killed run left long ago is told and removed; what a run of now made is not', async (t) => {
  const trial = await startTrial(t)
  const add = async (run: string) => {
    const groupId = await trial.createGroup()
    await trial.ec2.createTags({ Resources: [groupId], Tags: [{ Key: TAG, Value: run }] })
    return groupId
  }
  const old = await add(nameRun(Date.now() - 7 * 3_600_000, 'abc'))
  const young = await add(nameRun(Date.now() - 5 * 3_600_000, 'abc'))
  const run = start(t, onAccount(trial))
  await until(async () => run.said().includes('passed'))
  run.interrupt()
  t.match((await run.end()).said, /delete 1 groups that runs of more than six hours ago left behind/)
  const { SecurityGroups = [] } = await trial.ec2.describeSecurityGroups({
    Filters: [{ Name: 'group-id', Values: [old, young] }]
  })
  t.strictSame(
    SecurityGroups.map(({ GroupId }) => GroupId),
    [young]
  )
  t.equal(isAbandoned('', Date.now()), false, 'a tag that no run wrote')
})
