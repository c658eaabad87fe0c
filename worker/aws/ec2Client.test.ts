import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { EC2Client, DescribeSecurityGroupsCommand } from '@aws-sdk/client-ec2'
import t from 'tap'
import type { Test } from 'tap'
import { Ec2Failure } from '../securityGroups.ts'
import { WorldClock } from '../worldClockFixture.ts'
import { connectEc2, createEc2 } from './ec2Client.ts'
import type { Action, CallReport, Ec2 } from './ec2Client.ts'

const LIMIT = { burst: 2, perSecond: 1 }
const limits: Record<Action, typeof LIMIT> = {
  AuthorizeSecurityGroupIngress: LIMIT,
  RevokeSecurityGroupIngress: LIMIT,
  ModifySecurityGroupRules: LIMIT,
  DescribeSecurityGroupRules: LIMIT,
  DescribeSecurityGroups: LIMIT
}

function world({ client = new EC2Client({ region: 'eu-west-1' }), mayWrite = (): boolean => true } = {}) {
  const clock = new WorldClock()
  const reports: CallReport[] = []
  const onCall = (report: CallReport): void => void reports.push(report)
  return { clock, reports, ec2: createEc2({ client, timeout: 5000, mayWrite, onCall, timers: clock, limits }) }
}

const failureOf = async (call: Promise<unknown>): Promise<Ec2Failure | undefined> =>
  call.then(
    () => undefined,
    (error: unknown) => (error instanceof Ec2Failure ? error : undefined)
  )

const never = (): Promise<never> => new Promise(() => undefined)

t.test('a call that looks at no signal ends in time all the same', async (t) => {
  const { clock, ec2, reports } = world()
  let signalled: AbortSignal | undefined
  const failed = failureOf(
    ec2.call('DescribeSecurityGroups', (_client, signal) => {
      signalled = signal
      return never()
    })
  )
  await clock.advance(4999)
  t.equal(reports.length, 0)
  await clock.advance(1)
  t.equal((await failed)?.kind, 'unavailable')
  t.same(reports, [{ action: 'DescribeSecurityGroups', code: 'TimeoutError', seconds: 5, waited: 0 }])
  t.equal(signalled?.aborted, true)
})

t.test('a search for credentials that never ends is given up', async (t) => {
  const clock = new WorldClock()
  const client = new EC2Client({ region: 'eu-west-1', credentials: never })
  const ec2 = createEc2({ client, timeout: 5000, mayWrite: () => true, onCall: () => undefined, timers: clock })
  const failed = failureOf(
    ec2.call('DescribeSecurityGroups', (client, abortSignal) =>
      client.send(new DescribeSecurityGroupsCommand({}), { abortSignal })
    )
  )
  await clock.advance(5000)
  t.equal((await failed)?.code, 'TimeoutError')
})

