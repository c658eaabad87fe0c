/**
 * The contract suite by hand. Without argument: the simulator and moto, against what is committed; `accept`: commits to
 * what they do now; `aws`: a real account.
 */
import { accept, findSurprises, runBoth } from './compare.ts'
import { renderText } from './report.ts'
import { TOPICS } from './topics.ts'

const USAGE = 'usage: node test/contract/main.ts [accept | aws]'

async function compare(accepting: boolean): Promise<number> {
  const runs = await runBoth(process.env, (line) => {
    console.error(line)
  })
  console.log(renderText(TOPICS, runs))
  if (accepting) await accept(runs)
  const surprises = await findSurprises(runs)
  for (const surprise of surprises) console.error(`unexpected: ${surprise}`)
  if (surprises.length > 0) console.error('if moto or the cases have changed: make contract-accept, and read the diff')
  return surprises.length === 0 ? 0 : 1
}

const [command, ...rest] = process.argv.slice(2)
if (rest.length > 0 || (command !== undefined && command !== 'accept' && command !== 'aws')) {
  console.error(USAGE)
  process.exitCode = 2
} else if (command === 'aws') {
  const { runOnAccount } = await import('./account.ts')
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort(signal))
  process.exitCode = await runOnAccount(
    process.env,
    (line) => {
      console.log(line)
    },
    stop.signal
  )
} else {
  process.exitCode = await compare(command === 'accept')
}
