import t from 'tap'
import { endOf, startedLater } from './pods.ts'
import { podOf } from './podFixture.ts'

const NOW = 9_000_000
const cases = [
  { name: 'a running pod holds its address', pod: {}, end: undefined },
  { name: 'a crash-looping pod holds it', pod: { containersTerminatedAt: 5000 }, end: undefined },
  {
    name: 'a draining pod with a container running holds it',
    pod: { deletionTimestamp: 8000, gracePeriodSeconds: 30 },
    end: undefined
  },
  {
    name: 'a succeeded pod has ended when its last container did',
    pod: { phase: 'Succeeded', containersTerminatedAt: 5000 },
    end: { at: 5000, reason: 'terminal' }
  },
  {
    name: 'a failed pod without containers ended by its deletion',
    pod: { phase: 'Failed', deletionTimestamp: 8000 },
    end: { at: 8000, reason: 'terminal' }
  },
  { name: 'a failed pod that tells no time ended now', pod: { phase: 'Failed' }, end: { at: NOW, reason: 'terminal' } },
  {
    name: 'grace 0 ends it',
    pod: { deletionTimestamp: 8000, gracePeriodSeconds: 0 },
    end: { at: 8000, reason: 'graceOver' }
  },
  { name: 'grace 0 without a deletion is nothing', pod: { gracePeriodSeconds: 0 }, end: undefined },
  {
    name: 'a deleting pod whose containers all terminated has ended',
    pod: { deletionTimestamp: 38_000, gracePeriodSeconds: 30, containersTerminatedAt: 9000 },
    end: { at: 9000, reason: 'containersTerminated' }
  },
  {
    name: 'a container that crashed before the deletion may be running again, and the pod drain',
    pod: { deletionTimestamp: 38_000, gracePeriodSeconds: 30, containersTerminatedAt: 7000 },
    end: undefined
  },
  {
    name: 'in the second of the deletion it may have crashed before it',
    pod: { deletionTimestamp: 38_000, gracePeriodSeconds: 30, containersTerminatedAt: 8000 },
    end: undefined
  },
  { name: 'a pod on a node that is gone has ended', pod: {}, nodeGone: true, end: { at: NOW, reason: 'nodeGone' } }
]
for (const { name, pod, nodeGone, end } of cases) {
  t.test(name, async (t) => t.same(endOf(podOf('a', pod), nodeGone ?? false, NOW), end))
}

t.test('the later-started of two pods holds their address, and there is always one', async (t) => {
  const early = podOf('b', { startedAt: 1 })
  const late = podOf('a', { startedAt: 2 })
  t.equal(startedLater(early, late), late)
  t.equal(startedLater(late, early), late)
  const twin = podOf('c', { startedAt: 2 })
  t.equal(startedLater(late, twin), startedLater(twin, late))
})