/** A service on a port of its own. */
async function serve(t: Test, answer: (response: ServerResponse) => void): Promise<string> {
  const server = createServer((request, response) => request.resume().on('end', () => answer(response)))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`
}

/** What the SDK finds in its environment until the test ends. */
function surround(t: Test, environment: Readonly<Record<string, string>>): void {
  const before = process.env
  t.teardown(() => (process.env = before))
  const others = Object.entries(before).filter(([name]) => !name.startsWith('AWS_'))
  const files = { AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' }
  process.env = { ...Object.fromEntries(others), ...files, ...environment }
}

for (const [said, status, kind] of [
  ['InvalidIdentityToken', 400, 'credentials'],
  ['IDPCommunicationError', 400, 'credentials'],
  ['AccessDenied', 403, 'credentials'],
  ['SomethingNew', 400, 'credentials'],
  ['ServiceUnavailable', 503, 'credentials'],
  ['Throttling', 400, 'throttled']
] as const)
  t.test(`${said} of STS is ${kind}: EC2 was not asked, and no rule is at fault`, async (t) => {
    const error = `<Error><Type>Sender</Type><Code>${said}</Code><Message>made to fail</Message></Error>`
    const sts = await serve(t, (response) => {
      response.writeHead(status, { 'content-type': 'text/xml', connection: 'close' })
      response.end(`<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${error}</ErrorResponse>`)
    })
    surround(t, {
      AWS_ROLE_ARN: 'arn:aws:iam::123456789012:role/kube-sg',
      AWS_WEB_IDENTITY_TOKEN_FILE: join(t.testdir({ token: 'x.y.z' }), 'token'),
      AWS_ENDPOINT_URL_STS: sts,
      AWS_ENDPOINT_URL_EC2: 'http://127.0.0.1:9'
    })
    const { ec2 } = world({ client: connectEc2('eu-west-1', 5000) })
    const failed = await failureOf(
      ec2.call('DescribeSecurityGroups', (client, abortSignal) =>
        client.send(new DescribeSecurityGroupsCommand({}), { abortSignal })
      )
    )
    t.equal(failed?.kind, kind)
  })

t.test('a hundred calls at once leave at once, though EC2 takes longer than a connection may', async (t) => {
  const waiting: ServerResponse[] = []
  const url = await serve(t, (response) => {
    waiting.push(response)
    if (waiting.length === 100)
      setTimeout(() => waiting.forEach((each) => each.writeHead(403, { connection: 'close' }).end()), 2200)
  })
  surround(t, { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_ENDPOINT_URL_EC2: url })
  const client = connectEc2('eu-west-1', 10_000)
  const names = Array.from({ length: 100 }, () =>
    client.send(new DescribeSecurityGroupsCommand({})).then(
      () => 'answered',
      (error: unknown) => (error as Error).name
    )
  )
  t.notOk((await Promise.all(names)).includes('TimeoutError'))
  t.equal(waiting.length, 100)
})

t.test('a call that ends leaves no timer behind', async (t) => {
  const { clock, ec2 } = world()
  let signalled: AbortSignal | undefined
  await ec2.call('DescribeSecurityGroups', (_client, signal) => {
    signalled = signal
    return Promise.resolve()
  })
  await clock.advance(10_000)
  t.equal(signalled?.aborted, false)
})

const turns = async (t: Test, ec2: Ec2, clock: WorldClock, actions: Action[]): Promise<number[]> => {
  const at: number[] = []
  const start = clock.now()
  const calls = actions.map((action) => ec2.call(action, () => Promise.resolve(at.push(clock.now() - start))))
  await clock.advance(10_000)
  await Promise.all(calls)
  t.equal(at.length, actions.length)
  return at
}

t.test('each action has a bucket of its own: waiting grants hold no revoke back', async (t) => {
  const { clock, ec2, reports } = world()
  const grants: Action[] = Array.from({ length: 4 }, () => 'AuthorizeSecurityGroupIngress')
  t.same(await turns(t, ec2, clock, [...grants, 'RevokeSecurityGroupIngress']), [0, 0, 0, 1000, 2000])
  t.same(
    reports.map(({ waited }) => waited),
    [0, 0, 0, 1, 2]
  )
})

t.test('the lease is looked at when the turn has come, not when it was waited for', async (t) => {
  let ours = true
  const { clock, ec2, reports } = world({ mayWrite: () => ours })
  const calls = Array.from({ length: 3 }, () =>
    failureOf(ec2.call('RevokeSecurityGroupIngress', () => Promise.resolve()))
  )
  await clock.advance(500)
  ours = false
  await clock.advance(1000)
  t.same(
    (await Promise.all(calls)).map((failure) => failure?.kind),
    [undefined, undefined, 'notLeading']
  )
  t.equal(reports.length, 2, 'what never left is no call')
  t.equal(await failureOf(ec2.call('DescribeSecurityGroups', () => Promise.resolve())), undefined, 'reads go on')
})
