/** AdmissionReviews for tests: a minimal valid pod, tweaked. */

export interface PodParts {
  readonly annotations?: Readonly<Record<string, string>> | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly finalizers?: readonly string[] | undefined
  readonly metadata?: Readonly<Record<string, unknown>>
  readonly spec?: Readonly<Record<string, unknown>>
  readonly status?: Readonly<Record<string, unknown>>
}

export function pod(parts: PodParts = {}): Record<string, unknown> {
  const { annotations, labels, finalizers } = parts
  const given = Object.entries({ annotations, labels, finalizers }).filter(([, value]) => value !== undefined)
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'api', namespace: 'web', ...Object.fromEntries(given), ...parts.metadata },
    spec: { serviceAccountName: 'default', containers: [{ name: 'c', image: 'x' }], ...parts.spec },
    ...(parts.status === undefined ? {} : { status: parts.status })
  }
}

/** A pod as our mutation leaves it. */
export function stamped(parts: PodParts = {}): Record<string, unknown> {
  return pod({
    ...parts,
    labels: { 'sg.amazonaws.com/managed': 'true', ...parts.labels },
    finalizers: ['sg.amazonaws.com/revoke-rules', ...(parts.finalizers ?? [])]
  })
}

export interface ReviewParts {
  readonly object: unknown
  readonly oldObject?: unknown
  readonly operation?: string
  readonly resource?: string
  readonly subResource?: string
  readonly kind?: string
  readonly name?: string
  readonly uid?: string
}

export function review(parts: ReviewParts): Record<string, unknown> {
  const { object, oldObject = null, resource = 'pods', subResource, kind = 'Pod', name = 'api', uid = 'u-1' } = parts
  const operation = parts.operation ?? (oldObject === null ? 'CREATE' : 'UPDATE')
  return {
    apiVersion: 'admission.k8s.io/v1',
    kind: 'AdmissionReview',
    request: {
      uid,
      kind: { group: '', version: 'v1', kind },
      resource: { group: '', version: 'v1', resource },
      ...(subResource === undefined ? {} : { subResource }),
      name,
      namespace: 'web',
      operation,
      userInfo: { username: 'jane' },
      object,
      oldObject,
      dryRun: false
    }
  }
}
