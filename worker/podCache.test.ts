import t from 'tap'
import type { RuleKey } from '../shared/rules.ts'
import { createPodCache } from './podCache.ts'
import type { ObservedPod } from './pods.ts'
import { asking, GROUP, OTHER_GROUP, podOf } from './podFixture.ts'

function watched() {
  const groups = new Set<string>()
  const pods = new Set<string>()
  const cache = createPodCache({
    groupsTouched: (ids) => {
      for (const id of ids) groups.add(id)
    },
    podTouched: (uid) => pods.add(uid)
  })
  cache.beginRemembering(0)
  const taken = () => {
    const seen = [...groups].sort()
    groups.clear()
    return seen
  }
  return { cache, pods, taken }
}
const ended = (uid: string, tweak: Partial<ObservedPod> = {}) =>
  podOf(uid, { phase: 'Succeeded', containersTerminatedAt: 5000, ...tweak })

t.test('a heartbeat keeps what is kept already, and not its own copies', async (t) => {
  const { cache } = watched()
  cache.change(podOf('a', { addresses: ['10.64.0.1'] }), 1)
  const before = cache.view('a')?.addresses
  cache.change(podOf('a', { addresses: ['10.64.0.1'], phase: 'Running' }), 2)
  t.equal(cache.view('a')?.addresses, before)
  t.equal(cache.view('a')?.pod.addresses, before)
  cache.change(podOf('a', { addresses: ['10.64.0.2'] }), 3)
  t.same(cache.view('a')?.addresses, ['10.64.0.2'])
})

t.test('a heartbeat touches no group, a new address does', async (t) => {
  const { cache, taken } = watched()
  cache.change(podOf('a', { addresses: [] }), 1)
  taken()
  cache.change(podOf('a', { addresses: [], condition: { status: 'True', reason: 'x', message: 'y' } }), 2)
  t.same(taken(), [])
  cache.change(podOf('a'), 3)
  t.same(taken(), [GROUP])
})

t.test('a blank status does not take an address away; another one of its family does', async (t) => {
  const { cache } = watched()
  cache.change(podOf('a', { addresses: ['10.64.0.7', 'fd00::7'] }), 1)
  cache.change(podOf('a', { addresses: [] }), 2)
  t.same(cache.view('a')?.addresses, ['10.64.0.7', 'fd00::7'])
  t.equal(cache.holder('10.64.0.7'), 'a')
  cache.change(podOf('a', { addresses: ['10.64.0.8'] }), 3)
  t.same(cache.view('a')?.addresses, ['10.64.0.8', 'fd00::7'])
  t.same([...cache.formerClaims(GROUP).keys()], ['tcp 443-443 10.64.0.7/32'])
})

t.test('who no longer names an address that a pod which started later names has lost it', async (t) => {
  const { cache } = watched()
  cache.change(podOf('a', { addresses: ['10.64.0.7', 'fd00::7'], startedAt: 1000 }), 1)
  cache.change(podOf('b', { addresses: ['fd00::7'], startedAt: 2000 }), 2)
  t.same(cache.view('a')?.addresses, ['10.64.0.7', 'fd00::7'], 'it still names it')
  cache.change(podOf('a', { addresses: ['10.64.0.8'], startedAt: 1000 }), 3)
  t.same(cache.view('a')?.addresses, ['10.64.0.8'])
  cache.change(ended('b', { addresses: ['fd00::7'], startedAt: 2000 }), 4)
  t.equal(cache.holder('fd00::7'), undefined, 'and does not get it back')
  cache.change(podOf('c', { addresses: ['10.64.0.9'], startedAt: 1000 }), 5)
  cache.change(podOf('older', { addresses: ['10.64.0.9'], startedAt: 500 }), 6)
  cache.change(podOf('c', { addresses: [], startedAt: 1000 }), 7)
  t.same(cache.view('c')?.addresses, ['10.64.0.9'], 'an older one takes nothing away')
})

t.test('an edited annotation leaves a former claim in the group that it left', async (t) => {
  const { cache, taken } = watched()
  cache.change(podOf('a'), 1)
  cache.change(podOf('a', { declaration: asking('tcp:443', OTHER_GROUP) }), 2)
  t.same(taken(), [GROUP, OTHER_GROUP])
  t.same(
    [...cache.formerClaims(GROUP)].map(([key, { pod }]) => [key, pod.uid]),
    [['tcp 443-443 10.64.0.7/32', 'a']]
  )
  t.same([...cache.formerGroups('a')], [GROUP])
  for (const key of cache.formerClaims(GROUP).keys()) cache.forget(GROUP, key)
  t.same([...cache.formerGroups('a')], [])
})

t.test('a pod first seen after its end may have had all that it asks for', async (t) => {
  const { cache } = watched()
  cache.replace([ended('a')], 9000)
  t.same(
    [...cache.formerClaims(GROUP)].map(([key, { inferred, since }]) => [key, since, inferred]),
    [['tcp 443-443 10.64.0.7/32', 5000, true]]
  )
  cache.change(podOf('seen', { addresses: ['10.64.0.8'] }), 9001)
  cache.change(ended('seen', { addresses: ['10.64.0.8'] }), 9002)
  t.equal(cache.formerClaims(GROUP).get('tcp 443-443 10.64.0.8/32' as RuleKey)?.inferred, false, 'this one was seen to')
  t.equal(cache.holder('10.64.0.7'), undefined, 'it holds nothing, though its status still names the address')
})

