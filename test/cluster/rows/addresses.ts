/** Addresses that come late, go blank, change, or are of one family; and addresses that two pods share. */
import { FINALIZER, ruleOn } from '../pods.ts'
import { BY_HAND, STARTED } from '../kubelet.ts'
import { row } from '../scene.ts'
import type { Row } from '../scene.ts'

const HTTPS = 'tcp 443-443'
const HTTP = 'tcp 80-80'

export const ADDRESSES: readonly Row[] = [
  row('the address changes: the rule of the new one comes, and that of the old one goes', async (scene) => {
    const [first] = scene.addresses()
    const [second] = scene.addresses()
    await scene.pod('moving', { annotations: BY_HAND })
    await scene.kubelet.run('moving', [first])
    await scene.holds([ruleOn(HTTPS, first)])
    await scene.ends([ruleOn(HTTPS, first)], () => scene.kubelet.address('moving', [second]))
    await scene.holds([ruleOn(HTTPS, second)])
    await scene.ends(['moving'], () => scene.kubelet.finish('moving', 'Succeeded'))
    await scene.released('moving')
  }),

  row('the address is blank for a while: the rules stay, and go when the pod ends in that state', async (scene) => {
    const { kubelet, yard } = scene
    await scene.pod('blank', { annotations: STARTED })
    const addresses = await yard.addresses('blank')
    const rules = addresses.map((address) => ruleOn(HTTPS, address))
    await scene.holds(rules)
    await kubelet.address('blank', [])
    await scene.caughtUp()
    await scene.holds(rules)
    await kubelet.address('blank', addresses)
    await scene.caughtUp()
    await scene.holds(rules)
    await kubelet.address('blank', [])
    await scene.ends(['blank'], () => yard.delete('blank', '--force', '--grace-period=0'))
    await yard.gone('blank')
  }),

  row('IPv6 only', async (scene) => {
    const [, six] = scene.addresses()
    await scene.pod('six', { ports: 'tcp:443,icmpv6,icmp', annotations: BY_HAND })
    await scene.kubelet.run('six', [six])
    await scene.holds([ruleOn(HTTPS, six), ruleOn('icmpv6 -1--1', six)])
    await scene.yard.reason('six', 'RulesInEffect')
    await scene.ends(['six'], () => scene.kubelet.finish('six', 'Succeeded'))
    await scene.released('six')
  }),

  row(
    'dual stack partly there: one family is served before the other, and kept when it is not reported',
    async (scene) => {
      const [four, six] = scene.addresses()
      await scene.pod('dual', { annotations: BY_HAND })
      await scene.kubelet.run('dual', [four])
      await scene.holds([ruleOn(HTTPS, four)])
      await scene.kubelet.address('dual', [four, six])
      await scene.holds([ruleOn(HTTPS, four), ruleOn(HTTPS, six)])
      await scene.kubelet.address('dual', [six])
      await scene.caughtUp()
      await scene.holds([ruleOn(HTTPS, four), ruleOn(HTTPS, six)])
      await scene.ends(['dual'], () => scene.kubelet.finish('dual', 'Succeeded'))
      await scene.released('dual')
    }
  ),

  row('an address outside of the pod network, or of a node, gets no rule, and the pod is told', async (scene, t) => {
    const { kubelet, yard } = scene
    await scene.pod('outside', { annotations: BY_HAND })
    await kubelet.run('outside', ['10.99.0.1'])
    t.match(await yard.event('outside', 'AddressRefused'), "'10.99.0.1'")
    await kubelet.address('outside', ['10.63.0.10'])
    await yard.until('the node to be named', async () => {
      const said = (await yard.get('outside'))?.status?.conditions ?? []
      return said.some(({ message, reason }) => reason === 'AddressRefused' && message?.includes('10.63.0.10') === true)
    })
    await scene.caughtUp()
    await kubelet.finish('outside', 'Succeeded')
    await scene.released('outside')
  })
]

