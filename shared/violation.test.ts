import t from 'tap'
import { quote } from './violation.ts'

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