t.test('an end is for good', async (t) => {
  const { cache } = watched()
  cache.change(ended('a'), 1)
  cache.change(podOf('a'), 2)
  t.equal(cache.view('a')?.end?.reason, 'terminal')
})

t.test('what a relist does not show is looked into, not believed', async (t) => {
  const { cache, pods, taken } = watched()
  cache.replace([podOf('a'), podOf('b', { addresses: ['10.64.0.8'] })], 1)
  taken()
  pods.clear()
  cache.replace([podOf('b', { addresses: ['10.64.0.8'] })], 2)
  t.same([cache.isVanished('a'), taken(), pods.has('a')], [true, [], true])
  t.equal(cache.holder('10.64.0.7'), 'a', 'it may only have lost its label')
  cache.gone('a', 3)
  t.same([cache.view('a'), taken(), cache.holder('10.64.0.7')], [undefined, [GROUP], undefined])
  t.equal(cache.formerClaims(GROUP).size, 1)
})

t.test('a pod that comes back as it was touches its groups: nothing was made for it meanwhile', async (t) => {
  const { cache, taken } = watched()
  cache.change(podOf('a'), 1)
  cache.vanish(podOf('a'), 2)
  taken()
  t.equal(cache.anyVanished(), true)
  cache.change(podOf('a'), 3)
  t.same([cache.anyVanished(), taken()], [false, [GROUP]])
})

t.test('a deleted event is believed only of a pod whose grace was over and that nothing held', async (t) => {
  const { cache } = watched()
  cache.change(podOf('a'), 1)
  cache.vanish(podOf('a'), 2)
  t.equal(cache.isVanished('a'), true)
  cache.vanish(podOf('a', { deletionTimestamp: 2, gracePeriodSeconds: 0, heldByFinalizer: false }), 3)
  t.equal(cache.view('a'), undefined)
})

t.test('a namesake with another uid means that the first is gone', async (t) => {
  const { cache } = watched()
  cache.change(podOf('a', { name: 'db-0' }), 1)
  cache.change(podOf('b', { name: 'db-0', addresses: ['10.64.0.8'] }), 2)
  t.same([cache.view('a'), cache.named('web', 'db-0')?.pod.uid], [undefined, 'b'])
  t.same([...cache.formerClaims(GROUP).keys()], ['tcp 443-443 10.64.0.7/32'])
})

t.test('an address given out again touches the group of whoever reported it before', async (t) => {
  const { cache, taken } = watched()
  cache.change(podOf('a', { startedAt: 1 }), 1)
  taken()
  cache.change(podOf('b', { startedAt: 2, declaration: asking('tcp:80', OTHER_GROUP) }), 2)
  t.same([taken(), cache.holder('10.64.0.7')], [[GROUP, OTHER_GROUP], 'b'])
})

t.test('pods of a node that is gone have ended', async (t) => {
  const { cache, taken } = watched()
  cache.change(podOf('a'), 1)
  taken()
  cache.nodeGone('node-0', ['a'], 7)
  t.same([cache.view('a')?.end, taken()], [{ at: 7, reason: 'nodeGone' }, [GROUP]])
})

t.test(
  'a pod that comes to a node known to be gone may be news of the node: only those asked about have ended',
  (t) => {
    const { cache } = watched()
    cache.change(podOf('a'), 1)
    cache.change(podOf('b', { nodeName: undefined, addresses: [] }), 1)
    cache.nodeGone('node-0', ['a'], 7)
    cache.change(podOf('b', { addresses: ['10.64.0.8'] }), 8)
    cache.change(podOf('c', { addresses: ['10.64.0.9'] }), 8)
    cache.change(podOf('a'), 9)
    const ends = (): (number | undefined)[] => ['a', 'b', 'c'].map((uid) => cache.view(uid)?.end?.at)
    t.same(ends(), [7, undefined, undefined])
    cache.nodeGone('node-0', ['b', 'c'], 10)
    t.same(ends(), [7, 10, 10], 'the API server was asked again')
    cache.reviewNodes(new Set(['node-0']), 11)
    t.same(ends(), [undefined, undefined, undefined], 'the node is back')
    t.end()
  }
)

t.test('a standby remembers no ended claim, and knows all that matter once it leads', async (t) => {
  const cache = createPodCache({ groupsTouched: () => undefined, podTouched: () => undefined })
  cache.change(podOf('a'), 1)
  cache.change(ended('a'), 2)
  cache.change(podOf('b', { addresses: ['10.64.0.8'] }), 3)
  cache.gone('b', 4)
  t.equal(cache.formerClaims(GROUP).size, 0)
  cache.beginRemembering(5)
  t.same([...cache.formerClaims(GROUP).keys()], ['tcp 443-443 10.64.0.7/32'])
})
