import t from 'tap'
import { classify, HANDLING } from './failures.ts'

const cases = [
  ['RequestLimitExceeded', 503, 'throttled'],
  ['Client.RequestLimitExceeded', 400, 'throttled'],
  ['Unheard.Of', 429, 'throttled'],
  ['InternalError', 500, 'unavailable'],
  ['Unavailable', 503, 'unavailable'],
  ['TimeoutError', undefined, 'unavailable'],
  ['ECONNRESET', undefined, 'unavailable'],
  ['SyntaxError', 200, 'unavailable'],
  ['InvalidPermission.Duplicate', 400, 'duplicate'],
  ['InvalidSecurityGroupRuleId.NotFound', 400, 'ruleNotFound'],
  ['InvalidGroup.NotFound', 400, 'groupNotFound'],
  ['RulesPerSecurityGroupLimitExceeded', 400, 'quota'],
  ['UnauthorizedOperation', 403, 'denied'],
  ['ExpiredToken', 400, 'credentials'],
  ['CredentialsProviderError', undefined, 'credentials'],
  ['InvalidParameterValue', 400, 'rejected']
] as const
for (const [code, status, kind] of cases) {
  t.test(`${code} with ${String(status)} is ${kind}`, async (t) => t.equal(classify(code, status), kind))
}
t.test('only what EC2 did not refuse may have happened', async (t) => {
  const maybe = Object.entries(HANDLING).filter(([, { maybeApplied }]) => maybeApplied)
  t.same(
    maybe.map(([kind]) => kind),
    ['unavailable']
  )
})
t.test('whatever may have happened, or refutes our view, makes us look again', async (t) => {
  for (const kind of ['unavailable', 'duplicate', 'ruleNotFound', 'quota', 'groupNotFound', 'rejected'] as const)
    t.ok(HANDLING[kind].observeAgain, kind)
})
