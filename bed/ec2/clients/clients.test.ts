import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { ACTIONS } from '../actions/table.ts'
import { startTrial } from '../trial.ts'
import { installClients } from './install.ts'

const run = promisify(execFile)

/** Nothing of the user's own AWS settings reaches the clients. */
const environment = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('AWS_')))
const clientEnvironment = {
  ...environment,
  AWS_CONFIG_FILE: '/dev/null',
  AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  AWS_EC2_METADATA_DISABLED: 'true',
  AWS_REGION: 'eu-west-1',
  AWS_DEFAULT_REGION: 'eu-west-1',
  AWS_ACCESS_KEY_ID: 'AKIACLI',
  AWS_SECRET_ACCESS_KEY: 'not-a-secret',
  AWS_MAX_ATTEMPTS: '1',
  AWS_PAGER: ''
}

const python = await installClients(environment, (line) => t.comment(line))

t.test("boto3: every action, each answer checked against botocore's model", async (t) => {
  const { endpoint, control } = await startTrial(t)
  await control('POST', 'policies', { accessKey: 'AKIADENIED', policy: { Version: '2012-10-17', Statement: [] } })
  const smoke = join(import.meta.dirname, 'smoke.py')
  const { stdout } = await run(python, [smoke, endpoint], { env: clientEnvironment })
  t.strictSame(stdout.trim().split('\n'), [...ACTIONS.keys()].sort())
})

t.test('AWS CLI: rules by flat parameters, pages, revoke by id, an error', async (t) => {
  const { endpoint, createGroup, rulesOf } = await startTrial(t)
  const aws = async (...words: string[]): Promise<Record<string, unknown>> => {
    const argv = ['-m', 'awscli', 'ec2', ...words, '--endpoint-url', endpoint, '--output', 'json']
    const { stdout } = await run(python, argv, { env: clientEnvironment })
    return JSON.parse(stdout) as Record<string, unknown>
  }
  const group = await createGroup()
  const flat = ['--group-id', group, '--protocol', 'tcp', '--port', '443', '--cidr']
  const { SecurityGroupRules } = await aws('authorize-security-group-ingress', ...flat, '10.0.0.1/32')
  const [rule] = SecurityGroupRules as { SecurityGroupRuleId: string }[]
  t.strictSame(await rulesOf(group), ['tcp 443-443 10.0.0.1/32'])
  t.match(await aws('describe-security-groups', '--page-size', '5'), { SecurityGroups: [{}, {}, { GroupId: group }] })
  await t.rejects(aws('authorize-security-group-ingress', ...flat, '10.0.0.1/32'), {
    message:
      /An error occurred \(InvalidPermission.Duplicate\) when calling the AuthorizeSecurityGroupIngress operation/
  })
  await aws(
    'revoke-security-group-ingress',
    '--group-id',
    group,
    '--security-group-rule-ids',
    rule?.SecurityGroupRuleId ?? ''
  )
  t.strictSame(await rulesOf(group), [])
})

t.test('a Python that is missing is named, with what to do', async (t) => {
  const none = { ...environment, PATH: '/nonexistent' }
  await t.rejects(
    installClients(none, () => undefined),
    { message: /python3 could not be run: install Python 3.9 or newer with its venv module, for boto3/ }
  )
})
