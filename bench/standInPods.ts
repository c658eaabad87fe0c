/** Pods as an API server sends them, at their usual size, from the little that differs between them. Pure. */
import { CONDITION, FINALIZER, MANAGED_LABEL, MANAGED_VALUE } from '../shared/names.ts'

export interface StandInPod {
  readonly namespace: string
  readonly name: string
  readonly uid: string
  readonly serviceAccountName: string
  readonly nodeName: string
  /** Empty for a pod that is none of ours. */
  readonly groupId: string
  readonly addresses: readonly string[]
  readonly createdAt: string
  phase: 'Pending' | 'Running' | 'Succeeded'
  /** Deleted, with its grace over. */
  deleted: boolean
  finalized: boolean
  condition: { readonly status: string; readonly reason: string; readonly message: string } | undefined
  resourceVersion: number
}

/** The n-th of the pods; those of one `app` share what a Deployment's pods share. */
export function makePod(n: number, app: number, groupId: string): StandInPod {
  const hex = n.toString(16).padStart(6, '0')
  return {
    namespace: `team-${app % 20}`,
    name: `app-${app}-5d4f8b9c6d-${hex}`,
    uid: `0b5e2a7c-93d1-4c55-9f6b-5d9f1f${hex}`,
    serviceAccountName: `app-${app}`,
    nodeName: `ip-10-63-${Math.floor((n % 400) / 250)}-${n % 250}.ec2.internal`,
    groupId,
    addresses: [
      `10.64.${(n >> 8) & 255}.${n & 255}`,
      `fd00:64::${(n >> 16).toString(16)}:${(n & 0xffff).toString(16)}`
    ],
    createdAt: '2026-01-01T00:00:00Z',
    phase: 'Running',
    deleted: false,
    finalized: true,
    condition: { status: 'True', reason: 'RulesInEffect', message: `every rule is in effect in ${groupId}` },
    resourceVersion: 1
  }
}

/** The whole object, about 5 KB of JSON. @param beat something that changes and decides nothing */
export function podObject(pod: StandInPod, beat = ''): object {
  const app = pod.name.slice(0, pod.name.indexOf('-', 4))
  const at = pod.createdAt
  const running = { running: { startedAt: at } }
  const ended = {
    terminated: { exitCode: 0, reason: 'Completed', startedAt: at, finishedAt: new Date().toISOString() }
  }
  const status = (type: string) => ({ type, status: 'True', lastProbeTime: null, lastTransitionTime: at })
  const own = pod.condition === undefined ? [] : [{ type: CONDITION, lastTransitionTime: at, ...pod.condition }]
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      ...podMetadata(pod),
      ...(pod.deleted ? { deletionTimestamp: new Date().toISOString(), deletionGracePeriodSeconds: 0 } : {})
    },
    spec: { ...SPEC, nodeName: pod.nodeName, serviceAccountName: pod.serviceAccountName, containers: [container(app)] },
    status: {
      phase: pod.phase,
      conditions: [
        status('PodReadyToStartContainers'),
        status('Initialized'),
        status('Ready'),
        status('PodScheduled'),
        ...own
      ],
      message: beat,
      startTime: at,
      ...(pod.phase === 'Pending'
        ? {}
        : { podIP: pod.addresses[0], podIPs: pod.addresses.map((ip) => ({ ip })), hostIP: '10.63.0.10' }),
      containerStatuses:
        pod.phase === 'Pending'
          ? []
          : [
              {
                name: 'app',
                ready: true,
                restartCount: 0,
                image: `registry/${app}:1.2.3`,
                imageID: `registry/${app}@sha256:${DIGEST}`,
                state: pod.phase === 'Running' ? running : ended
              }
            ],
      qosClass: 'Burstable'
    }
  }
}

