import { deepEqual, equal } from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import type { SecurityGroup, SecurityGroupRule } from './rule.ts'
import { permissionKey } from './rule.ts'
import type { View } from './store.ts'
import { createStore, HISTORY_SECONDS } from './store.ts'

const group = (id: string, tag = ''): SecurityGroup => ({
  groupId: id,
  groupName: id,
  description: '',
  vpcId: 'vpc',
  tags: new Map([['t', tag]]),
  sequence: Number(id.slice(1))
})

const rule = (id: number, port: number): SecurityGroupRule => ({
  ruleId: `r${String(id)}`,
  groupId: `g${String(id % 2)}`,
  isEgress: id % 3 === 0,
  protocol: 'tcp',
  fromPort: port,
  toPort: port,
  source: { kind: 'ipv4', value: `10.0.0.${String(id)}/32` },
  description: undefined,
  tags: new Map(),
  sequence: 10 + id
})

const seen = (view: View) => ({
  groups: view.groups().map(({ groupId, tags }) => [groupId, tags.get('t')]),
  rules: view
    .rules()
    .map(({ ruleId, fromPort }) => [ruleId, fromPort])
    .sort(),
  ofGroups: ['g0', 'g1'].map((id) =>
    view
      .rulesOf(id)
      .map(({ ruleId, fromPort }) => [ruleId, fromPort])
      .sort()
  ),
  each: [0, 1, 2, 3].map((id) => view.rule(`r${String(id)}`)?.fromPort),
  group: view.group('g1')?.tags.get('t')
})

const step = fc.oneof(
  fc.record({ put: fc.integer({ min: 0, max: 3 }), port: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ drop: fc.integer({ min: 0, max: 3 }) }),
  fc.record({ tag: fc.constantFrom('a', 'b') }),
  fc.constant({ dropGroup: 'g1' })
)

t.test('any past moment is seen as it was, through every way of reading', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const store = createStore()
      store.putGroup(group('g0'), 0)
      store.putGroup(group('g1'), 0)
      const snapshots = [seen(store)]
      steps.forEach((action, i) => {
        const at = i + 1
        if ('put' in action && store.group(`g${String(action.put % 2)}`) !== undefined)
          store.putRule(rule(action.put, action.port), at)
        if ('drop' in action) store.dropRule(`r${String(action.drop)}`, at)
        if ('tag' in action) store.putGroup(group('g1', action.tag), at)
        if ('dropGroup' in action) store.dropGroup(action.dropGroup, at)
        snapshots.push(seen(store))
      })
      snapshots.forEach((snapshot, at) => deepEqual(seen(store.asOf(at)), snapshot))
      for (const held of store.rules())
        equal(store.ingressRule(held.groupId, permissionKey(held))?.ruleId, held.isEgress ? undefined : held.ruleId)
    }),
    { numRuns: 60 }
  )
})

t.test('a rule that changes its values is found by the new ones alone', async (t) => {
  const store = createStore()
  store.putGroup(group('g1'), 0)
  store.putRule(rule(1, 1), 1)
  store.putRule(rule(1, 2), 2)
  t.equal(store.ingressRule('g1', permissionKey(rule(1, 1))), undefined)
  t.equal(store.ingressRule('g1', permissionKey(rule(1, 2)))?.ruleId, 'r1')
  store.dropRule('r1', 3)
  t.equal(store.ingressRule('g1', permissionKey(rule(1, 2))), undefined)
})

t.test('the last minutes are remembered however many writes there are', async () => {
  const store = createStore()
  store.putGroup(group('g1'), 0)
  for (let second = 1; second <= HISTORY_SECONDS * 4; second++) {
    store.putRule(rule(1, second), second * 1000)
    for (const back of [1, HISTORY_SECONDS - 1].filter((seconds) => seconds < second))
      equal(store.asOf((second - back) * 1000).rule('r1')?.fromPort, second - back)
  }
})
