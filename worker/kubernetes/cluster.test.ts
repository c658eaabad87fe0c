import t from 'tap'
import type { Call, Connection } from '../../shared/kubernetes/connection.ts'
import { podOf } from '../podFixture.ts'
import { clusterOf } from './cluster.ts'

t.test('a pod is changed soon after it was decided, or not at all', async (t) => {
  const calls: Call[] = []
  const request: Connection['request'] = (call) => {
    calls.push(call)
    return Promise.resolve({})
  }
  const cluster = clusterOf({ request } as Connection, 4321)
  const pod = podOf('a')
  await cluster.stamp(pod)
  await cluster.release(pod, false)
  await cluster.writeCondition(pod, { status: 'True', reason: 'RulesInEffect', message: '' }, undefined)
  t.same(
    calls.map(({ method, within }) => [method, within]),
    [
      ['PATCH', 4321],
      ['PATCH', 4321],
      ['PATCH', 4321]
    ]
  )
})