export const HANDOVERS: readonly Row[] = [
  row(
    'an address goes on to a pod that asks for the same rule: it stays, and the first pod is released',
    async (scene, t) => {
      const { bed, group, kubelet, yard } = scene
      const [address] = scene.addresses()
      const rule = ruleOn(HTTPS, address)
      await scene.pod('first', { annotations: BY_HAND })
      await kubelet.run('first', [address])
      await scene.holds([rule])
      // EC2 keeps the rule alive until the next holder is there.
      await bed.fault({ action: 'RevokeSecurityGroupIngress', groupId: group, fault: 'throttle' })
      await scene.pod('second', { annotations: BY_HAND })
      await scene.ends([rule], () => kubelet.finish('first', 'Succeeded'))
      await kubelet.run('second', [address])
      await yard.reason('second', 'RulesInEffect')
      await scene.released('first')
      scene.wanted([rule])
      await bed.clearFaults(group)
      await scene.caughtUp()
      await scene.holds([rule])
      t.equal((await yard.get('first'))?.status?.podIP, address, 'the first object lingers with the address')
      await scene.ends([rule], () => kubelet.finish('second', 'Succeeded'))
      await scene.released('second')
    }
  ),

  row('an address goes on to a pod that asks for another rule: only the old one goes', async (scene, t) => {
    const { bed, group, kubelet, yard } = scene
    const [address] = scene.addresses()
    await scene.pod('first', { annotations: BY_HAND })
    await kubelet.run('first', [address])
    await scene.holds([ruleOn(HTTPS, address)])
    await bed.fault({ action: 'RevokeSecurityGroupIngress', groupId: group, fault: 'throttle' })
    await scene.pod('second', { ports: 'tcp:80', annotations: BY_HAND })
    await scene.ends([ruleOn(HTTPS, address)], () => kubelet.finish('first', 'Succeeded'))
    await kubelet.run('second', [address])
    await scene.holds([ruleOn(HTTPS, address), ruleOn(HTTP, address)])
    t.ok((await yard.get('first'))?.metadata?.finalizers?.includes(FINALIZER), 'held, for its rule is there')
    await bed.clearFaults(group)
    await scene.holds([ruleOn(HTTP, address)])
    await scene.released('first')
    await scene.ends([ruleOn(HTTP, address)], () => kubelet.finish('second', 'Succeeded'))
    await scene.released('second')
  }),

  row('an address goes on to a pod that asks for nothing: the rule goes though somebody lives there', async (scene) => {
    const { bed, group, kubelet, yard } = scene
    const [address] = scene.addresses()
    await scene.pod('first', { annotations: BY_HAND })
    await kubelet.run('first', [address])
    await scene.holds([ruleOn(HTTPS, address)])
    await bed.fault({ action: 'RevokeSecurityGroupIngress', groupId: group, fault: 'throttle' })
    await yard.pod('stranger', group, { annotations: BY_HAND })
    await scene.ends([ruleOn(HTTPS, address)], () => kubelet.finish('first', 'Succeeded'))
    await kubelet.run('stranger', [address])
    await bed.clearFaults(group)
    await scene.holds([])
    await scene.released('first')
    await yard.delete('stranger')
    await kubelet.remove('stranger')
  }),

  row(
    'two living pods with one address: the later-started holds it, both are told, and the other has it afterwards',
    async (scene, t) => {
      const { kubelet, yard } = scene
      const [address] = scene.addresses()
      await scene.pod('early', { annotations: BY_HAND })
      await kubelet.run('early', [address])
      await scene.holds([ruleOn(HTTPS, address)])
      await kubelet.status('early', { startTime: '2020-01-01T00:00:00Z' })
      await scene.pod('late', { ports: 'tcp:80', annotations: BY_HAND })
      await scene.ends([ruleOn(HTTPS, address)], () => kubelet.run('late', [address]))
      await scene.holds([ruleOn(HTTP, address)])
      t.match(await yard.event('early', 'AddressConflict'), address)
      t.match(await yard.event('late', 'AddressConflict'), address)
      await scene.ends([ruleOn(HTTP, address)], () => kubelet.finish('late', 'Succeeded'))
      await scene.holds([ruleOn(HTTPS, address)])
      scene.wanted([ruleOn(HTTPS, address)])
      await scene.ends([ruleOn(HTTPS, address)], () => kubelet.finish('early', 'Succeeded'))
      await scene.released('early')
    }
  )
]
