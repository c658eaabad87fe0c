import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import type { Test } from 'tap'
import { checkPair, readPair, watchCertificate } from './certificate.ts'
import type { Pair, WatchOptions } from './certificate.ts'
import { files, mount, selfSigned, until } from './tlsFixture.ts'

const [one, two] = [await selfSigned('one'), await selfSigned('two')]
const RUN = 'has the certificates job run yet?'

t.test('a pair is a certificate and its own key', async (t) => {
  const pair = checkPair(one.cert, one.key)
  t.equal(pair.cert, one.cert)
  t.ok(pair.notAfter > Date.now() && pair.notBefore < Date.now())
  const cases: [cert: string, key: string, message: string][] = [
    [one.cert, two.key, 'tls.key is not the key of the certificate in tls.crt'],
    ['', one.key, `tls.crt or tls.key is empty: ${RUN}`],
    [one.cert, '\n', `tls.crt or tls.key is empty: ${RUN}`],
    ['x', one.key, 'tls.crt is not a certificate, or tls.key not a private key, in PEM'],
    [one.cert, one.cert, 'tls.crt is not a certificate, or tls.key not a private key, in PEM']
  ]
  for (const [cert, key, message] of cases)
    t.throws(() => checkPair(cert, key), { name: 'UnusableCertificate', message })
})

t.test('reads one generation, or a plain directory', async (t) => {
  const plain = t.testdir({ 'tls.crt': one.cert, 'tls.key': one.key })
  t.equal((await readPair(plain)).cert, one.cert)
  const mounted = t.testdir({})
  await t.rejects(readPair(mounted), { message: `tls.crt or tls.key is not there in '${mounted}': ${RUN}` })
  await mount(mounted, {})
  await t.rejects(readPair(mounted), { message: `tls.crt or tls.key is not there in '${mounted}': ${RUN}` })
  await mount(mounted, files(one))
  t.equal((await readPair(mounted)).cert, one.cert)
  await mount(mounted, files(two))
  t.equal((await readPair(mounted)).cert, two.cert)
  // As if the swap came between the two files: by their names they are of two generations.
  const torn = t.testdir({ 'tls.crt': one.cert, 'tls.key': two.key })
  await mount(torn, files(two))
  t.equal((await readPair(torn)).cert, two.cert)
})

async function watching(t: Test, options: Partial<WatchOptions> & { directory: string }) {
  const pairs: Pair[] = []
  const errors: string[] = []
  const watch = await watchCertificate({
    onPair: (pair) => void pairs.push(pair),
    onError: (error) => void errors.push(error.message),
    pollMs: 20,
    ...options
  })
  t.teardown(() => watch.close())
  return { watch, pairs, errors }
}

t.test('takes each new pair and keeps the last good one', async (t) => {
  const directory = t.testdir({})
  const { watch, pairs, errors } = await watching(t, { directory })
  t.match(watch.problem(), /is not there in/)
  await mount(directory, files(one))
  await until(() => pairs.length === 1)
  t.equal(watch.problem(), undefined)
  await mount(directory, { 'tls.crt': two.cert, 'tls.key': one.key })
  await until(() => errors.length === 2)
  t.equal(errors[1], 'tls.key is not the key of the certificate in tls.crt')
  t.equal(watch.problem(), undefined, 'the old pair still serves')
  await mount(directory, files(two))
  await until(() => pairs.length === 2)
  t.same(
    pairs.map(({ cert }) => cert),
    [one.cert, two.cert]
  )
  t.equal(errors.length, 2, 'a failure that lasts is told once')
})

t.test('a pair that cannot be served is an error, and tried again', async (t) => {
  let refusals = 0
  const onPair = (): void => {
    if (++refusals < 3) throw new Error('no')
  }
  const { watch, errors } = await watching(t, { directory: t.testdir(files(one)), onPair })
  t.equal(watch.problem(), 'no')
  await until(() => watch.problem() === undefined)
  t.same(errors, ['no'])
})

t.test('valid only between its dates, and never replaced by one that has ended', async (t) => {
  const directory = t.testdir(files(one))
  const ended = await selfSigned('ended', new Date(Date.now() - 1000))
  let now = Date.now()
  const { watch, pairs, errors } = await watching(t, { directory, now: () => now })
  t.equal(watch.problem(), undefined)
  await writeFile(join(directory, 'tls.key'), ended.key)
  await writeFile(join(directory, 'tls.crt'), ended.cert)
  await until(() => errors.includes('the new certificate in tls.crt has already ended'))
  t.equal(pairs.length, 1)
  now = pairs[0]!.notAfter
  t.match(watch.problem(), /^certificate ended at 20/)
  now = pairs[0]!.notBefore - 1
  t.match(watch.problem(), /^certificate is valid only from 20/)
})

const inHours = (hours: number): Date => new Date(Math.floor(Date.now() / 1000 + hours * 3600) * 1000)

t.test('a pair whose time is still to come waits until then, while the one before it is valid', async (t) => {
  const directory = t.testdir({})
  const [old, next] = [await selfSigned('old', inHours(4)), await selfSigned('next', inHours(8), inHours(2))]
  await mount(directory, files(old))
  let now = Date.now()
  const { watch, pairs, errors } = await watching(t, { directory, now: () => now })
  await mount(directory, files(next))
  await until(() => errors.length === 1)
  t.match(errors[0], /^the new certificate in tls\.crt is valid only from 20.*Z$/)
  t.equal(pairs.length, 1)
  t.equal(watch.problem(), undefined)
  now = pairs[0]!.notAfter - 3600_000
  await until(() => pairs.length === 2)
  t.equal(watch.problem(), undefined)
  t.equal(errors.length, 1)
})

t.test('a pair whose time is still to come replaces one that has ended', async (t) => {
  const directory = t.testdir({})
  await mount(directory, files(one))
  const { watch, pairs } = await watching(t, { directory, now: () => inHours(1.5).getTime() })
  await mount(directory, files(await selfSigned('next', inHours(8), inHours(2))))
  await until(() => pairs.length === 2)
  t.match(watch.problem(), /^certificate is valid only from 20/)
})
