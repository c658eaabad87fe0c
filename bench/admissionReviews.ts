/** AdmissionReviews as an API server sends them, at a settled size. */
import { pod, review } from '../webhook/reviewFixture.ts'

export interface SizedReview {
  readonly path: '/mutate' | '/validate'
  readonly body: Buffer
}

const GROUP = 'sg-0123456789abcdef0'
const OURS = { [`sg.amazonaws.com/${GROUP}`]: 'tcp:443,tcp:5000-5050,udp:53' }

/** A pod as a Deployment makes it, with what field management and admission have put on it, and `bytes` of JSON in all. */
export function reviewOf(path: SizedReview['path'], bytes: number, annotations = OURS): SizedReview {
  const build = (filler: string): Buffer => Buffer.from(JSON.stringify(createReview(path, filler, annotations)))
  const spare = bytes - build('').length
  if (spare < 0) throw new Error(`a review has at least ${build('').length} bytes; ${bytes} were asked for`)
  return { path, body: build('x'.repeat(spare)) }
}

/** To be validated: of as many Deployments, each of which asks for other ports. */
export function newReviews(count: number, bytes: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => {
    const asked = `tcp:${10_000 + index},tcp:${20_000 + index}-${30_000 + index},udp:${40_000 + index}`
    return reviewOf('/validate', bytes, { [`sg.amazonaws.com/${GROUP}`]: asked }).body
  })
}

/** As many groups, items and bytes as a pod may have: 16 groups, each with 60 items and blanks that fill 4 KiB. */
export function largestValues(): Readonly<Record<string, string>> {
  const items = Array.from({ length: 60 }, (_, index) => `tcp:${10_000 + 20 * index}-${10_003 + 20 * index}`).join(',')
  const ids = Array.from({ length: 16 }, (_, index) => `sg-0123456789abcdef${index.toString(16)}`)
  return Object.fromEntries(ids.map((id) => [id, items.padEnd(4096)]))
}

export function largestReview(path: SizedReview['path']): SizedReview {
  const values = Object.entries(largestValues())
  const annotations = Object.fromEntries(values.map(([id, value]) => [`sg.amazonaws.com/${id}`, value]))
  return { path, body: Buffer.from(JSON.stringify(createReview(path, '', annotations))) }
}

function createReview(path: SizedReview['path'], filler: string, annotations: Readonly<Record<string, string>> = OURS) {
  const validating = path === '/validate'
  const labels = { app: 'web', 'pod-template-hash': '5d4f8b9c6d' }
  const parts = {
    annotations: { ...annotations, 'example.com/filler': filler },
    labels: validating ? { ...labels, 'sg.amazonaws.com/managed': 'true' } : labels,
    ...(validating ? { finalizers: ['sg.amazonaws.com/revoke-rules'] } : {}),
    metadata: { generateName: 'web-5d4f8b9c6d-', ownerReferences: [OWNER], managedFields: [MANAGED] },
    spec: SPEC,
    status: { phase: 'Pending', qosClass: 'Burstable' }
  }
  return review({ object: pod(parts), name: '', uid: 'b6a1f0de-3c1f-4c55-9f6b-5d9f1f0c8e11' })
}

const OWNER = {
  apiVersion: 'apps/v1',
  kind: 'ReplicaSet',
  name: 'web-5d4f8b9c6d',
  uid: '0a4f3d6e-90a5-44e5-8a0b-2f2f6a3d1c77',
  controller: true,
  blockOwnerDeletion: true
}

const MANAGED = {
  manager: 'kube-controller-manager',
  operation: 'Update',
  apiVersion: 'v1',
  time: '2026-01-01T00:00:00Z',
  fieldsType: 'FieldsV1',
  fieldsV1: {
    'f:metadata': { 'f:annotations': { '.': {} }, 'f:generateName': {}, 'f:labels': { '.': {}, 'f:app': {} } },
    'f:spec': { 'f:containers': { 'k:{"name":"app"}': { '.': {}, 'f:env': {}, 'f:image': {}, 'f:name': {} } } }
  }
}

const container = (name: string): object => ({
  name,
  image: `example.com/${name}:1.2.3`,
  env: ['HOME', 'LANG', 'MODE', 'REGION'].map((key) => ({ name: key, value: `the value of ${key}` })),
  resources: { requests: { cpu: '100m', memory: '128Mi' }, limits: { memory: '256Mi' } },
  volumeMounts: [{ name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true }],
  readinessProbe: { httpGet: { path: '/ready', port: 8080, scheme: 'HTTP' }, timeoutSeconds: 1, periodSeconds: 10 },
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
  imagePullPolicy: 'IfNotPresent'
})

const SPEC = {
  containers: ['app', 'proxy'].map(container),
  volumes: [
    { name: 'token', projected: { sources: [{ serviceAccountToken: { expirationSeconds: 3607, path: 't' } }] } }
  ],
  restartPolicy: 'Always',
  terminationGracePeriodSeconds: 30,
  dnsPolicy: 'ClusterFirst',
  serviceAccountName: 'default',
  schedulerName: 'default-scheduler',
  tolerations: [
    { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }
  ],
  enableServiceLinks: true,
  preemptionPolicy: 'PreemptLowerPriority'
}
