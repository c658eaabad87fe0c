/** Every class of failure of EC2, put on the row's own group alone: whatever happens to one group, the others are served. */
import type { Fault } from '../../../bed/simulator.ts'
import { BY_HAND, STARTED } from '../kubelet.ts'
import { ruleOn, ruleText } from '../pods.ts'
import { row } from '../scene.ts'
import type { Row } from '../scene.ts'

const HTTPS = 'tcp 443-443'
const AUTHORIZE = 'AuthorizeSecurityGroupIngress'
const REVOKE = 'RevokeSecurityGroupIngress'

const TRANSIENT: readonly (readonly [string, Omit<Fault, 'action' | 'groupId'>])[] = [
  ['throttle', { fault: 'throttle', times: 3 }],
  ['5xx before the effect', { fault: 'internalError', times: 2 }],
  ['5xx after the effect', { fault: 'internalError', times: 2, effect: 'after' }],
  ['hang before the effect', { fault: 'hang', times: 1 }],
  ['hang after the effect', { fault: 'hang', times: 1, effect: 'after' }],
  ['reset', { fault: 'reset', times: 3 }],
  ['lost reply', { fault: 'dropReply', times: 2 }]
]

const transient = TRANSIENT.map(([name, fault]) =>
  row(`${name}: granted, edited and revoked all the same`, async (scene, t) => {
    const { bed, group, yard } = scene
    await bed.fault({ action: AUTHORIZE, groupId: group, ...fault })
    await scene.pod('faulty', { ports: 'tcp:443,tcp:80', annotations: STARTED })
    await scene.granted([HTTPS, 'tcp 80-80'], 'faulty')
    await bed.fault({ action: REVOKE, groupId: group, ...fault })
    const old = (await yard.addresses('faulty')).map((ip) => ruleOn('tcp 80-80', ip))
    await scene.ends(old, () => yard.patch('faulty', { metadata: { annotations: scene.asks('tcp:443,tcp:81') } }))
    await scene.granted([HTTPS, 'tcp 81-81'], 'faulty')
    await bed.fault({ action: REVOKE, groupId: group, ...fault })
    await scene.ends(['faulty'], () => scene.kubelet.finish('faulty', 'Succeeded'))
    await scene.released('faulty')
    const hits = (await bed.calls()).filter((call) => call.groupId === group && call.fault === fault.fault)
    t.ok(hits.some(({ action }) => action === AUTHORIZE) && hits.some(({ action }) => action === REVOKE), 'it was met')
  })
)

