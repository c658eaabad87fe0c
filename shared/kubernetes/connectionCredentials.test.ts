import t from 'tap'
import { cacheCredentials, readCredentials } from './connectionCredentials.ts'
import { kubeconfigText, silentLogger, temporaryFolder } from './connectionFixture.ts'

const insecure = { 'insecure-skip-tls-verify': true }

t.test('every way to say who we are', async (t) => {
  const folder = temporaryFolder()
  t.teardown(folder.remove)
  const read = async (user: object, cluster: object = insecure): ReturnType<typeof readCredentials> =>
    readCredentials({ kubeconfig: folder.write('config', kubeconfigText('https://h:1/', cluster, user)) })
  t.match(await read({ token: 'x' }), { server: 'https://h:1', headers: { authorization: 'Bearer x' } })
  t.match((await read({ username: 'a', password: 'b' })).headers, { authorization: 'Basic YTpi' })
  t.same((await read({})).headers, {})
  folder.write('cert', 'C')
  folder.write('key', 'K')
  folder.write('ca', 'A')
  const files = await read({ 'client-certificate': 'cert', 'client-key': 'key' }, { 'certificate-authority': 'ca' })
  t.same(files.tls, { ca: Buffer.from('A'), cert: Buffer.from('C'), key: Buffer.from('K') })
  t.match((await read({}, { ...insecure, 'tls-server-name': 's' })).tls, { servername: 's', rejectUnauthorized: false })
})

t.test('read again each minute; what was good is kept while the file is broken', async (t) => {
  const folder = temporaryFolder()
  t.teardown(folder.remove)
  const write = (token: string): string => folder.write('config', kubeconfigText('https://h', insecure, { token }))
  let now = 0
  const cache = cacheCredentials({ kubeconfig: write('one') }, silentLogger, () => now)
  const token = async (): Promise<unknown> => (await cache.current()).headers.authorization
  t.equal(await token(), 'Bearer one')
  write('two')
  now = 59_999
  t.equal(await token(), 'Bearer one')
  now = 60_000
  t.equal(await token(), 'Bearer two')
  folder.write('config', 'half-written: [')
  now = 120_000
  t.equal(await token(), 'Bearer two')
  write('three')
  cache.expire()
  t.equal(await token(), 'Bearer three', 'a refusal has it read at once')
})

t.test('nothing to keep: the first failure is told', async (t) => {
  const cache = cacheCredentials({ kubeconfig: '/nowhere' }, silentLogger)
  await t.rejects(cache.current(), /ENOENT/)
  await t.rejects(cache.current(), /ENOENT/, 'and tried again')
})
