import { equal } from 'node:assert/strict'
import { XMLParser } from 'fast-xml-parser'
import fc from 'fast-check'
import t from 'tap'
import { renderError, renderResponse } from './xml.ts'

const parser = new XMLParser({ parseTagValue: false, trimValues: false })

t.test('any text that XML can carry comes back', async () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 }).filter((value) => !/[\p{Cc}\ufffe\uffff]/u.test(value))
  fc.assert(
    fc.property(text, (value) => {
      const parsed = parser.parse(renderResponse('X', 'id', { value })) as { XResponse: { value: string } }
      equal(parsed.XResponse.value, value)
    })
  )
})

t.test('lists are items, what is undefined is left out, empty lists are empty elements', async (t) => {
  t.equal(
    renderResponse('X', 'id', { a: [{ b: 1 }, { b: undefined, c: false }], d: undefined, e: [] }),
    '<?xml version="1.0" encoding="UTF-8"?>\n<XResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">' +
      '<requestId>id</requestId><a><item><b>1</b></item><item><c>false</c></item></a><e></e></XResponse>'
  )
})

t.test('an error carries what the caller wrote, escaped', async (t) => {
  t.equal(
    renderError('id', 'Code', `<&>"`),
    '<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error><Code>Code</Code>' +
      '<Message>&lt;&amp;&gt;&quot;</Message></Error></Errors><RequestID>id</RequestID></Response>'
  )
})
