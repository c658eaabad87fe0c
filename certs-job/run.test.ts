import { pino } from 'pino'
import t from 'tap'
import { issueAuthority, readCertificate, signedBy, splitBundle } from './certificates.ts'
import { DAY_MS } from './renewal.ts'
import { Conflict, run } from './run.ts'
import type { Entry, Outcome, Secret } from './run.ts'

const NAMES = ['kube-sg-webhook.kube-sg.svc', 'kube-sg-webhook.kube-sg.svc.cluster.local']
const START = Date.parse('2026-06-01T00:00:00Z')
const NOTHING: Outcome = { authorityIssued: false, leafIssued: false, entriesChanged: 0 }
const logger = pino({ level: 'silent' })

/** A cluster's worth of what the job touches, which can be cut off before any write. */
function cluster() {
  const data: Record<string, Record<string, string>> = { 'kube-sg-ca': {}, 'kube-sg-webhook-tls': {} }
  const versions: Record<string, number> = { 'kube-sg-ca': 1, 'kube-sg-webhook-tls': 1 }
  let bundles = ['', '', '', '']
  let writes = 0
  let cutAt = Infinity
  const write = (): void => {
    if (writes >= cutAt) throw new Error('killed')
    writes++
  }
  const dependencies = {
    logger,
    secrets: {
      read: async (name: string): Promise<Secret> => ({
        name,
        version: String(versions[name]),
        data: { ...data[name] }
      }),
      write: async ({ name, version }: Secret, changed: Readonly<Record<string, string>>) => {
        write()
        if (version !== String(versions[name])) throw new Conflict('written meanwhile')
        data[name] = { ...data[name], ...changed }
        versions[name] = (versions[name] ?? 0) + 1
        return { name, version: String(versions[name]), data: { ...data[name] } }
      }
    },
    configurations: {
      read: async (): Promise<readonly Entry[]> =>
        bundles.map((caBundle, index) => ({
          configuration: index === 0 ? 'mutating' : 'validating',
          index,
          name: `entry-${index}`,
          caBundle
        })),
      trust: async (entries: readonly Entry[], bundle: string) => {
        write()
        bundles = bundles.map((old, index) => (entries.some((entry) => entry.index === index) ? bundle : old))
      }
    }
  }
  return {
    data,
    dependencies,
    run: (now: number) => run(dependencies, NAMES, () => now),
    /** Lets only this many writes pass from here. */
    cut(after: number) {
      cutAt = writes + after
    },
    wipe(index: number) {
      bundles[index] = ''
    },
    /** Whether every API server can verify what is served. */
    serves(now: number): boolean {
      const leaf = data['kube-sg-webhook-tls']?.['tls.crt'] ?? ''
      const facts = readCertificate(leaf)
      if (facts === undefined || facts.notAfter <= now) return false
      return bundles.every((bundle) =>
        splitBundle(bundle).some((pem) => signedBy(leaf, pem) && (readCertificate(pem)?.notAfter ?? 0) > now)
      )
    },
    bundle: () => bundles[0] ?? ''
  }
}

t.test('the first run makes everything, the second changes nothing', async (t) => {
  const it = cluster()
  t.same(await it.run(START), { authorityIssued: true, leafIssued: true, entriesChanged: 4 })
  t.ok(it.serves(START))
  t.same(Object.keys(it.data['kube-sg-ca'] ?? {}), ['ca.crt', 'ca.key', 'trusted-since'])
  t.same(Object.keys(it.data['kube-sg-webhook-tls'] ?? {}), ['tls.crt', 'tls.key', 'ca.crt'])
  it.cut(0)
  t.same(await it.run(START), NOTHING)
  t.same(await it.run(START + DAY_MS), NOTHING)
})

t.test('three years of daily runs never break serving', async (t) => {
  const it = cluster()
  await it.run(START)
  let leaves = 0
  let authorities = 0
  for (let day = 1; day <= 3 * 365; day++) {
    const now = START + day * DAY_MS
    if (!it.serves(now)) return t.fail(`not served on day ${day}, before the run`)
    const outcome = await it.run(now)
    if (!it.serves(now)) return t.fail(`not served on day ${day}, after the run`)
    if (outcome.authorityIssued && outcome.leafIssued) return t.fail(`both issued on day ${day}`)
    leaves += Number(outcome.leafIssued)
    authorities += Number(outcome.authorityIssued)
    if (splitBundle(it.bundle()).length > 2) return t.fail('authorities pile up')
  }
  t.equal(authorities, 3)
  t.ok(leaves >= 27 && leaves <= 32, `${leaves} leaves`)
})

t.test('cut off before any write, the next run finishes and nothing served is lost', async (t) => {
  const renewals: [name: string, prepare: (it: ReturnType<typeof cluster>) => Promise<number>][] = [
    ['at first', async () => START],
    [
      'when the authority is due',
      async (it) => {
        await it.run(START)
        return START + 276 * DAY_MS
      }
    ],
    [
      'when only the first leaf of a new authority is due',
      async (it) => {
        await it.run(START)
        for (let day = 1; day <= 276; day++) await it.run(START + day * DAY_MS)
        return START + 277 * DAY_MS
      }
    ]
  ]
  for (const [name, prepare] of renewals)
    for (let cut = 0; cut < 5; cut++) {
      const it = cluster()
      const now = await prepare(it)
      const served = it.serves(now)
      it.cut(cut)
      await it.run(now).catch((error: unknown) => {
        if ((error as Error).message !== 'killed') throw error
      })
      if (served) t.ok(it.serves(now), `${name}, cut before write ${cut}: still served`)
      it.cut(Infinity)
      await it.run(now + 1000)
      t.ok(it.serves(now), `${name}, cut before write ${cut}: served after the next run`)
      await it.run(now + DAY_MS)
      t.same(await it.run(now + DAY_MS + 1000), NOTHING, `${name}, cut before write ${cut}: settled`)
    }
})

