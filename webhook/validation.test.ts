import t from 'tap'
import { describeViolation } from '../shared/violation.ts'
import { decode } from './admissionReview.ts'
import { MalformedReview } from './json.ts'
import { pod, review, stamped } from './reviewFixture.ts'
import type { PodParts, ReviewParts } from './reviewFixture.ts'
import { validate } from './validation.ts'

const A = 'sg.amazonaws.com/sg-0123abcd'
const B = 'sg.amazonaws.com/sg-0123abce'
const judge = (parts: ReviewParts, rulesPerGroup = 60) => validate(decode(review(parts)), { rulesPerGroup })
/** The groups to ask about, or the violations, or the refusal. */
function outcome(parts: ReviewParts): string[] | string {
  const verdict = judge(parts)
  if (verdict.kind === 'allowed') return verdict.uses.map(({ groupId }) => groupId)
  return verdict.kind === 'invalid' ? verdict.violations.map(describeViolation) : verdict.message
}
const update = (from: PodParts, to: PodParts): ReviewParts => ({ object: stamped(to), oldObject: stamped(from) })
const BAD = `metadata.annotations[${A}]: Invalid value: "tcp:9-8": first port must be less than or equal to last port; did you mean 'tcp:8-9'?`

t.test('a new pod: everything is judged', async (t) => {
  t.same(outcome({ object: pod() }), [])
  t.same(outcome({ object: stamped({ annotations: { [A]: 'tcp:1', [B]: 'all' } }) }), ['sg-0123abcd', 'sg-0123abce'])
  t.same(outcome({ object: stamped({ annotations: { [A]: 'tcp:9-8', [B]: '' } }) }), [
    BAD,
    `metadata.annotations[${B}]: Invalid value: "": value must not be empty: write a rule such as 'tcp:443', or remove the annotation`
  ])
})

t.test('permission is asked for the service account of the pod, in the namespace of the request', async (t) => {
  const use = (spec: Record<string, unknown>) => {
    const verdict = judge({
      object: stamped({ annotations: { [A]: 'tcp:1' }, spec, metadata: { namespace: undefined } })
    })
    return verdict.kind === 'allowed' ? verdict.uses : verdict
  }
  const expected = { namespace: 'web', groupId: 'sg-0123abcd', field: `metadata.annotations[${A}]` }
  t.same(use({ serviceAccountName: 'db' }), [{ ...expected, serviceAccount: 'db' }])
  t.same(use({ serviceAccountName: '' }), [{ ...expected, serviceAccount: 'default' }])
  t.same(use({ serviceAccountName: undefined }), [{ ...expected, serviceAccount: 'default' }])
  t.equal(judge({ object: stamped({ annotations: { [A]: 'tcp:1' } }) }).kind, 'allowed')
})

t.test('a malformed object still tells which groups need permission, and where they are asked for', async (t) => {
  const needs = (parts: ReviewParts) => {
    const verdict = judge(parts)
    return verdict.kind === 'invalid' ? verdict.uses.map(({ groupId, field }) => `${groupId} ${field}`) : verdict.kind
  }
  const old = 'sg.amazonaws.com'
  t.same(needs({ object: stamped({ annotations: { [A]: 'tpc:1', [B]: 'tcp:1', [old]: 'sg-00000000:tcp:1' } }) }), [
    `sg-00000000 metadata.annotations[${old}]`,
    `sg-0123abcd metadata.annotations[${A}]`,
    `sg-0123abce metadata.annotations[${B}]`
  ])
  const change = update({ annotations: { [B]: 'tcp:1' } }, { annotations: { [A]: 'tpc:1', [B]: 'tcp:1' } })
  t.same(needs(change), [`sg-0123abcd metadata.annotations[${A}]`], 'of the changed keys')
  const template = { metadata: { annotations: { [A]: 'tpc:1' } } }
  t.same(needs({ kind: 'Job', resource: 'jobs', object: { spec: { template } } }), [
    `sg-0123abcd spec.template.metadata.annotations[${A}]`
  ])
})

