/** The lives of pods on a real control plane: when rules come, and when they go. All play at once, on one bed. */
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import { FINALIZER, LABEL, openYard, QUICK, STEADY } from './pods.ts'
import { ADDRESSES, HANDOVERS } from './rows/addresses.ts'
import { ENDS } from './rows/ends.ts'
import { NODES } from './rows/nodes.ts'
import { playRows } from './scene.ts'

// A busy machine takes its time; a test that waits in vain says for what.
t.setTimeout(900_000)
const bed = await startBed({ webhooks: 1, workers: 1, settings: { worker: { ...QUICK, ...STEADY } } })
t.teardown(() => bed.stop())
const yard = await openYard(bed)
const HTTPS = 'tcp 443-443'
t.jobs = 12

// The longest first.
void playRows(t, bed, [...NODES, ...ENDS, ...ADDRESSES, ...HANDOVERS])

t.test('a pod gets its rules with its addresses, marked as ours, and says so', { buffered: true }, async (t) => {
  const group = await yard.group()
  await yard.pod('granted', group, { ports: 'tcp:443,tcp:5000-5050,icmp' })
  const message = await yard.reason('granted', 'RulesInEffect')
  t.match(message, group)
  const addresses = await yard.addresses('granted')
  const [v4, v6] = [
    addresses.find((address) => !address.includes(':')) ?? '',
    addresses.find((address) => address.includes(':')) ?? ''
  ]
  t.same(
    await yard.rules(group),
    [
      `icmp -1--1 ${v4}/32`,
      `tcp 443-443 ${v4}/32`,
      `tcp 443-443 ${v6}/128`,
      `tcp 5000-5050 ${v4}/32`,
      `tcp 5000-5050 ${v6}/128`
    ].sort()
  )
  const uid = (await bed.api.call('GET', '/api/v1/namespaces/kube-system')).metadata?.uid ?? ''
  for (const rule of await bed.rules(group)) {
    t.equal(rule.description, 'bed/default/granted')
    t.equal(rule.tags['sg.amazonaws.com/owner'], `bed/${uid}`)
  }
  t.match(await yard.event('granted', 'RulesInEffect'), group)
  const calls = (await bed.calls()).filter(
    ({ action, groupId }) => action === 'AuthorizeSecurityGroupIngress' && groupId === group
  )
  t.equal(calls.length, 1, 'all in one call')
  await yard.delete('granted')
  await yard.empty(group)
  await yard.gone('granted')
})

t.test('an edit authorizes what is new before it revokes what is old', { buffered: true }, async (t) => {
  const [group, other] = [await yard.group(), await yard.group()]
  await yard.pod('edited', group)
  await yard.granted(group, [HTTPS], 'edited')
  await yard.patch('edited', {
    metadata: { annotations: { [`sg.amazonaws.com/${group}`]: 'tcp:80', [`sg.amazonaws.com/${other}`]: 'tcp:443' } }
  })
  await yard.granted(group, ['tcp 80-80'], 'edited')
  await yard.granted(other, [HTTPS], 'edited')
  const writes = (await bed.calls()).filter(({ action, groupId }) => groupId === group && action.endsWith('Ingress'))
  t.same(
    writes.map(({ action }) => action.replace('SecurityGroupIngress', '')),
    ['Authorize', 'Authorize', 'Revoke']
  )
  await yard.patch('edited', {
    metadata: { annotations: { [`sg.amazonaws.com/${group}`]: null, [`sg.amazonaws.com/${other}`]: null } }
  })
  await yard.empty(group)
  await yard.empty(other)
  await yard.until('the marks are off the living pod', async () => {
    const pod = await yard.get('edited')
    return pod?.metadata?.finalizers === undefined && pod?.metadata?.labels?.[LABEL] === undefined
  })
  await yard.pod('edited', group)
  await yard.granted(group, [HTTPS], 'edited')
  t.ok((await yard.get('edited'))?.metadata?.finalizers?.includes(FINALIZER), 'and on again when it asks again')
  await yard.delete('edited')
  await yard.gone('edited')
})

t.test('marks taken away from a living pod come back', { buffered: true }, async (t) => {
  const group = await yard.group()
  await yard.pod('stripped', group)
  await yard.granted(group, [HTTPS], 'stripped')
  await yard.patch('stripped', { metadata: { labels: { [LABEL]: null } } })
  await yard.until('the label is back', async () => (await yard.get('stripped'))?.metadata?.labels?.[LABEL] === 'true')
  await yard.patch('stripped', { metadata: { finalizers: null } }, 'status')
  await yard.until(
    'the finalizer is back',
    async () => (await yard.get('stripped'))?.metadata?.finalizers?.includes(FINALIZER) ?? false
  )
  await yard.granted(group, [HTTPS], 'stripped')
  t.equal(
    (await bed.calls()).filter(({ action, groupId }) => groupId === group && action.startsWith('Revoke')).length,
    0
  )
  await yard.delete('stripped')
  await yard.empty(group)
})

t.test('a rule of others is used, never revoked, and replaced by ours when it goes', { buffered: true }, async (t) => {
  const group = await yard.group()
  await yard.pod('sharing', group, {
    annotations: { [`sg.amazonaws.com/${group}`]: 'tcp:443', 'pod-ready.stage.kwok.x-k8s.io/delay': '1s' }
  })
  const addresses = await yard.addresses('sharing')
  await yard.granted(group, [HTTPS], 'sharing')
  const ours = await bed.rules(group)
  await yard.ec2.revokeSecurityGroupIngress({ GroupId: group, SecurityGroupRuleIds: ours.map(({ ruleId }) => ruleId) })
  const byHand = addresses.map((address) =>
    address.includes(':')
      ? {
          IpProtocol: 'tcp',
          FromPort: 443,
          ToPort: 443,
          Ipv6Ranges: [{ CidrIpv6: `${address}/128`, Description: 'by hand' }]
        }
      : {
          IpProtocol: 'tcp',
          FromPort: 443,
          ToPort: 443,
          IpRanges: [{ CidrIp: `${address}/32`, Description: 'by hand' }]
        }
  )
  await yard.ec2.authorizeSecurityGroupIngress({ GroupId: group, IpPermissions: byHand }).catch((error: unknown) => {
    // The worker was faster and has made it good already: then ours are there, which is what the first half is about.
    if ((error as Error).name !== 'InvalidPermission.Duplicate') throw error
  })
  const theirs = (await bed.rules(group))
    .filter(({ description }) => description === 'by hand')
    .map(({ ruleId }) => ruleId)
  await yard.granted(group, [HTTPS], 'sharing')
  if (theirs.length > 0) await yard.ec2.revokeSecurityGroupIngress({ GroupId: group, SecurityGroupRuleIds: theirs })
  await yard.until('our rules are there', async () => {
    const rules = await bed.rules(group)
    return rules.length === addresses.length && rules.every(({ tags }) => tags['sg.amazonaws.com/owner'] !== undefined)
  })
  const office = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: '192.0.2.0/24' }] }
  await yard.ec2.authorizeSecurityGroupIngress({ GroupId: group, IpPermissions: [office] })
  await yard.delete('sharing')
  await yard.gone('sharing')
  t.same(await yard.rules(group), ['tcp 22-22 192.0.2.0/24'])
})
