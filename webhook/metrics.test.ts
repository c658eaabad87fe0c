import t from 'tap'
import { createMetrics } from './metrics.ts'
import { decode } from './admissionReview.ts'
import { pod, review, stamped } from './reviewFixture.ts'
import { validate } from './validation.ts'

t.test('decisions and reasons are counted, under names that nobody outside can choose', async (t) => {
  const metrics = createMetrics()
  const A = 'sg.amazonaws.com/sg-0123abcd'
  for (const annotations of [{ [A]: 'tpc:1,tcp:0' }, { [A]: 'tcp:0,tcp:0' }, { [A]: 'tcp:1' }]) {
    const request = decode(review({ object: stamped({ annotations }) }))
    metrics.decided(request.resource, validate(request, { rulesPerGroup: 60 }))
  }
  metrics.decided('x'.repeat(1000), validate(decode(review({ object: pod() })), { rulesPerGroup: 60 }))
  const lines = (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith('kube_sg_webhook_de'))
  t.same(lines.sort(), [
    'kube_sg_webhook_decisions_total{resource="other",outcome="allowed"} 1',
    'kube_sg_webhook_decisions_total{resource="pods",outcome="allowed"} 1',
    'kube_sg_webhook_decisions_total{resource="pods",outcome="invalid"} 2',
    'kube_sg_webhook_denials_total{reason="BadPorts"} 2',
    'kube_sg_webhook_denials_total{reason="BadProtocol"} 1'
  ])
})
