import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { describeRefusal } from './permission.ts'
import type { SecurityGroupId } from './rules.ts'

t.test('the refusal names all groups and prints what would permit them', async (t) => {
  const use = { namespace: 'web', serviceAccount: 'default' }
  const text = describeRefusal([
    { ...use, groupId: 'sg-0e3fa1b2' as SecurityGroupId },
    { ...use, groupId: 'sg-0123abcd' as SecurityGroupId }
  ])
  const [sentence, ...yaml] = text.split('\n')
  t.equal(
    sentence,
    "service account 'default' of namespace 'web' may not use security groups 'sg-0123abcd', 'sg-0e3fa1b2'; to permit it, apply:"
  )
  const documents = parseAllDocuments(yaml.join('\n')).map((document) => document.toJS() as unknown)
  t.same(documents, [...permitting('web', 'default', 'sg-0123abcd'), ...permitting('web', 'default', 'sg-0e3fa1b2')])
})

/** What lets the account use the group; applying it for another account or group leaves it alone. */
function permitting(namespace: string, account: string, groupId: string): unknown[] {
  const metadata = { namespace, name: `${account}-use-${groupId}` }
  const rule = {
    apiGroups: ['sg.amazonaws.com'],
    resources: ['securitygroups'],
    resourceNames: [groupId],
    verbs: ['use']
  }
  return [
    { apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'Role', metadata, rules: [rule] },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', namespace, name: account }]
    }
  ]
}

t.test('names that YAML would take for something else stay names', async (t) => {
  const names = ['2024', 'on', 'null', '1e3', '0x1f', 'y', 'true', '2024-01-01', '1.5', '0o7', 'off', 'web', 'a.b-c']
  for (const [namespace, serviceAccount] of names.flatMap((name) => [[name, 'api'] as const, ['web', name] as const])) {
    const [, ...yaml] = describeRefusal([
      { namespace, serviceAccount, groupId: 'sg-0123abcd' as SecurityGroupId }
    ]).split('\n')
    for (const version of ['1.1', '1.2'] as const)
      t.same(
        parseAllDocuments(yaml.join('\n'), { version }).map((document) => document.toJS() as unknown),
        permitting(namespace, serviceAccount, 'sg-0123abcd'),
        `${namespace} ${serviceAccount} ${version}`
      )
  }
})

t.test('one group is said in the singular', async (t) => {
  t.match(
    describeRefusal([{ namespace: 'web', serviceAccount: 'api', groupId: 'sg-0123abcd' as SecurityGroupId }]),
    /^service account 'api' of namespace 'web' may not use security group 'sg-0123abcd'; to permit it, apply:\n/
  )
})
