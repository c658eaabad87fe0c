/**
 * Measures, and prints a table beside its goals; nothing is asserted. Times are of this machine in this run: compare ratios
 * and counts. `node bench/main.ts burst churn` runs these sections alone; BENCH=full runs the long ones at full length.
 */
import { cpus } from 'node:os'
import { admissionBench } from './admission.ts'
import { latencyBench } from './admissionLatency.ts'
import { burstBench } from './burst.ts'
import { churnBench } from './churn.ts'
import { failoverBench } from './failover.ts'
import { growthBench } from './growth.ts'
import { memoryBench } from './memory.ts'
import { parserBench } from './parser.ts'
import { eventBench } from './podEvent.ts'
import { restartBench } from './restart.ts'
import { printTable } from './table.ts'
import type { Section } from './table.ts'

const SECTIONS: readonly Section[] = [
  parserBench,
  growthBench,
  admissionBench,
  latencyBench,
  burstBench,
  churnBench,
  failoverBench,
  restartBench,
  eventBench,
  memoryBench
]

async function main(): Promise<void> {
  const asked = process.argv.slice(2)
  const unknown = asked.find((name) => !SECTIONS.some((section) => section.name === name))
  if (unknown !== undefined) {
    const known = SECTIONS.map(({ about, name }) => `\n  ${name.padEnd(10)} ${about}`)
    throw new Error(`'${unknown}' is none of the sections${known.join('')}`)
  }
  const full = process.env.BENCH === 'full'
  const [cpu] = cpus()
  const machine = `${cpus().length} x ${cpu?.model.trim() ?? 'unknown'}`
  console.log(
    `${new Date().toISOString().slice(0, 10)}, ${machine}, Node ${process.version}${full ? ', BENCH=full' : ''}`
  )
  let failed = 0
  for (const { about, name, run } of SECTIONS) {
    if (asked.length > 0 && !asked.includes(name)) continue
    console.log(`\n${name}: ${about}\n`)
    try {
      console.log(printTable(await run({ full, tell: (line) => process.stderr.write(`  ${name}: ${line}\n`) })))
    } catch (error) {
      failed++
      process.stderr.write(
        `bench: ${name}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`
      )
    }
  }
  if (failed > 0) process.exitCode = 1
}

main().catch((error: unknown) => {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
