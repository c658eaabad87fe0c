import t from 'tap'
import type { Protocol, Rule } from '../shared/rules.ts'
import { isProvenOrphan } from './orphans.ts'
import { asking, GROUP, podOf } from './podFixture.ts'

const rule: Rule = { protocol: 'tcp' as Protocol, fromPort: 443, toPort: 443, cidr: '10.64.0.7/32' }
const wanting = podOf('a')
const cases = [
  { name: 'nobody there, nobody described', at: [], described: undefined, proven: true },
  { name: 'a living pod there asks for it, watched or not', at: [wanting], described: undefined, proven: false },
  {
    name: 'a stranger there asks for nothing: he must not inherit it',
    at: [podOf('b', { declaration: asking('tcp:80') })],
    described: undefined,
    proven: true
  },
  { name: 'the pod there has ended', at: [podOf('a', { phase: 'Succeeded' })], described: undefined, proven: true },
  {
    name: 'the described pod lives elsewhere',
    at: [],
    described: podOf('a', { addresses: ['10.64.0.8'] }),
    proven: true
  },
  {
    name: 'the described pod lives and hides its address',
    at: [],
    described: podOf('a', { addresses: [] }),
    proven: false
  },
  {
    name: 'a namesake of the described pod has no address yet',
    at: [],
    described: podOf('b', { addresses: [], phase: 'Pending' }),
    proven: true
  },
  {
    name: 'the described pod shows only its other family',
    at: [],
    described: podOf('a', { addresses: ['fd00::7'] }),
    proven: false
  },
  {
    name: 'the described pod wants it no longer',
    at: [],
    described: podOf('a', { addresses: [], declaration: asking('tcp:80') }),
    proven: true
  },
  {
    name: 'the described pod has ended',
    at: [],
    described: podOf('a', { phase: 'Failed', addresses: [] }),
    proven: true
  }
]
for (const { name, at, described, proven } of cases) {
  t.test(`${proven ? 'proven' : 'not proven'}: ${name}`, async (t) =>
    t.equal(isProvenOrphan(GROUP, rule, described === undefined ? at : [...at, described], 0), proven)
  )
}
t.test('a rule for more than one address is none that we make, so it is left alone', async (t) => {
  t.equal(isProvenOrphan(GROUP, { ...rule, cidr: '10.64.0.0/24' }, [], 0), false)
})
