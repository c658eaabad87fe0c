/** Each invariant of the model is able to fail: the worker is broken on purpose, in a copy, and the histories must tell by its name. */
import { spawn } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import t from 'tap'
import type { Invariant } from './invariants.ts'
import type { Report } from './main.ts'

interface Mutation {
  readonly invariant: Invariant
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** Of those that are hard to meet: histories until it was met once, from this seed. */
  readonly rare?: { readonly seed: number; readonly runs: number; readonly drawn: 'edits' }
}

const MUTATIONS: readonly Mutation[] = [
  {
    invariant: 'leak',
    name: 'a pod that succeeded or failed has not ended',
    file: 'worker/pods.ts',
    from: "if (pod.phase === 'Succeeded' || pod.phase === 'Failed') {",
    to: 'if (pod.phase === String(now)) {'
  },
  {
    invariant: 'cut',
    name: 'who was denied is not asked about again',
    file: 'worker/permissionLedger.ts',
    from: 'const ASK_DENIED_AGAIN = 5000',
    to: 'const ASK_DENIED_AGAIN = 5_000_000'
  },
  {
    invariant: 'revoked',
    name: 'a blank status takes the address away',
    file: 'worker/podView.ts',
    from: 'return hidden.length === 0 ? pod.addresses',
    to: 'return hidden.length >= 0 ? pod.addresses'
  },
  {
    invariant: 'revoked',
    name: 'an edited range goes before the new one is there',
    file: 'worker/edits.ts',
    from: 'return uid !== undefined && byPod',
    to: "return uid === '' && byPod",
    rare: { seed: 3, runs: 2000, drawn: 'edits' }
  },
  {
    invariant: 'foreign',
    name: 'whatever has an owner is ours',
    file: 'worker/aws/ec2Rows.ts',
    from: 'owned: tag === owner',
    to: 'owned: tag !== undefined'
  },
  {
    invariant: 'held',
    name: 'MAX_HOLD never ends',
    file: 'worker/release.ts',
    from: 'if (left === 0 && facts.attempted)',
    to: 'if (left === -1 && facts.attempted)'
  },
  {
    invariant: 'partial',
    name: 'nobody passes over all pods before the first revocation',
    file: 'worker/sweeper.ts',
    from: '      await passOverPods()',
    to: '      void passOverPods'
  },
  {
    invariant: 'bucket',
    name: 'nobody waits for a token',
    file: 'worker/bucket.ts',
    from: 'return tokens >= 0 ? 0',
    to: 'return tokens < Infinity ? 0'
  },
  {
    invariant: 'early',
    name: 'rules that are left stand in no way of a release',
    file: 'worker/release.ts',
    from: 'if (facts.trusted && open === 0)',
    to: 'if (facts.trusted && open < 1000)'
  }
]

const ROOT = new URL('../..', import.meta.url).pathname
/** Enough to meet each of them several times. */
const RUNS = 300

async function tryOut({ file, from, invariant, rare, to }: Mutation): Promise<Report> {
  const copy = mkdtempSync(join(tmpdir(), 'kube-sg-mutation-'))
  try {
    for (const folder of ['shared', 'worker', 'test/model', 'package.json'])
      cpSync(join(ROOT, folder), join(copy, folder), { recursive: true })
    symlinkSync(join(ROOT, 'node_modules'), join(copy, 'node_modules'))
    const before = readFileSync(join(copy, file), 'utf8')
    const parts = before.split(from)
    if (parts.length !== 2) throw new Error(`'${from}' stands in ${file} ${String(parts.length - 1)} times, not once`)
    writeFileSync(join(copy, file), parts.join(to))
    const main = join(copy, 'test/model/main.ts')
    const { drawn, runs, seed } = rare ?? { runs: RUNS, seed: 7, drawn: 'all' }
    const child = spawn(process.execPath, [main, String(seed), String(runs), invariant, drawn], {
      stdio: ['ignore', 'pipe', 'inherit']
    })
    return JSON.parse(await text(child.stdout)) as Report
  } finally {
    rmSync(copy, { recursive: true })
  }
}

t.setTimeout(600_000)
for (const mutation of MUTATIONS) {
  t.test(`${mutation.invariant}: ${mutation.name}`, async (t) => {
    const { failure, runs } = await tryOut(mutation)
    const told = failure?.wrongs.map(({ invariant }) => invariant) ?? []
    t.ok(told.includes(mutation.invariant), `after ${String(runs)} histories: ${told.join(', ')}`)
  })
}
