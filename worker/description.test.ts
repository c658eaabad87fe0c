import fc from 'fast-check'
import t from 'tap'
import { describePod, podDescribed } from './description.ts'

t.test('names cluster, namespace and pod, and reads back', async (t) => {
  const text = describePod('demo', 'web', 'api-0')
  t.equal(text, 'demo/web/api-0')
  t.same(podDescribed('demo', text), { namespace: 'web', name: 'api-0' })
  t.equal(podDescribed('other', text), undefined)
  t.equal(podDescribed('demo', 'allow the office'), undefined)
})
t.test('a long name is cut to what EC2 takes, never to that of another pod', async () => {
  const name = fc.stringMatching(/^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/)
  fc.assert(
    fc.property(name, name, fc.stringMatching(/^[A-Za-z0-9._-]{1,64}$/), (one, other, cluster) => {
      const [a, b] = [describePod(cluster, 'n', one), describePod(cluster, 'n', other)]
      const named = podDescribed(cluster, a)
      return (
        /^[a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]{1,255}$/.test(a) &&
        (one === other) === (a === b) &&
        (named === undefined || named.name === one)
      )
    })
  )
})
