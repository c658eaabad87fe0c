/** Makes certificates and tells what one is. Certificates are ECDSA P-256 with SHA-256, in PEM. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { generate } from 'selfsigned'
import { BACKDATE_MS, DAY_MS } from './renewal.ts'

/** A certificate and its key, both PEM. */
export interface Pair {
  readonly cert: string
  readonly key: string
}

export const CA_DAYS = 365
export const LEAF_DAYS = 60

/**
 * A certificate authority of our own, for one leaf below it.
 * @param now milliseconds since 1970; also in the name, so that two generations are told apart
 */
export async function issueAuthority(now: number): Promise<Pair> {
  // A comma would begin a second part of the name; ISO dates have none.
  const name = `kube-sg ${new Date(now).toISOString().replace(/\.\d+Z$/, 'Z')}`
  const issued = await generate([{ name: 'commonName', value: name }], {
    ...RECIPE,
    ...lifetime(now, CA_DAYS),
    extensions: [
      { name: 'basicConstraints', cA: true, pathLenConstraint: 0, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true }
    ]
  })
  return { cert: tidy(issued.cert), key: tidy(issued.private) }
}

/** A serving certificate for these DNS names. */
export async function issueLeaf(authority: Pair, dnsNames: readonly string[], now: number): Promise<Pair> {
  const issued = await generate([{ name: 'commonName', value: dnsNames[0] ?? '' }], {
    ...RECIPE,
    ...lifetime(now, LEAF_DAYS),
    ca: authority,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, critical: true },
      { name: 'extKeyUsage', serverAuth: true },
      { name: 'subjectAltName', altNames: dnsNames.map((value) => ({ type: 2 as const, value })) }
    ]
  })
  return { cert: tidy(issued.cert), key: tidy(issued.private) }
}

/** selfsigned's own choices are RSA and SHA-1. */
const RECIPE = { keyType: 'ec', curve: 'P-256', algorithm: 'sha256' } as const

function lifetime(now: number, days: number): { notBeforeDate: Date; notAfterDate: Date } {
  return { notBeforeDate: new Date(now - BACKDATE_MS), notAfterDate: new Date(now + days * DAY_MS) }
}

const tidy = (pem: string): string => `${pem.replaceAll('\r\n', '\n').trim()}\n`

/** What a renewal needs to know of a certificate. */
export interface Facts {
  /** Milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
  readonly authority: boolean
  readonly dnsNames: readonly string[]
}

/** Undefined when the text is not one certificate in PEM. */
export function readCertificate(pem: string): Facts | undefined {
  const certificate = parse(pem)
  if (certificate === undefined) return undefined
  const names = certificate.subjectAltName?.split(', ') ?? []
  return {
    notBefore: Date.parse(certificate.validFrom),
    notAfter: Date.parse(certificate.validTo),
    authority: certificate.ca,
    dnsNames: names.filter((name) => name.startsWith('DNS:')).map((name) => name.slice('DNS:'.length))
  }
}

/** Whether the key is the certificate's own. False for what is not PEM. */
export function belongTogether({ cert, key }: Pair): boolean {
  try {
    return parse(cert)?.checkPrivateKey(createPrivateKey(key)) ?? false
  } catch {
    return false
  }
}

/** Whether the authority signed the certificate. False for what is not PEM. */
export function signedBy(cert: string, authority: string): boolean {
  const [child, parent] = [parse(cert), parse(authority)]
  if (child === undefined || parent === undefined) return false
  return child.checkIssued(parent) && child.verify(parent.publicKey)
}

/** The certificates of a bundle, one PEM each; text around them is dropped. */
export function splitBundle(bundle: string): readonly string[] {
  const blocks = bundle.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.map(tidy)
}

function parse(pem: string): X509Certificate | undefined {
  try {
    return new X509Certificate(pem)
  } catch {
    return undefined
  }
}
