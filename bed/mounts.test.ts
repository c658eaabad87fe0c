import { readdir, readFile, readlink, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { layOut } from './mounts.ts'

const of = (text: string): Record<string, Buffer> => ({ 'tls.crt': Buffer.from(text), 'tls.key': Buffer.from(text) })

t.test('a Secret is laid out as a kubelet does it', async (t) => {
  const folder = t.testdir()
  await layOut(folder, of('one'))
  t.equal(await readlink(join(folder, 'tls.crt')), join('..data', 'tls.crt'))
  t.equal(await readFile(join(folder, 'tls.key'), 'utf8'), 'one')
  const first = await realpath(join(folder, '..data'))

  await layOut(folder, of('two'))
  t.equal(await readFile(join(folder, 'tls.crt'), 'utf8'), 'two')
  t.not(await realpath(join(folder, '..data')), first, 'a new generation stands in a folder of its own')
  t.equal((await readdir(folder)).filter((name) => name.startsWith('..2')).length, 1, 'the old one is gone')

  await layOut(folder, { 'ca.crt': Buffer.from('three') })
  t.same(
    (await readdir(folder)).filter((name) => !name.startsWith('..')),
    ['ca.crt'],
    'so are keys that are no more'
  )
  await layOut(folder, {})
  t.same(
    (await readdir(folder)).filter((name) => !name.startsWith('..')),
    [],
    'a Secret may be empty'
  )
})

t.test('a reader that resolves ..data once never sees two generations', async (t) => {
  const folder = t.testdir()
  await layOut(folder, of('0'))
  const stop = new AbortController()
  let pairs = 0
  const reading = (async () => {
    while (!stop.signal.aborted) {
      const generation = await realpath(join(folder, '..data'))
      const pair = await Promise.all(
        ['tls.crt', 'tls.key'].map((key) => readFile(join(generation, key), 'utf8'))
      ).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return ['gone', 'gone']
        throw error
      })
      if (pair[0] !== pair[1]) t.fail(`read ${String(pair)}`)
      pairs++
    }
  })()
  for (let i = 1; i < 50; i++) await layOut(folder, of(String(i)))
  stop.abort()
  await reading
  t.ok(pairs > 0)
})