t.test('hostNetwork is refused with any annotation of ours', async (t) => {
  const sentence =
    "spec.hostNetwork: Invalid value: \"true\": must not be true with annotations of 'sg.amazonaws.com/': the pod's address is its node's, so the rules would open the groups to the whole node"
  const spec = { hostNetwork: true }
  t.same(outcome({ object: stamped({ annotations: { [A]: 'tcp:1' }, spec }) }), [sentence])
  t.same(outcome({ object: pod({ spec }) }), [])
  t.same(
    outcome(update({ annotations: { [A]: 'tcp:1', [B]: 'all' }, spec }, { annotations: { [A]: 'tcp:1' }, spec })),
    []
  )
  t.same(outcome(update({ spec }, { annotations: { [A]: 'tcp:1' }, spec })), [sentence])
})

t.test('an annotated pod must be stamped', async (t) => {
  const remark = 'which kube-sg adds itself; does another webhook remove it or add the annotation later?'
  const finalizer = `metadata.finalizers: Invalid value: "a,b": pods with annotations of 'sg.amazonaws.com/' must have finalizer 'sg.amazonaws.com/revoke-rules', ${remark}`
  const label = `metadata.labels[sg.amazonaws.com/managed]: Invalid value: "no": pods with annotations of 'sg.amazonaws.com/' must have label 'sg.amazonaws.com/managed: "true"', ${remark}`
  const annotations = { [A]: 'tcp:1' }
  const naked = pod({ annotations, finalizers: ['a', 'b'], labels: { 'sg.amazonaws.com/managed': 'no' } })
  t.same(outcome({ object: naked }), [finalizer, label])
  t.same(outcome({ object: naked, oldObject: pod() }), [finalizer, label], 'and when our keys change')
  t.same(outcome({ object: naked, oldObject: stamped({ annotations }) }), [], 'taking the stamp away is not denied')
  const dying = { annotations, metadata: { deletionTimestamp: '2026-01-01T00:00:00Z' } }
  t.same(outcome({ object: pod(dying), oldObject: pod() }), ['sg-0123abcd'], 'a dying pod cannot be stamped')
  const ended = { annotations, status: { phase: 'Failed' } }
  t.same(outcome({ object: pod(ended), oldObject: pod() }), ['sg-0123abcd'])
  t.same(outcome({ object: pod(), oldObject: stamped({ annotations }) }), [], 'without annotations none is needed')
  const two = pod({ annotations: { ...annotations, [B]: 'all' } })
  t.same(outcome({ object: naked, oldObject: two }), [], 'nor to take one away, for which nobody stamps')
  t.same(outcome({ object: pod(ended) }).length, 2, 'a pod being created has not ended, whatever its manifest says')
  t.same(outcome({ object: pod(dying) }).length, 2)
})

t.test('a readiness gate needs rules to wait for', async (t) => {
  const gate = 'sg.amazonaws.com/readiness-gate'
  const sentence = (base = '') =>
    `${base}metadata.annotations[${gate}]: Invalid value: "true": readiness-gate needs the annotation of a security group beside it, such as 'sg.amazonaws.com/sg-0123abcd: tcp:443': without rules to wait for, the pod would never become ready`
  const on = { [gate]: 'true' }
  t.same(outcome({ object: stamped({ annotations: on }) }), [sentence()])
  t.same(outcome(update({}, { annotations: on })), [sentence()])
  t.same(outcome({ object: stamped({ annotations: { ...on, 'sg.amazonaws.com': 'sg-0123abcd:all' } }) }), [
    'sg-0123abcd'
  ])
  t.same(outcome({ object: stamped({ annotations: { [gate]: 'false' } }) }), [])
  t.same(outcome(update({ annotations: { ...on, [A]: 'all' } }, { annotations: on })), [], 'a removal is never refused')
  const template = { metadata: { annotations: on } }
  t.same(outcome({ kind: 'Job', resource: 'jobs', object: { spec: { template } } }), [sentence('spec.template.')])
})

t.test('a readiness gate asked for too late is warned about', async (t) => {
  const on = { [A]: 'all', 'sg.amazonaws.com/readiness-gate': 'true' }
  const warning =
    'metadata.annotations[sg.amazonaws.com/readiness-gate]: takes effect only on pods that are created with it'
  const gates = { readinessGates: [{ conditionType: 'sg.amazonaws.com/rules-in-effect' }] }
  t.same(judge(update({ annotations: { [A]: 'all' } }, { annotations: on })).warnings, [warning])
  t.same(judge(update({ annotations: { [A]: 'all' }, spec: gates }, { annotations: on, spec: gates })).warnings, [])
  t.same(judge(update({ annotations: on }, { annotations: { ...on, [B]: 'all' } })).warnings, [])
  t.same(judge({ object: stamped({ annotations: on }) }).warnings, [], 'mutation adds it')
})