export function podMetadata(pod: StandInPod): object {
  const app = pod.name.slice(0, pod.name.indexOf('-', 4))
  const managed = pod.groupId === '' ? {} : { [MANAGED_LABEL]: MANAGED_VALUE }
  return {
    name: pod.name,
    generateName: pod.name.slice(0, -6),
    namespace: pod.namespace,
    uid: pod.uid,
    resourceVersion: String(pod.resourceVersion),
    creationTimestamp: pod.createdAt,
    labels: { app, 'pod-template-hash': '5d4f8b9c6d', 'app.kubernetes.io/name': app, ...managed },
    annotations: {
      'kubectl.kubernetes.io/restartedAt': pod.createdAt,
      'prometheus.io/scrape': 'true',
      ...(pod.groupId === '' ? {} : { [`sg.amazonaws.com/${pod.groupId}`]: 'tcp:443' })
    },
    ...(pod.finalized && pod.groupId !== '' ? { finalizers: [FINALIZER] } : {}),
    ownerReferences: [
      { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: `${app}-5d4f8b9c6d`, uid: pod.uid, controller: true }
    ],
    managedFields: MANAGED_FIELDS
  }
}

const DIGEST = '0f3c9a1e5b7d2846'.repeat(4)

const container = (app: string) => ({
  name: 'app',
  image: `registry/${app}:1.2.3`,
  ports: [{ containerPort: 8080, protocol: 'TCP' }],
  env: Array.from({ length: 8 }, (_, index) => ({ name: `SETTING_${index}`, value: `value of setting ${index}` })),
  resources: { limits: { memory: '256Mi' }, requests: { cpu: '100m', memory: '128Mi' } },
  volumeMounts: [{ name: 'token', readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' }],
  livenessProbe: { httpGet: { path: '/livez', port: 8080, scheme: 'HTTP' }, timeoutSeconds: 1, periodSeconds: 10 },
  readinessProbe: { httpGet: { path: '/readyz', port: 8080, scheme: 'HTTP' }, timeoutSeconds: 1, periodSeconds: 10 },
  terminationMessagePath: '/dev/termination-log',
  terminationMessagePolicy: 'File',
  imagePullPolicy: 'IfNotPresent'
})

const toleration = (key: string) => ({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 })

const SPEC = {
  volumes: [
    {
      name: 'token',
      projected: {
        sources: [
          { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
          { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
          {
            downwardAPI: {
              items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }]
            }
          }
        ],
        defaultMode: 420
      }
    }
  ],
  restartPolicy: 'Always',
  terminationGracePeriodSeconds: 30,
  dnsPolicy: 'ClusterFirst',
  securityContext: {},
  schedulerName: 'default-scheduler',
  tolerations: [toleration('node.kubernetes.io/not-ready'), toleration('node.kubernetes.io/unreachable')],
  priority: 0,
  enableServiceLinks: true,
  preemptionPolicy: 'PreemptLowerPriority'
}

const fields = (names: readonly string[]) => Object.fromEntries(names.map((name) => [`f:${name}`, {}]))

const MANAGED_FIELDS = [
  {
    manager: 'kube-controller-manager',
    operation: 'Update',
    apiVersion: 'v1',
    time: '2026-01-01T00:00:00Z',
    fieldsType: 'FieldsV1',
    fieldsV1: {
      'f:metadata': {
        'f:annotations': fields(['.', 'kubectl.kubernetes.io/restartedAt', 'prometheus.io/scrape']),
        'f:generateName': {},
        'f:labels': fields(['.', 'app', 'pod-template-hash', 'app.kubernetes.io/name'])
      },
      'f:spec': {
        'f:containers': {
          'k:{"name":"app"}': fields([
            '.',
            'env',
            'image',
            'imagePullPolicy',
            'livenessProbe',
            'name',
            'ports',
            'resources'
          ])
        },
        ...fields(['dnsPolicy', 'enableServiceLinks', 'restartPolicy', 'schedulerName', 'serviceAccountName'])
      }
    }
  },
  {
    manager: 'kubelet',
    operation: 'Update',
    apiVersion: 'v1',
    time: '2026-01-01T00:00:03Z',
    fieldsType: 'FieldsV1',
    fieldsV1: {
      'f:status': {
        'f:conditions': {
          'k:{"type":"Initialized"}': fields(['.', 'lastProbeTime', 'lastTransitionTime', 'status', 'type']),
          'k:{"type":"Ready"}': fields(['.', 'lastProbeTime', 'lastTransitionTime', 'status', 'type'])
        },
        ...fields(['containerStatuses', 'hostIP', 'hostIPs', 'phase', 'podIP', 'podIPs', 'startTime'])
      }
    },
    subresource: 'status'
  }
]
