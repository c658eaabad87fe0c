import t from 'tap'
import type { Trial } from './trial.ts'
import { codeOf, refusal, startTrial, tcp } from './trial.ts'

const GROUP = 'sg-0def0000000000001'
const ACTION = 'AuthorizeSecurityGroupIngress'

const authorize = ({ ec2 }: Trial, cidr = '10.0.0.1/32') =>
  ec2.authorizeSecurityGroupIngress({ GroupId: GROUP, IpPermissions: [tcp(443, cidr)] })

t.test('faults answered before the effect: nothing is done, and after so many times it is over', async (t) => {
  const trial = await startTrial(t)
  const answers = {
    throttle: { code: 'RequestLimitExceeded', status: 503, message: /exceeded its request rate limit/ },
    internalError: { code: 'InternalError', status: 500 },
    unauthorized: {
      code: 'UnauthorizedOperation',
      status: 403,
      message: /ec2:AuthorizeSecurityGroupIngress on resource: arn:/
    }
  }
  for (const [fault, answer] of Object.entries(answers)) {
    await trial.control('POST', 'faults', { action: ACTION, fault, times: 2 })
    t.match(await refusal(authorize(trial)), answer)
    await trial.ec2.describeVpcs({})
    t.match(await refusal(authorize(trial)), answer)
    t.strictSame(await trial.rulesOf(GROUP), [])
  }
  await authorize(trial)
  const log = (await trial.calls()).filter((call) => call.action === ACTION)
  t.strictSame(
    log.map(({ code, fault }) => [code, fault]),
    [
      ['RequestLimitExceeded', 'throttle'],
      ['RequestLimitExceeded', 'throttle'],
      ['InternalError', 'internalError'],
      ['InternalError', 'internalError'],
      ['UnauthorizedOperation', 'unauthorized'],
      ['UnauthorizedOperation', 'unauthorized'],
      ['', '']
    ]
  )
  t.ok(
    log.every(({ groupId, rules }) => groupId === GROUP && rules[0]?.cidr === '10.0.0.1/32'),
    'what was meant is told'
  )
})

t.test('internalError after the effect: the call failed and was done', async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'faults', { action: ACTION, fault: 'internalError', effect: 'after', times: 1 })
  t.match(await refusal(authorize(trial)), { code: 'InternalError', status: 500 })
  t.strictSame(await trial.rulesOf(GROUP), ['tcp 443-443 10.0.0.1/32'])
  t.match((await trial.calls())[0], { code: '', fault: 'internalError' }, 'the log tells what became of it')
})

t.test('reset: the connection is cut once the request is read, and nothing is done', async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'faults', { action: ACTION, fault: 'reset', times: 1 })
  t.match(await refusal(authorize(trial)), { message: /ECONNRESET|socket hang up/ })
  t.strictSame(await trial.rulesOf(GROUP), [])
  t.match(await trial.calls(), [{ action: ACTION, groupId: GROUP, code: 'reset', fault: 'reset' }])
  await authorize(trial)
})

t.test('dropReply: the call is done and the answer lost, also when the answer is a refusal', async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'faults', { action: ACTION, fault: 'dropReply', times: 2 })
  t.match(await refusal(authorize(trial)), { message: /ECONNRESET|socket hang up/ })
  t.strictSame(await trial.rulesOf(GROUP), ['tcp 443-443 10.0.0.1/32'])
  t.match(await refusal(authorize(trial)), { message: /ECONNRESET|socket hang up/ })
  t.equal(await codeOf(authorize(trial)), 'InvalidPermission.Duplicate')
  t.strictSame(
    (await trial.calls()).map(({ code }) => code),
    ['', 'InvalidPermission.Duplicate', 'InvalidPermission.Duplicate']
  )
})

t.test('hang: no answer ever comes; before the effect, or after it', async (t) => {
  const trial = await startTrial(t)
  for (const [effect, rules] of [
    ['before', 0],
    ['after', 1]
  ] as const) {
    await trial.control('POST', 'faults', { action: ACTION, fault: 'hang', effect, times: 1 })
    const abort = new AbortController()
    const call = trial.ec2.authorizeSecurityGroupIngress(
      { GroupId: GROUP, IpPermissions: [tcp(443, '10.0.0.1/32')] },
      { abortSignal: abort.signal }
    )
    const ended = refusal(call)
    const logged = (await trial.calls()).length
    while ((await trial.calls()).length === logged) await new Promise((resolve) => setTimeout(resolve, 5))
    t.equal((await trial.rulesOf(GROUP)).length, rules, effect)
    abort.abort()
    t.match(await ended, { code: 'AbortError' })
  }
})

t.test('stale: a Describe answers from the past, writes are of the present', async (t) => {
  const trial = await startTrial(t)
  const { ec2, control } = trial
  const describe = async () => {
    const { SecurityGroupRules = [] } = await ec2.describeSecurityGroupRules({
      Filters: [{ Name: 'group-id', Values: [GROUP] }]
    })
    return SecurityGroupRules.filter((rule) => !rule.IsEgress && rule.CidrIpv4 !== undefined).map(
      (rule) => rule.CidrIpv4
    )
  }
  await authorize(trial)
  await control('POST', 'faults', { action: '*', fault: 'stale', staleSeconds: 300, times: 3 })
  t.strictSame(await describe(), [])
  t.equal(await codeOf(ec2.describeSecurityGroups({ GroupIds: [GROUP] })), 'InvalidGroup.NotFound', 'not there yet')
  t.equal(await codeOf(authorize(trial)), 'InvalidPermission.Duplicate', 'writes are not stale, and use none up')
  t.strictSame(await describe(), [])
  t.strictSame(await describe(), ['10.0.0.1/32'], 'over after three reads')
})

t.test("faults hold for '*', for seconds, until deleted, in the order of adding", async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'faults', { action: ACTION, fault: 'throttle', times: 1 })
  await trial.control('POST', 'faults', { action: '*', fault: 'internalError', seconds: 600 })
  t.equal(await codeOf(authorize(trial)), 'RequestLimitExceeded')
  t.equal(await codeOf(authorize(trial)), 'InternalError')
  t.equal(await codeOf(trial.ec2.describeVpcs({})), 'InternalError')
  t.match(await trial.control('GET', 'faults'), { faults: [{ action: '*', fault: 'internalError', seconds: 600 }] })
  await trial.control('DELETE', 'faults')
  await authorize(trial)
})

t.test('token buckets: 50 calls at once, the 51st is throttled, other actions are not', async (t) => {
  const trial = await startTrial(t)
  await trial.control('POST', 'settings', { buckets: 'on' })
  const calls = Array.from({ length: 80 }, (_, i) => authorize(trial, `10.0.1.${String(i)}/32`))
  const results = await Promise.allSettled(calls)
  const throttled = results.filter(({ status }) => status === 'rejected').length
  t.ok(throttled > 0 && throttled <= 30, `${String(throttled)} of 80 throttled`)
  t.equal((await trial.calls()).filter(({ code }) => code === 'RequestLimitExceeded').length, throttled)
  t.equal((await trial.rulesOf(GROUP)).length, Math.min(60, 80 - throttled))
  await trial.ec2.describeVpcs({})
})
