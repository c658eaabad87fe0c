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

t.test('requests are counted by code, and their seconds by bucket, each with all that are smaller', async (t) => {
  const metrics = createMetrics()
  const meter = metrics.meter('/mutate')
  const now = performance.now()
  for (const [milliseconds, code] of [[0, 200] as const, [3600, 200] as const, [60_000, 500] as const])
    meter.end(meter.start() - milliseconds, code)
  meter.start()
  const text = await metrics.registry.metrics()
  const name = 'controller_runtime_webhook'
  t.match(text, `${name}_requests_total{webhook="/mutate",code="200"} 2\n`)
  t.match(text, `${name}_requests_total{webhook="/mutate",code="500"} 1\n`)
  t.match(text, `${name}_requests_in_flight{webhook="/mutate"} 1\n`)
  t.match(text, `# TYPE ${name}_latency_seconds histogram\n`)
  const buckets = [...text.matchAll(/_bucket\{le="([^"]+)",webhook="\/mutate"\} (\d+)/g)].map(([, le, count]) => [
    le,
    count
  ])
  t.same(buckets.slice(-4), [
    ['1', '1'],
    ['2.5', '1'],
    ['5', '2'],
    ['+Inf', '3']
  ])
  t.match(text, `${name}_latency_seconds_count{webhook="/mutate"} 3\n`)
  const sum = Number(/latency_seconds_sum\{webhook="\/mutate"\} (\S+)/.exec(text)?.[1])
  t.ok(sum >= 63.6 && sum <= 63.6 + (performance.now() - now), `${sum} s`)
})