t.test('an update is judged by the keys it changes', async (t) => {
  const bad = { [A]: 'tcp:9-8' }
  t.same(outcome(update({ annotations: bad }, { annotations: bad, labels: { x: 'y' } })), [], 'old and bad')
  t.same(outcome(update({ annotations: bad }, { annotations: { ...bad, [B]: 'all' } })), ['sg-0123abce'])
  t.same(outcome(update({ annotations: bad }, { annotations: {} })), [])
  t.same(outcome(update({ annotations: bad }, { annotations: { [A]: 'tcp:8-9' } })), ['sg-0123abcd'])
  t.same(outcome(update({ annotations: { [A]: 'tcp:1' } }, { annotations: bad })), [BAD])
  t.same(outcome(update({ annotations: { [A]: 'tcp:1', [B]: 'all' } }, { annotations: { [B]: 'all' } })), [])
})

t.test('whole-pod limits hold for what adds, not for what takes away', async (t) => {
  const groups = (count: number, ports = 'tcp:1') =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [`sg.amazonaws.com/sg-${String(index).padStart(8, '0')}`, ports])
    )
  const tooMany = [
    'metadata.annotations: Invalid value: "17 security groups": a pod must name at most 16 security groups, and this one names 17'
  ]
  t.same(outcome({ object: stamped({ annotations: groups(17) }) }), tooMany)
  t.same(outcome(update({ annotations: groups(16) }, { annotations: groups(17) })), tooMany)
  t.same(outcome(update({ annotations: groups(18) }, { annotations: groups(17) })), [])
  const split = {
    [A]: Array(40).fill('tcp:1').join(','),
    'sg.amazonaws.com': Array(30).fill('sg-0123abcd:udp:1').join(',')
  }
  t.equal(outcome(update({ annotations: { [A]: split[A] } }, { annotations: split })).length, 1, 'the changed key')
})

t.test('warnings are of what changed', async (t) => {
  const old = { 'sg.amazonaws.com': 'sg-0123abcd:tcp:1' }
  t.match(judge({ object: stamped({ annotations: old }) }).warnings, [/old spelling/])
  t.same(judge(update({ annotations: old }, { annotations: { ...old, [B]: 'all' } })).warnings, [])
  t.match(judge({ object: stamped({ annotations: { ...old, [B]: '' } }) }).warnings, [/old spelling/])
})

t.test('a large share of the quota is warned about, for all pods that a workload keeps', async (t) => {
  const items = (count: number): string => Array.from({ length: count }, (_, index) => `tcp:${2 * index + 1}`).join(',')
  const alone = (count: number, quota: number) =>
    judge({ object: stamped({ annotations: { [A]: items(count) } }) }, quota).warnings
  t.same(alone(15, 60), [])
  t.match(alone(16, 60), [/^sg-0123abcd: each pod takes 16 of the 60 rules/])
  const kept = (kind: string, spec: object, count = 1) =>
    judge({
      kind,
      resource: 'x',
      object: { spec: { ...spec, template: { metadata: { annotations: { [A]: items(count) } } } } }
    }).warnings
  for (const kind of ['Deployment', 'StatefulSet', 'ReplicaSet', 'ReplicationController']) {
    t.match(kept(kind, { replicas: 61 }), [/^sg-0123abcd: 61 pods of 1 rule each need 61, and a group holds 60/], kind)
    t.same(kept(kind, { replicas: 60 }), [], kind)
    t.same(kept(kind, { replicas: 0 }, 2), [], kind)
  }
  t.match(kept('Job', { parallelism: 61 }), [/^sg-0123abcd: 61 pods/])
  t.same(kept('DaemonSet', { replicas: 61 }), [], 'which has no such field')
  const scaled = (from: number, to: number) => {
    const of = (replicas: number) => ({ spec: { replicas, template: { metadata: { annotations: { [A]: 'tcp:1' } } } } })
    return judge({ kind: 'Deployment', resource: 'deployments', object: of(to), oldObject: of(from) }).warnings
  }
  t.match(scaled(1, 61), [/^sg-0123abcd: 61 pods/], 'also when only their number grows')
  t.same(scaled(61, 61), [])
  t.same(scaled(62, 61), [])
  const cron = {
    spec: {
      jobTemplate: { spec: { parallelism: 70, template: { metadata: { annotations: { [A]: 'tcp:1' } } } } }
    }
  }
  t.match(judge({ kind: 'CronJob', resource: 'cronjobs', object: cron }).warnings, [/70 pods/])
})

