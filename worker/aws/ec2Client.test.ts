import { EC2Client, DescribeSecurityGroupsCommand } from '@aws-sdk/client-ec2'
import t from 'tap'
import type { Test } from 'tap'
import { Ec2Failure } from '../securityGroups.ts'
import { WorldClock } from '../worldClockFixture.ts'
import { createEc2 } from './ec2Client.ts'
import type { Action, CallReport, Ec2, Ec2Sender } from './ec2Client.ts'

const LIMIT = { burst: 2, perSecond: 1 }
const limits: Record<Action, typeof LIMIT> = {
  AuthorizeSecurityGroupIngress: LIMIT,
  RevokeSecurityGroupIngress: LIMIT,
  ModifySecurityGroupRules: LIMIT,
  DescribeSecurityGroupRules: LIMIT,
  DescribeSecurityGroups: LIMIT
}

function world({ mayWrite = (): boolean => true } = {}) {
  const clock = new WorldClock()
  const reports: CallReport[] = []
  const client: Ec2Sender = new EC2Client({ region: 'eu-west-1' })
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