export const FAILURES: readonly Row[] = [
  ...transient,

  row('unauthorized: the pod is told what to do, and granted once EC2 permits it', async (scene, t) => {
    const { bed, group, yard } = scene
    await bed.fault({ action: AUTHORIZE, groupId: group, fault: 'unauthorized' })
    await scene.pod('denied')
    t.match(await yard.event('denied', 'EC2AccessDenied'), "let the worker's IAM role make this call")
    await bed.clearFaults(group)
    await scene.granted([HTTPS], 'denied')
    await scene.ends(['denied'], () => yard.delete('denied', '--force', '--grace-period=0'))
  }),

  row('reads lag throughout: nothing wanted is revoked, and nothing ended is forgotten', async (scene) => {
    const { bed, group, yard } = scene
    await bed.fault({ action: 'DescribeSecurityGroupRules', groupId: group, fault: 'stale', staleSeconds: 0.9 })
    await scene.pod('lagging', { ports: 'tcp:1,tcp:3', annotations: STARTED })
    await scene.granted(['tcp 1-1', 'tcp 3-3'], 'lagging')
    const old = (await yard.addresses('lagging')).map((ip) => ruleOn('tcp 1-1', ip))
    await scene.ends(old, () => yard.patch('lagging', { metadata: { annotations: scene.asks('tcp:3,tcp:5') } }))
    await scene.granted(['tcp 3-3', 'tcp 5-5'], 'lagging')
    await scene.ends(['lagging'], () => yard.delete('lagging', '--force', '--grace-period=0'))
    await yard.gone('lagging')
    await scene.holds([])
    await bed.clearFaults(group)
  }),

  row('a duplicate that a lagging read hides: the other rules of the call are granted', async (scene, t) => {
    const { bed, group, yard } = scene
    const [address] = scene.addresses()
    await scene.pod('poisoned', { ports: 'tcp:1', annotations: BY_HAND })
    await scene.kubelet.run('poisoned', [address])
    await scene.holds([ruleOn('tcp 1-1', address)])
    await bed.fault({ action: 'DescribeSecurityGroupRules', groupId: group, fault: 'stale', staleSeconds: 0.9 })
    const byHand = { IpProtocol: 'tcp', FromPort: 3, ToPort: 3, IpRanges: [{ CidrIp: `${address}/32` }] }
    await yard.ec2.authorizeSecurityGroupIngress({ GroupId: group, IpPermissions: [byHand] })
    await yard.patch('poisoned', { metadata: { annotations: scene.asks('tcp:1,tcp:3,tcp:5') } })
    await scene.holds([ruleOn('tcp 1-1', address), ruleOn('tcp 5-5', address)])
    await bed.clearFaults(group)
    await yard.reason('poisoned', 'RulesInEffect')
    await scene.ends(['poisoned'], () => scene.kubelet.finish('poisoned', 'Succeeded'))
    await scene.holds([])
    await scene.released('poisoned')
    const left = (await bed.rules(group)).filter(({ fromPort }) => fromPort === 3)
    t.same(left.map(ruleText), [ruleOn('tcp 3-3', address)], "the other's rule is left")
    await yard.ec2.revokeSecurityGroupIngress({ GroupId: group, IpPermissions: [byHand] })
  }),

  row('a rule that somebody revoked before us does not keep its pod', async (scene) => {
    const { bed, group, yard } = scene
    await scene.pod('bereft', { annotations: STARTED })
    await scene.granted([HTTPS], 'bereft')
    const [taken] = (await bed.rules(group)).filter(({ fromPort }) => fromPort === 443)
    await bed.fault({ action: 'DescribeSecurityGroupRules', groupId: group, fault: 'stale', staleSeconds: 0.9 })
    await scene.ends(['bereft'], async () => {
      await yard.ec2.revokeSecurityGroupIngress({ GroupId: group, SecurityGroupRuleIds: [taken?.ruleId ?? ''] })
      await scene.kubelet.finish('bereft', 'Succeeded')
    })
    await scene.holds([])
    await scene.released('bereft')
    await bed.clearFaults(group)
  }),

  row('one of two groups fails: the other is served, and the pod is told which one is not', async (scene, t) => {
    const { bed, group, yard } = scene
    const well = await yard.group()
    await bed.fault({ action: '*', groupId: group, fault: 'internalError' })
    await scene.pod('halved', { annotations: { [`sg.amazonaws.com/${well}`]: 'tcp:80' } })
    await yard.granted(well, ['tcp 80-80'], 'halved')
    t.match(await yard.reason('halved', 'EC2Unavailable'), group)
    await bed.clearFaults(group)
    await scene.granted([HTTPS], 'halved')
    await yard.reason('halved', 'RulesInEffect')
    await scene.ends(['halved'], () => yard.delete('halved', '--force', '--grace-period=0'))
    await yard.empty(well)
  }),

  row('a full group: whoever comes later waits and is told its place, and has its turn', async (scene, t) => {
    const { group, yard } = scene
    const [four] = scene.addresses()
    const [other] = scene.addresses()
    const others = Array.from({ length: 58 }, (_, n) => ({ CidrIp: `198.51.100.${String(n)}/32` }))
    const permission = { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: others }
    await yard.ec2.authorizeSecurityGroupIngress({ GroupId: group, IpPermissions: [permission] })
    await scene.pod('early', { annotations: BY_HAND })
    await scene.kubelet.run('early', [four])
    await scene.holds([ruleOn(HTTPS, four)])
    await scene.pod('late', { annotations: BY_HAND })
    await scene.kubelet.run('late', [other])
    t.match(await yard.event('late', 'RuleQuotaExceeded'), 'number 1 of those that wait')
    await scene.holds([ruleOn(HTTPS, four)])
    await scene.ends(['early'], () => scene.kubelet.finish('early', 'Succeeded'))
    await scene.holds([ruleOn(HTTPS, other)])
    await yard.reason('late', 'RulesInEffect')
    await scene.ends(['late'], () => scene.kubelet.finish('late', 'Succeeded'))
    await scene.released('late')
    await yard.ec2.revokeSecurityGroupIngress({ GroupId: group, IpPermissions: [permission] })
  }),

  row('the group is deleted under its pods: they are told, and are not held', async (scene, t) => {
    const { yard } = scene
    const doomed = await yard.group()
    await yard.pod('orphaned', doomed, { annotations: { ...STARTED, [`sg.amazonaws.com/${doomed}`]: 'tcp:443' } })
    await yard.granted(doomed, [HTTPS], 'orphaned')
    await yard.ec2.deleteSecurityGroup({ GroupId: doomed })
    t.match(await yard.event('orphaned', 'SecurityGroupNotFound'), doomed)
    await scene.kubelet.finish('orphaned', 'Succeeded')
    await scene.released('orphaned')
  }),

  row('a group that does not exist: the pod is told, and is not held', async (scene, t) => {
    const { yard } = scene
    const unknown = 'sg-0123456789abcdef0'
    await yard.pod('unknown', unknown)
    t.match(await yard.event('unknown', 'SecurityGroupNotFound'), `'${unknown}' does not exist in this Region`)
    await yard.reason('unknown', 'SecurityGroupNotFound')
    await yard.delete('unknown')
    await yard.gone('unknown')
  }),

  row('a group whose owner has not opted in, until he does', async (scene, t) => {
    const { yard } = scene
    const closed = await yard.group(false)
    await yard.pod('closed', closed)
    t.match(await yard.event('closed', 'SecurityGroupNotOptedIn'), 'sg.amazonaws.com/cluster/bed = allowed')
    t.same(await yard.rules(closed), [])
    await yard.ec2.createTags({
      Resources: [closed],
      Tags: [{ Key: 'sg.amazonaws.com/cluster/bed', Value: 'allowed' }]
    })
    await yard.granted(closed, [HTTPS], 'closed')
    await yard.reason('closed', 'RulesInEffect')
    await yard.delete('closed')
    await yard.gone('closed')
    await yard.empty(closed)
  })
]

