import t from 'tap'
import type { Use } from '../shared/permission.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { withPermission } from './permission.ts'
import { ALLOWED } from './verdict.ts'

const [yes, no] = ['sg-0000000a', 'sg-0000000b'].map((groupId): Use => ({
  namespace: 'web',
  serviceAccount: 'api',
  groupId: groupId as SecurityGroupId
})) as [Use, Use]
const permissions = { permits: (use: Use) => Promise.resolve(use.groupId === yes.groupId) }
const { signal } = new AbortController()
const warning =
  "service account 'api' of namespace 'web' may not use security group 'sg-0000000b'; give it a Role: apiGroups [sg.amazonaws.com], resources [securitygroups], resourceNames [sg-0000000b], verbs [use]"

t.test('allowed when all is permitted, or nothing needs to be', async (t) => {
  for (const uses of [[], [yes]]) {
    const verdict = { ...ALLOWED, uses }
    t.equal(await withPermission(verdict, permissions, 'enforce', signal), verdict)
  }
})

t.test('a refusal denies, warns or is not asked for, by mode', async (t) => {
  const verdict = { ...ALLOWED, uses: [yes, no], warnings: ['before'] }
  const enforced = await withPermission(verdict, permissions, 'enforce', signal)
  t.match(enforced, { kind: 'forbidden', reason: 'permission', warnings: ['before'] })
  t.match(enforced, {
    message: /^service account 'api' of namespace 'web' may not use security group 'sg-0000000b'; to/
  })
  t.same(await withPermission(verdict, permissions, 'warn', signal), { ...verdict, warnings: ['before', warning] })
  const silent = { permits: () => Promise.reject(new Error('asked')) }
  t.equal(await withPermission(verdict, silent, 'off', signal), verdict)
})

t.test('a template is only warned about', async (t) => {
  const verdict = { ...ALLOWED, uses: [yes, no], unpermitted: 'warn' as const }
  t.same(await withPermission(verdict, permissions, 'enforce', signal), { ...verdict, warnings: [warning] })
})

t.test('a malformed object is not asked about, and what nobody could tell is an error', async (t) => {
  const down = { permits: () => Promise.reject(new Error('down')) }
  const invalid = { kind: 'invalid' as const, warnings: [], violations: [] }
  t.equal(await withPermission(invalid, down, 'enforce', signal), invalid)
  await t.rejects(withPermission({ ...ALLOWED, uses: [yes] }, down, 'warn', signal), { message: 'down' })
})