t.test('no other way leads to our keys', async (t) => {
  const sentence = (through: string) =>
    `metadata.annotations[${A}] must not be changed through ${through}: annotate the pod itself`
  const annotations = { [A]: 'tcp:1' }
  const status = (from: PodParts, to: PodParts) => outcome({ ...update(from, to), subResource: 'status' })
  t.equal(status({}, { annotations }), sentence('pods/status'))
  t.equal(status({ annotations }, {}), sentence('pods/status'))
  t.equal(status({ annotations }, { annotations: { [A]: 'tcp:2' } }), sentence('pods/status'))
  t.same(status({ annotations }, { annotations, status: { phase: 'Running' } }), [])
  const binding = (annotations: Record<string, string> | undefined, resource: string, subResource?: string) =>
    outcome({
      object: { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'api', annotations }, target: { name: 'n' } },
      kind: 'Binding',
      resource,
      ...(subResource === undefined ? {} : { subResource })
    })
  t.equal(binding(annotations, 'pods', 'binding'), sentence('pods/binding'))
  t.equal(binding(annotations, 'bindings'), sentence('bindings'))
  t.same(binding({ other: 'x' }, 'pods', 'binding'), [])
  const many = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`sg.amazonaws.com/${index}`, 'x']))
  t.match(binding(many, 'bindings'), /\] and 4984 more must not be changed through bindings: /)
  t.same(binding(undefined, 'pods', 'binding'), [])
})

t.test('workload templates: their own paths, no stamp, permission only warned about', async (t) => {
  const template = (value: string) => ({
    metadata: { annotations: { [A]: value } },
    spec: { serviceAccountName: 'db' }
  })
  const kinds: [kind: string, wrap: (template: unknown) => object, path: string][] = [
    ...['Deployment', 'StatefulSet', 'DaemonSet', 'ReplicaSet', 'ReplicationController', 'Job'].map(
      (kind): [string, (template: unknown) => object, string] => [
        kind,
        (template) => ({ spec: { template } }),
        'spec.template'
      ]
    ),
    ['CronJob', (template) => ({ spec: { jobTemplate: { spec: { template } } } }), 'spec.jobTemplate.spec.template'],
    ['PodTemplate', (template) => ({ template }), 'template']
  ]
  for (const [kind, wrap, path] of kinds) {
    const resource = `${kind.toLowerCase()}s`
    t.same(outcome({ kind, resource, object: wrap(template('tcp:9-8')) }), [`${path}.${BAD}`], kind)
    const good = judge({ kind, resource, object: wrap(template('tcp:1')) })
    t.match(good, { kind: 'allowed', unpermitted: 'warn', uses: [{ namespace: 'web', serviceAccount: 'db' }] }, kind)
    const unchanged = { kind, resource, object: wrap(template('tcp:9-8')), oldObject: wrap(template('tcp:9-8')) }
    t.same(outcome(unchanged), [], kind)
    t.same(
      outcome({ kind, resource, object: wrap(template('tcp:9-8')), oldObject: wrap({}) }),
      [`${path}.${BAD}`],
      kind
    )
  }
  const host = { metadata: { annotations: { [A]: 'tcp:1' } }, spec: { hostNetwork: true } }
  t.match(outcome({ kind: 'Deployment', resource: 'deployments', object: { spec: { template: host } } }), [
    /^spec\.template\.spec\.hostNetwork: /
  ])
})

