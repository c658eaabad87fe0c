/** What EC2 refuses for itself must not cost calls at every event of its group. */
import { AuthorizeSecurityGroupIngressCommand } from '@aws-sdk/client-ec2'
import t from 'tap'
import { GROUP } from './podFixture.ts'
import { createWorld, reasonOf, runPod } from './worldFixture.ts'
import type { World } from './worldFixture.ts'

/** EC2 refuses every call that holds a rule for the address. */
function poison(world: World, cidr: string): { cured: boolean } {
  const state = { cured: false }
  const client = world.ec2.client.bind(world.ec2)
  world.ec2.client = (caller) => {
    const inner = client(caller)
    const send = (command: unknown, options: unknown): unknown => {
      const bad =
        command instanceof AuthorizeSecurityGroupIngressCommand && JSON.stringify(command.input).includes(cidr)
      if (!bad || state.cured) return (inner.send as (command: unknown, options: unknown) => unknown)(command, options)
      world.ec2.calls.set('refused', (world.ec2.calls.get('refused') ?? 0) + 1)
      const error = Object.assign(new Error('made to fail'), { $metadata: { httpStatusCode: 400 } })
      return Promise.reject(Object.assign(error, { name: 'TagPolicyViolation' }))
    }
    return { send } as typeof inner
  }
  return state
}

t.test('a refused rule is left alone for a minute, told of, and made once EC2 takes it', async (t) => {
  const world = createWorld([GROUP])
  const state = poison(world, '10.64.0.1/32')
  world.restart()
  await runPod(world, 'poisoned', '10.64.0.1')
  for (let index = 2; index < 30; index++) await runPod(world, `p-${String(index)}`, `10.64.0.${String(index)}`)
  await world.clock.advance(20_000)
  t.same([reasonOf(world, 'poisoned'), reasonOf(world, 'p-29')], ['AuthorizeFailed', 'RulesInEffect'])
  world.ec2.calls.clear()
  for (let index = 30; index < 50; index++) {
    await runPod(world, `p-${String(index)}`, `10.64.0.${String(index)}`)
    await world.clock.advance(1000)
  }
  t.same([reasonOf(world, 'poisoned'), reasonOf(world, 'p-49')], ['AuthorizeFailed', 'RulesInEffect'])
  t.equal(world.ec2.calls.get('refused') ?? 0, 0)
  state.cured = true
  await world.clock.advance(80_000)
  t.equal(reasonOf(world, 'poisoned'), 'RulesInEffect')
})
