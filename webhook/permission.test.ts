import t from 'tap'
import type { Use } from '../shared/permission.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { describeViolation } from '../shared/violation.ts'
import { stands, withPermission } from './permission.ts'
import { ALLOWED } from './verdict.ts'
import type { Invalid, Need } from './verdict.ts'

const [yes, no] = ['sg-0000000a', 'sg-0000000b'].map((groupId): Need => ({
  namespace: 'web',
  serviceAccount: 'api',
  groupId: groupId as SecurityGroupId,
  field: `metadata.annotations[sg.amazonaws.com/${groupId}]`
})) as [Need, Need]
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
  t.same(await withPermission(verdict, permissions, 'warn', signal), {
    ...verdict,
    refused: [no],
    warnings: ['before', warning]
  })
  const silent = { permits: () => Promise.reject(new Error('asked')) }
  t.equal(await withPermission(verdict, silent, 'off', signal), verdict)
})

t.test('a template is only warned about', async (t) => {
  const verdict = { ...ALLOWED, uses: [yes, no], unpermitted: 'warn' as const }
  t.same(await withPermission(verdict, permissions, 'enforce', signal), {
    ...verdict,
    refused: [no],
    warnings: [warning]
  })
})

t.test('what nobody could tell is an error', async (t) => {
  await t.rejects(withPermission({ ...ALLOWED, uses: [yes] }, down, 'warn', signal), { message: 'down' })
})

const down = { permits: () => Promise.reject(new Error('down')) }
const bad: Invalid['violations'][number] = {
  reason: 'BadPorts',
  key: 'k',
  field: 'metadata.annotations[k]',
  value: 'v',
  message: 'wrong'
}
const malformed = (unpermitted: 'deny' | 'warn' = 'deny'): Invalid => ({
  kind: 'invalid',
  warnings: ['before'],
  violations: [bad],
  uses: [yes, no],
  unpermitted
})

t.test('a malformed object learns at once what is not permitted either', async (t) => {
  const told = await withPermission(malformed(), permissions, 'enforce', signal)
  t.match(told, { kind: 'invalid', warnings: ['before'] })
  t.same(told.kind === 'invalid' && told.violations.map(describeViolation), [
    'metadata.annotations[k]: Invalid value: "v": wrong',
    `${no.field}: Forbidden: ${warning}`
  ])
  const warned = { ...malformed('warn'), warnings: ['before', warning] }
  t.same(await withPermission(malformed('warn'), permissions, 'enforce', signal), warned, 'a template')
  t.match(await withPermission(malformed(), permissions, 'warn', signal), {
    warnings: ['before', warning],
    violations: [bad]
  })
  const silent = malformed()
  t.equal(await withPermission(silent, down, 'off', signal), silent)
})

t.test('a malformed object is refused as such when nobody could tell, which is told too', async (t) => {
  const told = await withPermission(malformed(), down, 'enforce', signal)
  t.same(told, { ...malformed(), warnings: ['before', 'permission could not be asked for: down'] })
})

t.test('a verdict stands without asking when nothing is to be asked, or every answer is a known yes', async (t) => {
  const known = (use: Use): boolean | undefined => (use.groupId === yes.groupId ? true : undefined)
  const remembering = { ...permissions, known }
  t.equal(stands({ ...ALLOWED, uses: [yes] }, remembering, 'enforce'), true)
  t.equal(stands({ ...ALLOWED, uses: [yes, no] }, remembering, 'enforce'), false)
  t.equal(stands({ ...ALLOWED, uses: [yes] }, { ...permissions, known: () => false }, 'enforce'), false)
  t.equal(stands({ ...ALLOWED, uses: [yes] }, permissions, 'enforce'), false, 'nothing is known')
  t.equal(stands({ ...ALLOWED, uses: [no] }, permissions, 'off'), true)
  t.equal(stands(ALLOWED, permissions, 'enforce'), true)
})
