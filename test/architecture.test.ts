import { readFileSync } from 'node:fs'
import { globSync } from 'node:fs'
import t from 'tap'
import { brokenLaws } from './laws.ts'

const root = new URL('..', import.meta.url).pathname

t.test('every file keeps the laws of the house', async (t) => {
  const paths = globSync('{shared,webhook,worker,certs-job}/**/*.ts', { cwd: root })
  t.ok(paths.length > 20, 'the files were found')
  const broken = paths.flatMap((path) => brokenLaws({ path, text: readFileSync(`${root}${path}`, 'utf8') }))
  t.same(broken, [])
})

const broken = [
  { law: 'shared imports nobody', path: 'shared/x.ts', text: "import { a } from '../worker/a.ts'" },
  { law: 'processes never import each other', path: 'worker/x.ts', text: "import type { A } from '../webhook/a.ts'" },
  { law: 'by no detour either', path: 'worker/x.ts', text: "const a = await import('../certs-job/a.ts')" },
  { law: 'only aws/ speaks EC2', path: 'worker/main.ts', text: "import { EC2Client } from '@aws-sdk/client-ec2'" },
  {
    law: 'SDK types stop there',
    path: 'worker/kubernetes/x.ts',
    text: "import type { IpPermission } from '@aws-sdk/client-ec2'"
  },
  {
    law: 'only kubernetes/ speaks to the API server',
    path: 'webhook/server.ts',
    text: "import { KubeConfig } from '@kubernetes/client-node'"
  },
  { law: 'only main.ts touches process', path: 'webhook/server.ts', text: 'const port = process.env.PORT' },
  { law: 'what decides does no I/O', path: 'worker/plan.ts', text: "import { readFileSync } from 'node:fs'" },
  {
    law: 'nor by what stands beside something pure',
    path: 'worker/plan.ts',
    text: "import { BlockList, connect } from 'node:net'"
  },
  { law: 'nor by a library', path: 'shared/rules.ts', text: "import { pino } from 'pino'" },
  {
    law: 'nor through an adapter',
    path: 'worker/plan.ts',
    text: "import { clusterOf } from './kubernetes/cluster.ts'"
  },
  { law: 'time is an argument', path: 'worker/plan.ts', text: 'const now = Date.now()' },
  { law: 'also as an object', path: 'worker/plan.ts', text: 'const now = new Date()' },
  { law: 'chance too', path: 'worker/plan.ts', text: 'const chance = Math.random()' },
  { law: 'and timers', path: 'worker/queue.ts', text: 'setTimeout(() => undefined, 1)' }
]
for (const { law, ...source } of broken) {
  t.test(`the test can fail: ${law}`, async (t) => t.equal(brokenLaws(source).length, 1))
}

const kept = [
  { path: 'shared/address.ts', text: "import { BlockList } from 'node:net'" },
  { path: 'worker/main.ts', text: "import { createWorker } from './worker.ts'; process.exitCode = Date.now()" },
  {
    path: 'worker/x.ts',
    text: "import type { Logger } from 'pino'; import { a } from '../shared/rules.ts'; const b = { process: 1, now: (now: number) => new Date(now) }"
  },
  { path: 'worker/x.test.ts', text: 'const now = Date.now()' }
]
for (const source of kept) t.test(`and need not: ${source.text}`, async (t) => t.same(brokenLaws(source), []))
