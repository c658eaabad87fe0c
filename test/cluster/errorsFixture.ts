/** The mistakes that docs/errors.md shows: what is applied, and what to say about the answer. */

export interface ErrorCase {
  readonly title: string
  /** What the reader should know; one paragraph of Markdown. */
  readonly text: string
  /** Applied as `file`, with kubectl apply unless there is a `command`. */
  readonly manifest?: string
  readonly file: string
  /** Arguments of kubectl, namespace included. */
  readonly command?: readonly string[]
  /** Whether kubectl succeeds all the same. */
  readonly passes?: true
}

const podOf = (annotations: string, spec = ''): string => `apiVersion: v1
kind: Pod
metadata:
  name: api
  namespace: web
  annotations:
${annotations.replace(/^/gm, '    ')}
spec:
${spec}  containers: [{name: api, image: example.com/api}]
`

const deploymentOf = (annotations: string, spec = ''): string => `apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: web}
spec:
${spec}  selector: {matchLabels: {app: api}}
  template:
    metadata:
      labels: {app: api}
      annotations:
${annotations.replace(/^/gm, '        ')}
    spec:
      containers: [{name: api, image: example.com/api}]
`

export const INTRODUCTION = `# Answers of the webhook

What \`kubectl\` prints for each kind of mistake, and for what is legal but probably not meant. This page is written by
\`test/cluster/admissionMessages.test.ts\`, which applies each manifest to a real API server and compares: to accept what is
answered now, run \`ACCEPT=1 node scripts/test.ts test/cluster/admissionMessages.test.ts\` and read the diff. The exact text of
every other kind of mistake is in [webhook/golden](../webhook/golden), named as metrics and audit logs name them; what happens to
which request is in [admission.md](admission.md).

In these examples the namespace \`web\` exists, and its service account \`default\` may use \`sg-1a2b3c4d\` and no other group.

A denial is HTTP 422 when the annotation is malformed: it names every mistake at once, each with the path of its field, the part
that is wrong, what is legal, and what was probably meant. It is HTTP 403 when the annotation is well-formed but not permitted:
then the Role that would permit it is printed, ready to apply.
`

export const ERROR_CASES: readonly ErrorCase[] = [
  {
    title: 'A protocol that is none',
    text: 'A suggestion is always legal, and never opens more than what was written.',
    file: 'pod.yaml',
    manifest: podOf(`sg.amazonaws.com/sg-1a2b3c4d: 'tpc:443, tcp/8080, 443, sctp:9'`)
  },
  {
    title: 'Ports that are none',
    text: 'Ports go from 1 to 65535. All of them are written `*`, so that nobody opens them by a slip.',
    file: 'pod.yaml',
    manifest: podOf(`sg.amazonaws.com/sg-1a2b3c4d: 'tcp:80-, tcp:5050-5000, udp, icmp:8, all:443'`)
  },
  {
    title: 'A key that is none',
    text: 'Every key under `sg.amazonaws.com/` is either a security group or a setting. Others are refused, as they would have no effect.',
    file: 'pod.yaml',
    manifest: podOf(`sg.amazonaws.com/sg-1A2B3C4D: tcp:443
sg.amazonaws.com/sg-1a2b: tcp:443
sg.amazonaws.com/readyness-gate: "true"
sg.amazonaws.com/egress: tcp:443`)
  },
  {
    title: 'A group that the service account may not use',
    text: 'Everything from `apiVersion` on is ready for `kubectl apply`, by somebody who may give Roles in this namespace. It takes effect within a second.',
    file: 'pod.yaml',
    manifest: podOf('sg.amazonaws.com/sg-5e6f7a8b: tcp:443')
  },
  {
    title: 'Malformed, and not permitted either',
    text: 'A denial for mistakes names the missing permission too, so that you can ask for it at once. When the mistakes are gone, the answer prints the Role.',
    file: 'pod.yaml',
    manifest: podOf(`sg.amazonaws.com/sg-1a2b3c4d: tcp:443,
sg.amazonaws.com/sg-5e6f7a8b: tcp:5432`)
  },
  {
    title: 'A mistake in a workload',
    text: 'The path leads to the field of what was applied. All kinds that hold a pod template are checked: Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob and PodTemplate.',
    file: 'deployment.yaml',
    manifest: deploymentOf(`sg.amazonaws.com/sg-1a2b3c4d: 'tcp:443 udp:53'`)
  },
  {
    title: 'A workload whose pods will not be permitted',
    text: 'Only a warning, as the Role may come with the next file. Without it the pods are refused, which the Events of the ReplicaSet tell, with the Role to apply.',
    file: 'deployment.yaml',
    manifest: deploymentOf('sg.amazonaws.com/sg-5e6f7a8b: tcp:443'),
    passes: true
  },
  {
    title: 'A pod on the network of its node',
    text: 'Its address is the address of the node and of every other such pod on it.',
    file: 'pod.yaml',
    manifest: podOf('sg.amazonaws.com/sg-1a2b3c4d: tcp:443', '  hostNetwork: true\n')
  },
  {
    title: 'A readiness gate without rules',
    text: '',
    file: 'pod.yaml',
    manifest: podOf('sg.amazonaws.com/readiness-gate: "true"')
  },
  {
    title: 'An annotation through a subresource',
    text: 'The API server takes annotations through `pods/status` and `pods/binding` too. Nobody needs these ways to ours, so they are closed, whatever is written.',
    file: 'pod.yaml',
    command: [
      'patch',
      'pod',
      'running',
      '-n',
      'web',
      '--subresource=status',
      '--type=merge',
      '-p',
      '{"metadata":{"annotations":{"sg.amazonaws.com/sg-1a2b3c4d":"tcp:443"}}}'
    ]
  },
  {
    title: 'Legal, and probably not meant',
    text: 'Ranges that overlap are merged. A number alone is the number of a protocol. The spelling of the 2018 kube-sg is read, and will be read.',
    file: 'pod.yaml',
    manifest: podOf(`sg.amazonaws.com/sg-1a2b3c4d: tcp:80-90,tcp:85-99,22
sg.amazonaws.com: sg-1a2b3c4d:udp:53`),
    passes: true
  },
  {
    title: 'More than the group can hold',
    text: 'A group holds `RULES_PER_GROUP` rules of each address family, 60 unless the setting says otherwise; a pod needs one for each item and address. A single pod is warned about when it takes more than a quarter.',
    file: 'deployment.yaml',
    manifest: deploymentOf('sg.amazonaws.com/sg-1a2b3c4d: tcp:443,udp:443', '  replicas: 40\n'),
    passes: true
  },
  {
    title: 'An annotation in the wrong place',
    text: 'kube-sg reads what is on pods. The annotations of a workload itself do not reach its pods.',
    file: 'deployment.yaml',
    manifest: deploymentOf('example.com/x: "y"').replace(
      'metadata: {name: api, namespace: web}',
      `metadata:
  name: api
  namespace: web
  annotations:
    sg.amazonaws.com/sg-1a2b3c4d: tcp:443`
    ),
    passes: true
  }
]
