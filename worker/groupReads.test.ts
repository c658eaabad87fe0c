import t from 'tap'
import type { SecurityGroupId } from '../shared/rules.ts'
import { shareGroupReads } from './groupReads.ts'
import { GROUP, OTHER_GROUP } from './podFixture.ts'
import type { ObservedGroup } from './securityGroups.ts'
import { createWorld, runPod } from './worldFixture.ts'

const THIRD = 'sg-00000003' as SecurityGroupId
const known = (groupId: SecurityGroupId): ObservedGroup => ({ groupId, vpcId: 'vpc-1', optedIn: true })

t.test('what is asked for during a read goes into the next one, and each gets its own', async (t) => {
  const reads: (readonly SecurityGroupId[])[] = []
  const ends: (() => void)[] = []
  const read = shareGroupReads(async (groupIds) => {
    reads.push(groupIds)
    await new Promise<void>((resolve) => ends.push(resolve))
    return groupIds.filter((groupId) => groupId !== THIRD).map(known)
  })
  const answers = [[GROUP], [OTHER_GROUP, THIRD], [OTHER_GROUP]].map((groupIds) => read(groupIds))
  ends.shift()?.()
  t.same(await answers[0], [known(GROUP)])
  await Promise.resolve()
  ends.shift()?.()
  t.same(await Promise.all(answers), [[known(GROUP)], [known(OTHER_GROUP)], [known(OTHER_GROUP)]])
  t.same(reads, [[GROUP], [OTHER_GROUP, THIRD]])
})

t.test('a failure is told to all who asked, and the next read is made', async (t) => {
  let fails = true
  const read = shareGroupReads((groupIds) =>
    fails ? Promise.reject(new Error('no answer')) : Promise.resolve(groupIds.map(known))
  )
  const asked = await Promise.allSettled([read([GROUP]), read([OTHER_GROUP])])
  t.same(
    asked.map(({ status }) => status),
    ['rejected', 'rejected']
  )
  fails = false
  t.same(await read([GROUP]), [known(GROUP)])
})

t.test('pods that ask for hundreds of groups which do not exist keep nobody else waiting', async (t) => {
  const world = createWorld([GROUP])
  world.restart()
  await runPod(world, 'a', '10.64.200.1')
  const running = { phase: 'Running', startedAt: world.clock.now() }
  for (let index = 0; index < 400; index++) {
    const groupId = `sg-${String(index).padStart(8, '0')}`
    const addresses = [`10.64.${String(index >> 8)}.${String(index & 255)}`]
    world.cluster.create(
      `p-${String(index)}`,
      { [`sg.amazonaws.com/${groupId}`]: 'tcp:443' },
      { ...running, addresses }
    )
  }
  await world.clock.advance(120_000)
  world.ec2.calls.clear()
  await world.clock.advance(60_000)
  const calls = world.ec2.calls.get('DescribeSecurityGroups') ?? 0
  t.ok(calls < 100, `${String(calls)} calls a minute`)
  world.cluster.edit('a', { phase: 'Succeeded', containersTerminatedAt: world.clock.now() })
  await world.clock.advance(1000)
  t.equal(world.ec2.rules.get(GROUP)?.size, 0)
})
