/** Runs tap over all tests, or those named as arguments; its last line is `N passed, N failed`. Exits as tap does. */
import { spawn } from 'node:child_process'
import { summarize } from './summarize.ts'

const tap = spawn('tap', ['--reporter=base', ...process.argv.slice(2)], { stdio: ['ignore', 'pipe', 'inherit'] })
let output = ''
tap.stdout.setEncoding('utf8').on('data', (text: string) => {
  output += text
  process.stdout.write(text)
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => tap.kill(signal))
tap.on('close', (code, signal) => {
  const summary = summarize(output, code ?? 1)
  if (signal !== null) console.log(`tap was ended by ${signal}`)
  if (summary.remark !== undefined) console.log(summary.remark)
  console.log(summary.line)
  process.exitCode = summary.exitCode
})
