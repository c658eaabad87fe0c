import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import type { Test } from 'tap'
import { belongTogether, issueAuthority, issueLeaf, readCertificate, signedBy, splitBundle } from './certificates.ts'
import type { Pair } from './certificates.ts'

const now = Date.now()
const second = Math.floor(now / 1000) * 1000
const NAMES = ['kube-sg-webhook.kube-sg.svc', 'kube-sg-webhook.kube-sg.svc.cluster.local']
const authority = await issueAuthority(now)
const other = await issueAuthority(now - 1000)
const leaf = await issueLeaf(authority, NAMES, now)

t.test('an authority for a year', async (t) => {
  t.same(readCertificate(authority.cert), {
    notBefore: second - 3600_000,
    notAfter: second + 365 * 24 * 3600_000,
    authority: true,
    dnsNames: []
  })
  t.ok(belongTogether(authority))
  t.ok(signedBy(authority.cert, authority.cert))
})

t.test('a leaf for sixty days, for these names', async (t) => {
  t.same(readCertificate(leaf.cert), {
    notBefore: second - 3600_000,
    notAfter: second + 60 * 24 * 3600_000,
    authority: false,
    dnsNames: NAMES
  })
  t.ok(belongTogether(leaf))
  t.ok(signedBy(leaf.cert, authority.cert))
})

t.test('tells who belongs to whom', async (t) => {
  t.notOk(signedBy(leaf.cert, other.cert))
  t.notOk(signedBy(authority.cert, leaf.cert))
  t.notOk(belongTogether({ cert: leaf.cert, key: authority.key }))
  for (const text of ['', 'x', '-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n']) {
    t.equal(readCertificate(text), undefined)
    t.notOk(signedBy(text, authority.cert))
    t.notOk(signedBy(leaf.cert, text))
    t.notOk(belongTogether({ cert: text, key: leaf.key }))
  }
  t.notOk(belongTogether({ cert: leaf.cert, key: 'x' }))
})

t.test('splits a bundle into what was put in', async (t) => {
  t.same(splitBundle(`# one\r\n${authority.cert.replaceAll('\n', '\r\n')}\n\nand ${other.cert}`), [
    authority.cert,
    other.cert
  ])
  t.same(splitBundle(''), [])
})

/** What a TLS client that trusts the bundle says to a server with the pair. */
async function handshake(t: Test, pair: Pair, ca: string, servername: string): Promise<string> {
  const server = createServer({ cert: pair.cert, key: pair.key }, (_request, response) => response.end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  return new Promise((resolve) => {
    request({ host: '127.0.0.1', port, ca, servername, agent: false }, () => resolve('trusted'))
      .on('error', (error: NodeJS.ErrnoException) => resolve(String(error.code)))
      .end()
  })
}

t.test('a TLS client accepts the leaf under its authority, and nothing else', async (t) => {
  const name = 'kube-sg-webhook.kube-sg.svc'
  t.equal(await handshake(t, leaf, authority.cert, name), 'trusted')
  t.equal(await handshake(t, leaf, other.cert + authority.cert, name), 'trusted')
  t.equal(await handshake(t, leaf, other.cert, name), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE')
  t.equal(await handshake(t, leaf, authority.cert, 'kube-sg-webhook.other.svc'), 'ERR_TLS_CERT_ALTNAME_INVALID')
  const ended = await issueLeaf(authority, NAMES, now - 61 * 24 * 3600_000)
  t.equal(await handshake(t, ended, authority.cert, name), 'CERT_HAS_EXPIRED')
})