t.test('a template whose pods would now be refused is judged again', async (t) => {
  const deployment = (spec: object, value = 'tcp:1') => ({
    spec: { template: { metadata: { annotations: { [A]: value } }, spec } }
  })
  const change = (from: object, to: object) =>
    outcome({ kind: 'Deployment', resource: 'deployments', oldObject: deployment(from), object: deployment(to) })
  t.match(change({}, { hostNetwork: true }), [/^spec\.template\.spec\.hostNetwork: /])
  t.same(change({ hostNetwork: true }, { hostNetwork: true }), [])
  t.same(change({ hostNetwork: true }, {}), [])
  t.same(change({ serviceAccountName: 'api' }, { serviceAccountName: 'db' }), ['sg-0123abcd'])
  t.same(change({ serviceAccountName: 'default' }, {}), [], 'the same account')
  t.same(change({ serviceAccountName: 'api' }, { serviceAccountName: 'api', containers: [] }), [])
})

t.test('annotations on the workload itself are warned about', async (t) => {
  const warnings = (own: object, onPods: object, more: object = {}) =>
    judge({
      kind: 'CronJob',
      resource: 'cronjobs',
      object: {
        metadata: { annotations: own, ...more },
        spec: { jobTemplate: { spec: { template: { metadata: { annotations: onPods } } } } }
      }
    }).warnings
  const tail =
    'no effect here: kube-sg reads what is on the pods; write it below spec.jobTemplate.spec.template.metadata.annotations'
  t.same(warnings({ [A]: 'tcp:1' }, {}), [`metadata.annotations[${A}]: has ${tail}`])
  t.same(warnings({ [B]: 'x', [A]: 'tcp:1', other: 'x' }, {}), [`metadata.annotations[${A}] and 1 more: have ${tail}`])
  t.same(warnings({ [A]: 'tcp:1' }, { [A]: 'tpc:1' }), [])
  t.same(
    warnings({ [A]: 'tcp:1' }, { [B]: 'tpc:1' }),
    [`metadata.annotations[${A}]: has ${tail}`],
    'also with a refusal'
  )
  t.same(warnings({ [A]: 'tcp:1' }, {}, { ownerReferences: [{ controller: true }] }), [])
})

t.test('what a controller made is not judged again', async (t) => {
  const made = (controller: boolean) => ({
    metadata: { ownerReferences: [{ kind: 'Deployment', controller }] },
    spec: { template: { metadata: { annotations: { [A]: 'tcp:9-8' } } } }
  })
  t.same(outcome({ kind: 'ReplicaSet', resource: 'replicasets', object: made(true) }), [])
  t.equal(outcome({ kind: 'ReplicaSet', resource: 'replicasets', object: made(false) }).length, 1)
})

t.test('what is not ours to judge is allowed', async (t) => {
  const annotations = { [A]: 'tcp:9-8' }
  const cases: [why: string, parts: ReviewParts][] = [
    ['a mirror pod', { object: pod({ annotations: { ...annotations, 'kubernetes.io/config.mirror': 'x' } }) }],
    ['DELETE', { object: null, oldObject: pod({ annotations }), operation: 'DELETE' }],
    ['another kind', { object: pod({ annotations }), kind: 'ConfigMap', resource: 'configmaps' }],
    ['a subresource that keeps metadata', { object: pod({ annotations }), oldObject: pod(), subResource: 'resize' }],
    [
      'a scale',
      { object: { spec: {} }, oldObject: { spec: {} }, kind: 'Scale', resource: 'deployments', subResource: 'scale' }
    ]
  ]
  for (const [why, parts] of cases) t.same(outcome(parts), [], why)
})

t.test('a name that no API server has let through is refused, and the longest one is not', async (t) => {
  const annotations = { [A]: 'tcp:1' }
  const run = (length: number): ReviewParts => ({
    object: stamped({ annotations, spec: { serviceAccountName: 'x'.repeat(length) } })
  })
  const named = (length: number): ReviewParts => ({ object: stamped({ annotations }), name: 'x'.repeat(length) })
  const inNamespace = (length: number) => ({ ...decode(review(run(1))), namespace: 'x'.repeat(length) })
  const says = (field: string) => new MalformedReview(`${field} must be at most 253 characters long, and has 254`)
  t.same(outcome(run(253)), ['sg-0123abcd'])
  t.throws(() => outcome(run(254)), says('serviceAccountName'))
  t.same(outcome(named(253)), ['sg-0123abcd'])
  t.throws(() => outcome(named(254)), says('request.name'))
  t.equal(validate(inNamespace(253), { rulesPerGroup: 60 }).kind, 'allowed')
  t.throws(() => validate(inNamespace(254), { rulesPerGroup: 60 }), says('request.namespace'))
})