export const WITHDRAWALS: readonly Row[] = [
  row('the opt-in is withdrawn: the rules go, and come back with it', async (scene, t) => {
    const { group, yard } = scene
    const tag = { Resources: [group], Tags: [{ Key: 'sg.amazonaws.com/cluster/bed', Value: 'allowed' }] }
    await scene.pod('disowned')
    await scene.granted([HTTPS], 'disowned')
    const rules = await scene.ours()
    await scene.ends(rules, () => yard.ec2.deleteTags(tag))
    await scene.holds([])
    t.match(await yard.event('disowned', 'SecurityGroupNotOptedIn'), group)
    await yard.ec2.createTags(tag)
    await scene.holds(rules)
    scene.wanted(rules)
    await yard.reason('disowned', 'RulesInEffect')
    await scene.ends(rules, () => yard.delete('disowned', '--force', '--grace-period=0'))
  }),

  row('the permission is withdrawn: the rules go, and come back with it', async (scene, t) => {
    const { yard } = scene
    const path = '/apis/rbac.authorization.k8s.io/v1/namespaces/{ns}/rolebindings'
    await scene.pod('unloved')
    await scene.granted([HTTPS], 'unloved')
    const rules = await scene.ours()
    const { metadata, ...binding } = await scene.call('GET', `${path}/use-all`)
    await scene.ends(rules, () => scene.call('DELETE', `${path}/use-all`))
    await scene.holds([])
    t.match(await yard.event('unloved', 'NotPermitted'), 'may not use security group')
    await scene.call('POST', path, { ...binding, metadata: { name: metadata?.name } })
    await scene.holds(rules)
    scene.wanted(rules)
    await scene.ends(rules, () => yard.delete('unloved', '--force', '--grace-period=0'))
  }),

  row(
    'a rule that cannot be revoked holds its pod until MAX_HOLD, with a Warning, and is swept later',
    async (scene, t) => {
      const { bed, group, yard } = scene
      await scene.pod('held', { annotations: STARTED })
      await scene.granted([HTTPS], 'held')
      const rules = await scene.ours()
      await bed.fault({ action: REVOKE, groupId: group, fault: 'unauthorized' })
      await scene.ends(rules, () => yard.delete('held', '--force', '--grace-period=0'))
      t.match(await yard.event('held', 'RevokeFailed'), 'not revoked yet')
      await yard.gone('held')
      t.match(await yard.event('held', 'FinalizerHoldExceeded'), 'released after MAX_HOLD')
      t.same(await scene.ours(), rules, 'the rules outlived the object, and are not forgotten')
      await bed.clearFaults(group)
      await scene.holds([])
    }
  )
]
