import t from 'tap'
import { annotationField, quote } from './violation.ts'

t.test('what is shown can neither move a cursor nor pass for a space', async (t) => {
  const cases: [value: string, shown: string][] = [
    ['tcp:443 x', '"tcp:443 x"'],
    ['tcp:\u00a0443\u3000', '"tcp:\\u00a0443\\u3000"'],
    ['a\u2028b\u2029', '"a\\u2028b\\u2029"'],
    ['\u202etcp\u001b[31m', '"\\u202etcp\\u001b[31m"'],
    ['a\u{e0041}b', '"a\\udb40\\udc41b"'],
    ['"\\', '"\\"\\\\"'],
    ['é😀', '"é😀"'],
    ['x'.repeat(70), `"${'x'.repeat(64)}..."`]
  ]
  for (const [value, shown] of cases) t.equal(quote(value), shown, 'as shown')
  for (const [value] of cases.slice(0, -1)) t.ok(JSON.parse(quote(value)) === value, 'and it is JSON of the same')
})

t.test('a key that the API server has not validated yet cannot move a cursor, nor fill a screen', async (t) => {
  t.equal(
    annotationField('sg.amazonaws.com/\u001b[31m\u202ex'),
    'metadata.annotations[sg.amazonaws.com/\\u001b[31m\\u202ex]'
  )
  t.equal(annotationField('x'.repeat(318)), `metadata.annotations[${'x'.repeat(317)}...]`)
  const longest = `${'p'.repeat(253)}/${'n'.repeat(63)}`
  t.equal(annotationField(longest), `metadata.annotations[${longest}]`)
})