t.test('no leaf of an authority is served before everybody had time to hear of the trust in it', async (t) => {
  const minutes = (count: number): number => count * 60_000
  const old = START - DAY_MS
  const ways: [how: string, interrupt: (it: ReturnType<typeof cluster>, now: number) => Promise<unknown>][] = [
    [
      'the trust came a day after the authority',
      async (it, now) => {
        it.cut(1)
        await t.rejects(it.run(now - DAY_MS), { message: 'killed' })
        it.cut(Infinity)
        return it.run(now)
      }
    ],
    [
      'the trust came, and nobody wrote down when',
      async (it, now) => {
        it.cut(2)
        await t.rejects(it.run(now - minutes(1)), { message: 'killed' })
        it.cut(Infinity)
        return it.run(now)
      }
    ],
    [
      'one entry lost its trust meanwhile, and nobody wrote down when it came back',
      async (it, now) => {
        await it.run(now - DAY_MS)
        it.wipe(1)
        it.cut(2)
        await t.rejects(it.run(now - minutes(1)), { message: 'killed' })
        it.cut(Infinity)
        return it.run(now)
      }
    ],
    [
      'a clock that was wrong wrote down when',
      async (it, now) => {
        await it.run(now - DAY_MS)
        it.data['kube-sg-ca'] = { ...it.data['kube-sg-ca'], 'trusted-since': new Date(now + 1).toISOString() }
        return it.run(now)
      }
    ]
  ]
  for (const [how, interrupt] of ways) {
    const it = cluster()
    await it.run(old)
    it.data['kube-sg-ca'] = {}
    const now = START + DAY_MS
    await interrupt(it, now)
    t.same(await it.run(now + minutes(5) - 1), NOTHING, `${how}: not yet`)
    t.same(await it.run(now + minutes(5)), { ...NOTHING, leafIssued: true }, `${how}: then`)
  }
})

t.test('since when is counted from the end of the writing, not from the start of the run', async (t) => {
  const it = cluster()
  const times = [START, START + 60_000]
  await run(it.dependencies, NAMES, () => times.shift() ?? NaN)
  t.equal(it.data['kube-sg-ca']?.['trusted-since'], new Date(START + 60_000).toISOString())
})

t.test('what others break is mended', async (t) => {
  const it = cluster()
  await it.run(START)
  it.wipe(2)
  t.same(await it.run(START + 1), { ...NOTHING, entriesChanged: 1 }, 'a wiped caBundle')
  t.ok(it.serves(START))

  it.data['kube-sg-webhook-tls'] = {}
  t.same(await it.run(START + 2), { ...NOTHING, leafIssued: true }, 'an emptied serving Secret')
  t.ok(it.serves(START))

  const leaf = it.data['kube-sg-webhook-tls']
  it.data['kube-sg-ca'] = {}
  t.same(await it.run(START + 3), { ...NOTHING, authorityIssued: true, entriesChanged: 4 }, 'an emptied CA Secret')
  t.equal(it.data['kube-sg-webhook-tls']['tls.crt'], leaf['tls.crt'], 'what is served stays until the new is trusted')
  t.ok(it.serves(START))
  t.same(await it.run(START + DAY_MS), { ...NOTHING, leafIssued: true })
  t.ok(it.serves(START))

  it.data['kube-sg-ca'] = { ...it.data['kube-sg-ca'], 'ca.key': (await issueAuthority(START)).key }
  t.match(await it.run(START + DAY_MS + 1), { authorityIssued: true, leafIssued: false }, 'a foreign CA key')
  t.ok(it.serves(START))
  t.match(await it.run(START + 2 * DAY_MS), { leafIssued: true })

  const narrow = cluster()
  await run(narrow.dependencies, NAMES.slice(0, 1), () => START)
  t.same(await narrow.run(START + DAY_MS), { ...NOTHING, leafIssued: true }, 'a leaf without one of the names')

  it.data['kube-sg-webhook-tls'] = { ...it.data['kube-sg-webhook-tls'], 'tls.key': 'x' }
  t.match(await it.run(START + 2 * DAY_MS + 1), { leafIssued: true }, 'a broken key')
  t.ok(it.serves(START))
})

t.test('two runs at once: one wins, the other is told', async (t) => {
  const it = cluster()
  const results = await Promise.allSettled([it.run(START), it.run(START)])
  t.equal(results.filter(({ status }) => status === 'fulfilled').length, 1)
  const lost = results.find((result) => result.status === 'rejected')
  t.ok(lost?.reason instanceof Conflict)
  t.same(await it.run(START), NOTHING)
  t.ok(it.serves(START))
})
