/** The committed policies are the generated ones, and their patterns say what the parser says. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { parseItem } from '../shared/annotationItem.ts'
import type { SecurityGroupId } from '../shared/rules.ts'
import { backstopFiles } from './backstop/files.ts'
import { ITEM, LEGACY_ITEM, NOTHING, oneOf } from './backstop/patterns.ts'

const manifests = join(import.meta.dirname, '..', 'manifests')
const read = (...path: string[]): string => readFileSync(join(manifests, ...path), 'utf8')
const admission = read('60-admission.yaml')
const files = backstopFiles(admission)

t.test('what is committed is what is generated: run node scripts/policies.ts', async (t) => {
  const committed = readdirSync(join(manifests, 'backstop'), { recursive: true, encoding: 'utf8' })
  t.same(committed.filter((name) => name.endsWith('.yaml')).sort(), [...files.keys()])
  for (const [name, text] of files) t.equal(read('backstop', name), text, name)
})

t.test('the webhooks beside the policies differ in failurePolicy alone', async (t) => {
  const objects = (text: string) =>
    parseAllDocuments(text).map((document) => document.toJS() as Record<string, unknown>)
  const policies: unknown[] = []
  const patient = objects(admission).map((object) => ({
    ...object,
    webhooks: (object.webhooks as { failurePolicy: string }[]).map((webhook) => {
      policies.push(webhook.failurePolicy)
      return { ...webhook, failurePolicy: 'Ignore' }
    })
  }))
  t.same(objects(files.get('webhooks/60-admission.yaml') ?? ''), patient)
  t.ok(policies.includes('Fail'), 'there was something to change')
})

t.test('a pattern for words takes these words and no others', async (t) => {
  const words = fc.uniqueArray(fc.stringMatching(/^[0-9]{1,4}$/), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(words, (words) => {
      const pattern = new RegExp(`^${oneOf(words)}$`)
      return Array.from({ length: 1200 }, (_, number) => String(number)).every(
        (word) => pattern.test(word) === words.includes(word)
      )
    }),
    { numRuns: 100 }
  )
  t.pass('held')
})

t.test('every protocol that can be written, with and without ports', async (t) => {
  const group = 'sg-0123abcd' as SecurityGroupId
  const names = ['tcp', 'UDP', 'Icmp', 'icmpV6', 'aLL', 'sctp', '', 'tcpudp', '-1', '00', '06']
  const numbers = Array.from({ length: 1100 }, (_, number) => String(number))
  for (const name of [...names, ...numbers])
    for (const ports of ['', ':', ':1', ':*', ':65535', ':1-2', ':01', ':1-', ':-1', ':1-2-3', ':**', ':1,2']) {
      const legal = parseItem(name + ports, group).item !== undefined
      if (new RegExp(ITEM).test(name + ports) !== legal) t.fail(`${name}${ports} is ${legal ? 'legal' : 'not legal'}`)
      if (new RegExp(LEGACY_ITEM).test(`${group}:${name}${ports}`) !== legal) t.fail(`${group}:${name}${ports}`)
    }
  t.pass('agreed')
})

t.test('every character that JavaScript takes for a blank', async (t) => {
  const nothing = new RegExp(NOTHING.replaceAll(/\\x\{([0-9a-f]+)\}/g, '\\u{$1}'), 'u')
  for (let code = 0; code < 0x10000; code++) {
    const text = String.fromCharCode(code)
    if (nothing.test(text) !== /^\s*$/.test(text)) t.fail(`U+${code.toString(16)}`)
  }
  t.ok(nothing.test(''))
})
