/**
 * An outage of the webhook with the backstop and without it: the same tests, each with both expectations. Before that, the
 * webhook and the backstop together.
 */
import t from 'tap'
import { createMany, editMany, end, finish, hang, together, workloads } from './outageActs.ts'
import { switchOnAndOff } from './outageSwitch.ts'
import { groupOf, job, prepare, raise } from './outageStage.ts'

const WEBHOOKS = ['webhook-0', 'webhook-1']

// Two beds, one after the other.
t.setTimeout(900_000)

for (const backstop of [true, false])
  t.test(`an outage of the webhook ${backstop ? 'with' : 'without'} the backstop`, async (t) => {
    const stage = await raise(t, backstop)
    await t.test('the webhook at work: no pod is stamped twice, nothing is undone', (t) => together(t, stage))
    await t.test('mistakes in workloads are told by the webhook', (t) => workloads(t, stage))
    await t.test('the webhook hangs', (t) => hang(t, stage))
    await prepare(stage)
    await Promise.all(WEBHOOKS.map((name) => stage.bed.ctl('kill', name)))
    await t.test('200 pods are created', (t) => createMany(t, stage))
    await t.test('pods are edited in every way', (t) => editMany(t, stage))
    await t.test('a Job of before runs to its end', (t) => finish(t, stage, 'earlier'))
    if (backstop) {
      const path = '/apis/batch/v1/namespaces/default/jobs'
      await stage.bed.api.call('POST', path, job('later', groupOf(stage, 3), '1h'))
      await t.test('and so does one that comes in the outage', (t) => finish(t, stage, 'later'))
    }
    await t.test('every pod can be deleted, and its finalizer removed', (t) => end(t, stage))
    if (!backstop) await t.test('the backstop is put on, and taken off again', (t) => switchOnAndOff(t, stage))
  })
