/** What is due now. Pure: certificates come in as facts already read, `now` is an argument. */

/** A certificate as the decision sees it. */
export interface Authority {
  readonly pem: string
  readonly notBefore: number
  readonly notAfter: number
}

export interface Leaf {
  readonly notBefore: number
  readonly notAfter: number
  /** Key belongs to it, all DNS names are in it, and it is for serving. */
  readonly sound: boolean
  /** PEM of the authority that signed it, when we have it and it has not ended. */
  readonly signer: string | undefined
}

export interface State {
  /** The authority that signs; undefined when there is none with its key. */
  readonly signer: Authority | undefined
  /** Authorities before it, and any other that the leaf may be proven with. */
  readonly others: readonly Authority[]
  readonly leaf: Leaf | undefined
  /**
   * When every entry of the webhook configurations was found or made to trust the signer, in milliseconds since 1970;
   * undefined while one does not, as this run found them, and while nobody wrote down since when they do.
   */
  readonly trustedSince: number | undefined
}

export interface Due {
  readonly authority: boolean
  readonly leaf: boolean
}

export const DAY_MS = 24 * 3600 * 1000

/** A leaf must end before its authority does, and both authorities be trusted for a while before that. */
export const RENEW_AUTHORITY_BEFORE_MS = 90 * DAY_MS

/** Certificates are dated back, as the clocks of API servers may be behind ours. */
export const BACKDATE_MS = 3600 * 1000

/** API servers learn of a changed webhook configuration in seconds, by watch; a partitioned one in minutes. */
export const PROPAGATION_MS = 5 * 60 * 1000

/**
 * Says what to issue. A new authority is one run's work and its first leaf a later one's, so that every API server
 * trusts the authority before anything is served with it; only a leaf that no longer serves is replaced at once.
 * @param now milliseconds since 1970
 */
export function decide(state: State, now: number): Due {
  const { signer, leaf, trustedSince } = state
  const authority = signer === undefined || signer.notAfter - now < RENEW_AUTHORITY_BEFORE_MS || signer.notBefore > now
  if (leaf === undefined || !leaf.sound || leaf.notAfter <= now || leaf.notBefore > now)
    return { authority, leaf: true }
  // Nobody could verify what is served: waiting mends nothing.
  if (leaf.signer === undefined) return { authority, leaf: true }
  const propagated = !authority && trustedSince !== undefined && now - trustedSince >= PROPAGATION_MS
  const elsewhere = leaf.signer !== signer?.pem
  return { authority, leaf: propagated && (elsewhere || twoThirdsGone(leaf, now)) }
}

/** Kept are the signer and every authority that has not ended: a replica may still serve what it signed. */
export function trustedBundle(signer: Authority, others: readonly Authority[], now: number): string {
  const kept = others.filter(({ pem, notAfter }) => pem !== signer.pem && notAfter > now)
  const newestFirst = kept.toSorted((a, b) => b.notBefore - a.notBefore || (a.pem < b.pem ? -1 : 1))
  return [...new Set([signer.pem, ...newestFirst.map(({ pem }) => pem)])].join('')
}

function twoThirdsGone({ notBefore, notAfter }: Leaf, now: number): boolean {
  return now >= notBefore + ((notAfter - notBefore) * 2) / 3
}
