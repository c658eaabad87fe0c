/** The serving certificate in its mounted directory: read whole, checked, and read again when it changes. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { watch } from 'node:fs'
import { readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'

/** A certificate and its key that belong together; what `setSecureContext` takes. */
export interface Pair {
  readonly cert: string
  readonly key: string
  /** Milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
}

/** There is no pair that could be served; the message says why, and what to do. */
export class UnusableCertificate extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'UnusableCertificate'
  }
}

/**
 * Reads tls.crt and tls.key of one generation: the kubelet swaps the symlink `..data` when it has written a new one, so
 * both files are read through one resolution of it. A plain directory without `..data` serves as well.
 * @throws UnusableCertificate
 */
export async function readPair(directory: string): Promise<Pair> {
  try {
    const generation = await realpath(join(directory, '..data')).catch(() => directory)
    const [cert, key] = await Promise.all(
      ['tls.crt', 'tls.key'].map((name) => readFile(join(generation, name), 'utf8'))
    )
    return checkPair(cert ?? '', key ?? '')
  } catch (cause) {
    if (cause instanceof UnusableCertificate) throw cause
    const reason = (cause as NodeJS.ErrnoException).code === 'ENOENT' ? 'is not there' : 'cannot be read'
    const message = `tls.crt or tls.key ${reason} in '${directory}': has the certificates job run yet?`
    throw new UnusableCertificate(message, { cause })
  }
}

/** @throws UnusableCertificate when the texts are not a certificate and its own key */
export function checkPair(cert: string, key: string): Pair {
  if (cert.trim() === '' || key.trim() === '')
    throw new UnusableCertificate('tls.crt or tls.key is empty: has the certificates job run yet?')
  let certificate: X509Certificate
  let belongs: boolean
  try {
    certificate = new X509Certificate(cert)
    belongs = certificate.checkPrivateKey(createPrivateKey(key))
  } catch (cause) {
    throw new UnusableCertificate('tls.crt is not a certificate, or tls.key not a private key, in PEM', { cause })
  }
  if (!belongs) throw new UnusableCertificate('tls.key is not the key of the certificate in tls.crt')
  return { cert, key, notBefore: Date.parse(certificate.validFrom), notAfter: Date.parse(certificate.validTo) }
}

/**
 * One whose time is still to come is taken when it has come: the directory is polled. Before that no API server would trust it.
 * @throws UnusableCertificate when the new pair is not valid while the one that is served is
 */
function expectNoWorse(pair: Pair, served: Pair, at: number): void {
  if (served.notAfter <= at) return
  if (pair.notAfter <= at) throw new UnusableCertificate('the new certificate in tls.crt has already ended')
  if (served.notBefore > at || pair.notBefore <= at) return
  const from = new Date(pair.notBefore).toISOString()
  throw new UnusableCertificate(`the new certificate in tls.crt is valid only from ${from}`)
}

export interface CertificateWatch {
  /** Undefined while the certificate being served is valid, else why not. */
  problem(): string | undefined
  close(): void
}

export interface WatchOptions {
  readonly directory: string
  /** Called with each new good pair, the first before this function returns. @throws when the pair cannot be served */
  readonly onPair: (pair: Pair) => void
  /** Called for each change that cannot be used; what was served before stays. */
  readonly onError: (error: Error) => void
  readonly pollMs?: number
  /** Milliseconds since 1970. */
  readonly now?: () => number
}

/** Watches the directory, and polls it as well: watches are lost on some file systems, and with the directory. */
export async function watchCertificate(options: WatchOptions): Promise<CertificateWatch> {
  const { directory, onPair, onError, pollMs = 10_000, now = Date.now } = options
  let served: Pair | undefined
  let failure: string | undefined
  let running = Promise.resolve()

  async function read(): Promise<void> {
    try {
      const pair = await readPair(directory)
      if (pair.cert !== served?.cert || pair.key !== served.key) {
        if (served !== undefined) expectNoWorse(pair, served, now())
        onPair(pair)
        served = pair
      }
      failure = undefined
    } catch (error) {
      const { message } = error as Error
      if (message !== failure) onError(error as Error)
      failure = message
    }
  }
  const again = (): Promise<void> => (running = running.then(read))

  await again()
  let watcher: ReturnType<typeof watch> | undefined
  try {
    watcher = watch(directory, () => void again())
    watcher.on('error', onError)
  } catch (error) {
    onError(new Error(`'${directory}' cannot be watched and is only polled`, { cause: error }))
  }
  const timer = setInterval(() => void again(), pollMs)
  return {
    problem() {
      if (served === undefined) return failure ?? 'no certificate was read yet'
      if (now() < served.notBefore) return `certificate is valid only from ${new Date(served.notBefore).toISOString()}`
      if (now() >= served.notAfter) return `certificate ended at ${new Date(served.notAfter).toISOString()}`
      return undefined
    },
    close() {
      clearInterval(timer)
      watcher?.close()
    }
  }
}
