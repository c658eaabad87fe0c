/** The webhook's replicas behind a real API server. What they answer: admission*.test.ts. */
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import type { Bed } from '../../bed/bed.ts'
import { A, admissionOf, pod } from './admissionFixture.ts'

// No workers and no nodes' kubelets: what admission leaves behind stays as it is.
const bed: Bed = await startBed({ workers: 0, kwok: false })
t.teardown(() => bed.stop())
const { namespace } = admissionOf(bed)

t.test('a replica that stops drops nobody', async (t) => {
  const ns = await namespace()
  const failures: string[] = []
  let created = 0
  const rollout = new AbortController()
  const creating = (async () => {
    for (let index = 0; !rollout.signal.aborted; index++)
      await bed.api
        .call('POST', `/api/v1/namespaces/${ns}/pods?dryRun=All`, pod(ns, `p-${index}`, { [A]: 'tcp:443' }))
        .then(
          () => created++,
          (error: unknown) => failures.push(String(error))
        )
  })()
  try {
    for (const replica of ['webhook-0', 'webhook-1']) {
      await bed.ctl('stop', replica)
      await bed.ctl('start', replica)
    }
  } finally {
    // Without it a bed that fails leaves a process that creates pods for ever.
    rollout.abort()
    await creating
  }
  t.same(failures, [])
  t.ok(created > 20, `${created} pods were created meanwhile`)
})
