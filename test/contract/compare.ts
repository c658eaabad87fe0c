/** The run that needs no account: simulator and moto, against what is committed. */
import { readFile, writeFile } from 'node:fs/promises'
import type { Runs } from './report.ts'
import { renewDocument } from './report.ts'
import type { KnownDifferences, Outcome } from './suite.ts'
import { casesOf, runSuite, unexpected } from './suite.ts'
import { startMoto } from './targets/moto.ts'
import { startSimulator } from './targets/simulator.ts'
import { TOPICS } from './topics.ts'

const DIFFERENCES = new URL('motoDifferences.json', import.meta.url)
const DOCUMENT = new URL('../../docs/ec2.md', import.meta.url)

export const readDifferences = async (): Promise<KnownDifferences> =>
  JSON.parse(await readFile(DIFFERENCES, 'utf8')) as KnownDifferences

/** One after the other, so that they do not slow each other down. */
export async function runBoth(
  environment: Readonly<Record<string, string | undefined>>,
  tell: (line: string) => void
): Promise<Runs> {
  const runs = new Map<string, readonly Outcome[]>()
  for (const start of [startSimulator, () => startMoto(environment, tell)]) {
    const target = await start()
    try {
      runs.set(target.name, await runSuite(target, casesOf(TOPICS)))
    } finally {
      await target.close()
    }
  }
  return runs
}

/** What is not as it is committed, a sentence each. */
export async function findSurprises(runs: Runs): Promise<readonly string[]> {
  const moto = unexpected(runs.get('moto') ?? [], await readDifferences())
  const document = await readFile(DOCUMENT, 'utf8')
  return [
    ...unexpected(runs.get('simulator') ?? [], {}).map((text) => `simulator: ${text}`),
    ...moto.map((text) => `moto: ${text}`),
    ...(renewDocument(document, TOPICS, runs) === document ? [] : ['docs/ec2.md is not up to date'])
  ]
}

/** Commits to what the run found: moto's differences and the document. The simulator must have none. */
export async function accept(runs: Runs): Promise<void> {
  const differences = (runs.get('moto') ?? []).flatMap(({ name, result }) =>
    result.kind === 'failed' ? [[name, result.why] as const] : []
  )
  await writeFile(DIFFERENCES, `${JSON.stringify(Object.fromEntries(differences), undefined, 2)}\n`)
  await writeFile(DOCUMENT, renewDocument(await readFile(DOCUMENT, 'utf8'), TOPICS, runs))
}
