import { pino } from 'pino'
import t from 'tap'
import { createPodCache } from './podCache.ts'
import { podOf } from './podFixture.ts'
import { sweepNodes } from './sweep.ts'
import type { SweepDeps } from './sweep.ts'

const NODE = 'node-1'

function swept(whileAsked: (cache: SweepDeps['cache']) => void) {
  const cache = createPodCache({ groupsTouched: () => undefined, podTouched: () => undefined })
  cache.change(podOf('before', { nodeName: NODE }), 0)
  const nodeExists = (): Promise<boolean> => {
    whileAsked(cache)
    return Promise.resolve(false)
  }
  const deps = {
    cache,
    cluster: { nodeExists } as unknown as SweepDeps['cluster'],
    logger: pino({ level: 'silent' }),
    nodeNames: () => new Set<string>(),
    wallClock: () => 1000
  } as unknown as SweepDeps
  return sweepNodes(deps).then(() => (uid: string) => cache.view(uid)?.end?.reason)
}

t.test(
  'with a node that is gone end the pods that were known when the API server was asked, and no other',
  async (t) => {
    const endOf = await swept((cache) => cache.change(podOf('after', { nodeName: NODE, addresses: ['10.64.0.8'] }), 1))
    t.equal(endOf('before'), 'nodeGone')
    t.equal(endOf('after'), undefined, 'it may be the first news of a node that is back')
  }
)
