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
  const metadata = { namespace: 'web', name: 'default-use-sg-0123abcd' }
  t.same(documents, [
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata,
      rules: [
        {
          apiGroups: ['sg.amazonaws.com'],
          resources: ['securitygroups'],
          resourceNames: ['sg-0123abcd', 'sg-0e3fa1b2'],
          verbs: ['use']
        }
      ]
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
      subjects: [{ kind: 'ServiceAccount', namespace: 'web', name: 'default' }]
    }
  ])
})

t.test('one group is said in the singular', async (t) => {
  t.match(
    describeRefusal([{ namespace: 'web', serviceAccount: 'api', groupId: 'sg-0123abcd' as SecurityGroupId }]),
    /^service account 'api' of namespace 'web' may not use security group 'sg-0123abcd'; to permit it, apply:\n/
  )
})
