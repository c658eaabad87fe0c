/** One run: reads what is there, issues what is due, and writes in the one order that never breaks serving. */
import { CA_SECRET, TLS_SECRET } from '../shared/names.ts'
import type { Logger } from '../shared/logger.ts'
import { belongTogether, issueAuthority, issueLeaf, readCertificate, signedBy, splitBundle } from './certificates.ts'
import type { Pair } from './certificates.ts'
import { decide, trustedBundle } from './renewal.ts'
import type { Authority, Leaf, State } from './renewal.ts'

/** A Secret's data, decoded; `version` guards the write against another run. */
export interface Secret {
  readonly name: string
  readonly version: string
  readonly data: Readonly<Record<string, string>>
}

export interface Secrets {
  /** @throws when there is no such Secret: the manifests ship both, empty */
  read(name: string): Promise<Secret>
  /**
   * Sets these keys and leaves others alone.
   * @returns the Secret as it is then
   * @throws Conflict when somebody wrote since it was read
   */
  write(secret: Secret, data: Readonly<Record<string, string>>): Promise<Secret>
}

/** One entry of a webhook configuration, and whom the API server trusts to serve it. */
export interface Entry {
  readonly configuration: 'mutating' | 'validating'
  readonly index: number
  readonly name: string
  /** PEM; empty when none is set. */
  readonly caBundle: string
}

export interface WebhookConfigurations {
  read(): Promise<readonly Entry[]>
  /** @throws Conflict when the entries were moved since they were read */
  trust(entries: readonly Entry[], bundle: string): Promise<void>
}

/** Somebody else wrote meanwhile; running again from the start is safe and right. */
export class Conflict extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'Conflict'
  }
}

export interface Dependencies {
  readonly secrets: Secrets
  readonly configurations: WebhookConfigurations
  readonly logger: Logger
}

/** What a run changed; a second run right after it changes nothing. */
export interface Outcome {
  readonly authorityIssued: boolean
  readonly leafIssued: boolean
  readonly entriesChanged: number
}

/** Key of the CA Secret: since when its authority is trusted by every entry, as an ISO date; empty while it is not. */
const TRUSTED_SINCE = 'trusted-since'

/**
 * Authority first, then the trust in it and since when, then what it signed: cut off between any two writes, the next
 * run goes on.
 * @param clock milliseconds since 1970
 */
export async function run(
  dependencies: Dependencies,
  dnsNames: readonly string[],
  clock: () => number
): Promise<Outcome> {
  const { secrets, configurations, logger } = dependencies
  const now = clock()
  const [ca, tls, entries] = await Promise.all([
    secrets.read(CA_SECRET),
    secrets.read(TLS_SECRET),
    configurations.read()
  ])
  const state = readState(ca, tls, entries, dnsNames, now)
  const due = decide(state, now)
  logger.info({ ...due, entries: entries.length }, 'renewal decided')

  const authority = due.authority ? await issueAuthority(now) : heldPair(ca, 'ca')
  const signer = readAuthority(authority.cert)
  if (signer === undefined) throw new Error(`Secret '${CA_SECRET}' holds no authority though none is due`)
  const others = state.signer === undefined ? state.others : [...state.others, state.signer]
  const bundle = trustedBundle(signer, others, now)
  const previous = bundle.slice(signer.pem.length)
  const trustedSince = due.authority ? undefined : state.trustedSince
  const written = await writeChanges(secrets, ca, {
    'ca.crt': authority.cert,
    'ca.key': authority.key,
    'previous.crt': previous,
    // Cleared before the trust is mended: a run that is cut off after that must not leave the old date.
    [TRUSTED_SINCE]: trustedSince === undefined ? '' : new Date(trustedSince).toISOString()
  })
  if (due.authority) logger.info({ notAfter: new Date(signer.notAfter).toISOString() }, 'certificate authority issued')

  const untrusting = entries.filter(({ caBundle }) => caBundle !== bundle)
  if (untrusting.length > 0) {
    await configurations.trust(untrusting, bundle)
    logger.info({ entries: untrusting.map(({ name }) => name) }, 'webhook configurations trust the authority')
  }
  if (trustedSince === undefined)
    await writeChanges(secrets, written, { [TRUSTED_SINCE]: new Date(clock()).toISOString() })

  const leaf = due.leaf ? await issueLeaf(authority, dnsNames, now) : heldPair(tls, 'tls')
  await writeChanges(secrets, tls, { 'tls.crt': leaf.cert, 'tls.key': leaf.key, 'ca.crt': bundle })
  if (due.leaf) logger.info({ dnsNames }, 'serving certificate issued')
  return { authorityIssued: due.authority, leafIssued: due.leaf, entriesChanged: untrusting.length }
}

/** Turns what the cluster holds into the facts that a decision needs. Pure. */
export function readState(
  ca: Secret,
  tls: Secret,
  entries: readonly Entry[],
  dnsNames: readonly string[],
  now: number
): State {
  const held = heldPair(ca, 'ca')
  const heldAuthority = readAuthority(held.cert)
  const signer = heldAuthority !== undefined && belongTogether(held) ? heldAuthority : undefined
  const served = heldPair(tls, 'tls')
  const previous = splitBundle(ca.data['previous.crt'] ?? '')
  // Also an authority whose key is lost, and one that only the serving Secret still knows, while the leaf rests on it.
  const proving = [held.cert, ...splitBundle(tls.data['ca.crt'] ?? '')].filter((pem) => signedBy(served.cert, pem))
  const others = [...new Set([...previous, ...proving])]
    .map(readAuthority)
    .filter((authority) => authority !== undefined)
    .filter(({ pem, notAfter }) => pem !== signer?.pem && notAfter > now)
  const leaf = readLeaf(served, signer === undefined ? others : [signer, ...others], dnsNames, now)
  const trusted = signer !== undefined && entries.every(({ caBundle }) => caBundle.includes(signer.pem))
  return { signer, others, leaf, trustedSince: trusted ? readTrustedSince(ca, now) : undefined }
}

/** A date to come was written by a clock that was wrong, and would hold up renewals until then. */
function readTrustedSince({ data }: Secret, now: number): number | undefined {
  const since = Date.parse(data[TRUSTED_SINCE] ?? '')
  return since <= now ? since : undefined
}

function readAuthority(pem: string): Authority | undefined {
  const facts = readCertificate(pem)
  return facts?.authority === true ? { pem, notBefore: facts.notBefore, notAfter: facts.notAfter } : undefined
}

function readLeaf(
  pair: Pair,
  authorities: readonly Authority[],
  dnsNames: readonly string[],
  now: number
): Leaf | undefined {
  const facts = readCertificate(pair.cert)
  if (facts === undefined) return undefined
  const sound = !facts.authority && belongTogether(pair) && dnsNames.every((name) => facts.dnsNames.includes(name))
  const signer = authorities.find(({ pem, notAfter }) => notAfter > now && signedBy(pair.cert, pem))?.pem
  return { notBefore: facts.notBefore, notAfter: facts.notAfter, sound, signer }
}

const heldPair = ({ data }: Secret, prefix: 'ca' | 'tls'): Pair => ({
  cert: data[`${prefix}.crt`] ?? '',
  key: data[`${prefix}.key`] ?? ''
})

async function writeChanges(secrets: Secrets, secret: Secret, data: Readonly<Record<string, string>>): Promise<Secret> {
  const changed = Object.entries(data).filter(([key, value]) => (secret.data[key] ?? '') !== value)
  return changed.length === 0 ? secret : secrets.write(secret, Object.fromEntries(changed))
}
