/**
 * Runs tap over all tests, or those named as arguments: a line for each file, every failure in full, and as the last line
 * `N passed, N failed`. Exits as tap does.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { resolve } from 'node:path'
import { createFilter, summarize } from './summarize.ts'

const tap = spawn('tap', ['--reporter=tap', ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
  // Each file is a process, and half of a small one's time is spent on compiling tap.
  env: { NODE_COMPILE_CACHE: resolve('.run/compile-cache'), ...process.env }
})
const worthPrinting = createFilter()
let comments = ''
createInterface({ input: tap.stdout }).on('line', (line) => {
  if (line.startsWith('#')) comments += `${line}\n`
  if (worthPrinting(line)) console.log(line)
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => tap.kill(signal))
tap.on('close', (code, signal) => {
  const summary = summarize(comments, code ?? 1)
  if (signal !== null) console.log(`tap was ended by ${signal}`)
  if (summary.remark !== undefined) console.log(summary.remark)
  console.log(summary.line)
  process.exitCode = summary.exitCode
})
