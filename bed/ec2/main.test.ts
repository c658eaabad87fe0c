import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setImmediate } from 'node:timers/promises'
import t from 'tap'
import { signedHeaders } from './trial.ts'

const start = (environment: Record<string, string>): ChildProcess =>
  spawn(process.execPath, [new URL('main.ts', import.meta.url).pathname], {
    env: { PATH: process.env.PATH, ...environment },
    stdio: ['ignore', 'pipe', 'pipe']
  })

t.test('prints its port, answers there, and ends with SIGTERM though calls hang and wait', async (t) => {
  const child = start({ PORT: '0' })
  t.teardown(() => child.kill('SIGKILL'))
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string]
  const { port, state } = JSON.parse(line) as { port: number; state: string }
  t.equal(state, 'in memory: it survives nothing')
  const origin = `http://127.0.0.1:${String(port)}`
  t.equal((await fetch(`${origin}/_sim/groups`)).status, 200)
  const post = (path: string, body: string) => fetch(origin + path, { method: 'POST', body, headers: signedHeaders() })
  await post('/_sim/faults', '{"action":"*","fault":"hang","times":1}')
  const hung = t.rejects(post('/', 'Action=DescribeVpcs&Version=2016-11-15'))
  while (!(await (await fetch(`${origin}/_sim/calls`)).text()).includes('hang')) await setImmediate()
  await post('/_sim/settings', '{"latencyMs":600000}')
  const waiting = t.rejects(post('/', 'Action=DescribeVpcs&Version=2016-11-15'))
  await fetch(`${origin}/_sim/calls`)
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  t.strictSame(await exit, [0, null])
  await Promise.all([hung, waiting])
})

t.test('a bad port is named', async (t) => {
  const child = start({ PORT: 'http' })
  t.teardown(() => child.kill('SIGKILL'))
  let errors = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const [code] = (await once(child, 'close')) as [number]
  t.not(code, 0)
  t.match(errors, /PORT must be a whole number from 0 to 65535, not 'http'/)
})
