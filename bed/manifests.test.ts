import t from 'tap'
import { environmentOf, onThisHost, readManifests, workloadOf } from './manifests.ts'

const DEPLOYMENT = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: server, namespace: ns }
spec:
  template:
    spec:
      serviceAccountName: account
      containers:
        - name: server
          args: [/app/server.js, --verbose]
          envFrom:
            - configMapRef: { name: settings }
            - configMapRef: { name: absent, optional: true }
          env:
            - { name: PORT, value: '8443' }
            - { name: LEVEL, value: own }
            - { name: SELF, valueFrom: { fieldRef: { fieldPath: metadata.name } } }
            - { name: NAMESPACE, valueFrom: { fieldRef: { fieldPath: metadata.namespace } } }
          volumeMounts:
            - { name: tls, mountPath: /etc/tls }
            - { name: scratch, mountPath: /tmp }
      volumes:
        - { name: tls, secret: { secretName: server-tls } }
        - { name: scratch, emptyDir: {} }
`

const SERVICE = `
apiVersion: v1
kind: Service
metadata: { name: server }
spec: { selector: { app: server }, ports: [{ port: 443 }] }
`

const WEBHOOKS = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: { name: server }
webhooks:
  - { name: a, failurePolicy: Fail, clientConfig: { service: { name: server, namespace: ns, path: /a, port: 443 } } }
  - { name: b, clientConfig: { service: { name: server, namespace: ns, path: /b } } }
`

const read = (...texts: string[]) => readManifests(texts.map((text, index) => ({ name: `${index}.yaml`, text })))

t.test('workloads are told from what is applied, in order, whatever the files hold', async (t) => {
  const { objects, workloads } = read(`# comment only\n---\n${SERVICE}---\n${DEPLOYMENT}`, WEBHOOKS)
  t.same(objects.map(({ kind }) => kind), ['Service', 'MutatingWebhookConfiguration']) // prettier-ignore
  t.same(workloads.map(({ kind }) => kind), ['Deployment']) // prettier-ignore
  t.throws(() => read('a: [1'), { message: /^0\.yaml: / })
  t.throws(() => read('kind: Service'), { message: '0.yaml holds a document without kind or metadata.name' })
})

t.test("only the Service's type and the webhooks' port are changed", async (t) => {
  const [service, webhooks] = read(SERVICE, WEBHOOKS).objects
  t.same(onThisHost(service!, 20_001), {
    ...service,
    spec: { selector: { app: 'server' }, ports: [{ port: 443 }], type: 'ExternalName', externalName: 'localhost' }
  })
  const expected = structuredClone(webhooks) as unknown as { webhooks: { clientConfig: { service: object } }[] }
  for (const { clientConfig } of expected.webhooks) Object.assign(clientConfig.service, { port: 20_001 })
  t.same(onThisHost(webhooks!, 20_001), expected)
  const [deployment] = read(DEPLOYMENT).workloads
  t.equal(onThisHost(deployment!, 20_001), deployment)
})

t.test('a process gets what its container would', async (t) => {
  const workload = workloadOf(read(DEPLOYMENT).workloads[0]!)
  t.match(workload, {
    name: 'server',
    namespace: 'ns',
    serviceAccount: 'account',
    args: ['--verbose'],
    secrets: [{ secret: 'server-tls', mountPath: '/etc/tls', volume: 'tls' }]
  })
  t.same(environmentOf(workload, 'server-0', { settings: { LEVEL: 'shared', EXTRA: 'yes' } }), {
    PORT: '8443',
    LEVEL: 'own',
    EXTRA: 'yes',
    SELF: 'server-0',
    NAMESPACE: 'ns'
  })
  t.throws(() => environmentOf(workload, 'server-0', {}), { message: 'server: the bed has no such envFrom source' })
})

t.test('what the bed cannot resolve is an error, not an empty variable', async (t) => {
  const text = DEPLOYMENT.replace('fieldPath: metadata.name }', 'fieldPath: status.qosClass }')
  const workload = workloadOf(read(text).workloads[0]!)
  t.throws(() => environmentOf(workload, 'server-0', { settings: {} }), { message: /cannot resolve valueFrom of SELF/ })
})
