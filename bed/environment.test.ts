import { execFileSync } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { exportLines, metricsVariables } from './environment.ts'

t.test('a shell reads back what was exported, whatever it holds', async (t) => {
  const file = join(t.testdir(), 'env')
  const text = fc.string({ unit: fc.constantFrom('a', ' ', "'", '"', '$', '`', '\\', '\n', '!', 'é'), maxLength: 20 })
  await fc.assert(
    fc.asyncProperty(text, async (value) => {
      await writeFile(file, exportLines({ VALUE: value }, '/bed/bin'))
      const out = execFileSync('sh', ['-c', '. "$0"; printf "%s\\0%s" "$VALUE" "$PATH"', file], {
        env: { PATH: '/usr/bin:/bin' }
      })
      t.same(out.toString().split('\0'), [value, '/bed/bin:/usr/bin:/bin'])
    }),
    { numRuns: 50 }
  )
})

t.test('metrics are found by the name of the process', async (t) => {
  t.same(metricsVariables(new Map([['webhook-0', 'http://a/metrics'], ['worker-1', 'http://b/metrics']])), {
    METRICS_WEBHOOK_0: 'http://a/metrics',
    METRICS_WORKER_1: 'http://b/metrics'
  }) // prettier-ignore
})
