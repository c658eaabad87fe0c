/**
 * The exact text of every class of answer: `golden/<class>.txt`. A change of words shows as a change of these files. To
 * accept what is answered now: `ACCEPT=1 node scripts/test.ts webhook/golden.test.ts`, and read the diff.
 */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import t from 'tap'
import { VIOLATION_REASONS } from '../shared/violation.ts'
import { decode, encode } from './admissionReview.ts'
import { goldenCases } from './goldenFixture.ts'
import type { GoldenCase } from './goldenFixture.ts'
import { withPermission } from './permission.ts'
import { review } from './reviewFixture.ts'
import { validate } from './validation.ts'
import { reasonsOf } from './verdict.ts'
import type { Verdict } from './verdict.ts'

const FOLDER = new URL('golden/', import.meta.url)
const accept = process.env.ACCEPT === '1'
const permissions = { permits: (use: { groupId: string }) => Promise.resolve(!use.groupId.startsWith('sg-ffff')) }

async function judge({ parts, rulesPerGroup = 60 }: GoldenCase): Promise<Verdict> {
  const { signal } = new AbortController()
  return withPermission(validate(decode(review(parts)), { rulesPerGroup }), permissions, 'enforce', signal)
}

async function answer(one: GoldenCase): Promise<string> {
  const { response } = encode(decode(review(one.parts)), await judge(one))
  const { allowed, status, warnings = [] } = response
  const lines = [
    `## ${one.what}`,
    allowed ? 'allowed' : `${String(status?.code)} ${status?.reason ?? ''}`,
    ...warnings.map((warning) => `Warning: ${warning}`),
    ...(status === undefined ? [] : [status.message.trimEnd()]),
    ...new Set((status?.details.causes ?? []).map(({ reason, field }) => `  cause ${reason} at ${field}`))
  ]
  return `${lines.join('\n')}\n`
}

const classes = goldenCases()
await mkdir(FOLDER, { recursive: true })

for (const [name, cases] of Object.entries(classes))
  t.test(`the exact text of ${name}`, async (t) => {
    const text = (await Promise.all(cases.map(answer))).join('\n')
    const file = new URL(`${name}.txt`, FOLDER)
    if (accept) await writeFile(file, text)
    t.equal(text, await readFile(file, 'utf8').catch(() => ''))
  })

t.test('every kind of denial has its own file, and each of its cases is of that kind', async (t) => {
  for (const reason of [...VIOLATION_REASONS, 'ThroughSubresource'] as const) {
    const cases = classes[reason] ?? []
    t.not(cases.length, 0, reason)
    for (const one of cases) t.ok(reasonsOf(await judge(one)).includes(reason), `${reason}: ${one.what}`)
  }
})

t.test('no file is left of a class that is no more', async (t) => {
  t.same(
    await readdir(FOLDER).then((names) => names.sort()),
    Object.keys(classes)
      .map((name) => `${name}.txt`)
      .sort()
  )
})
