/** Bodies that take far more memory once they are read than on their way: none may end the process. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { decode, print, withoutObjects } from './admissionReview.ts'
import { pod, review } from './reviewFixture.ts'
import { validate } from './validation.ts'

t.setTimeout(300_000)
const KEY = 'sg.amazonaws.com/sg-0123abcd'

/** Judges a review of nearly 7 MiB in a process whose heap is half of what a webhook has in its container. */
async function judge(filling: string): Promise<string> {
  const code = `
    const { decode } = await import('./webhook/admissionReview.ts')
    const { MalformedReview, readJson } = await import('./webhook/json.ts')
    const { mutate } = await import('./webhook/mutation.ts')
    const { validate } = await import('./webhook/validation.ts')
    const [before, piece, after] = ${JSON.stringify(filling)}.split('|')
    const many = Array.from({ length: Math.floor((7 * 2 ** 20 - 1000) / (piece.length + 1)) }, () => piece).join(',')
    const text = \`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u","kind":{"kind":"Pod"},"resource":{"resource":"pods"},"operation":"CREATE","namespace":"web","object":{"metadata":{"annotations":{"${KEY}":"tcp:443"}},\${before}\${many}\${after}}}}\`
    try {
      const admission = decode(readJson(text))
      process.stdout.write(mutate(admission).kind + ' ' + validate(admission, { rulesPerGroup: 60 }).kind)
    } catch (error) {
      if (!(error instanceof MalformedReview)) throw error
      process.stdout.write(error.message)
    }`
  const options = ['--max-old-space-size=128', '--input-type=module', '--eval', code]
  const { stdout } = await promisify(execFile)(process.execPath, options, { cwd: `${import.meta.dirname}/..` })
  return stdout
}

t.test('millions of small things do not fill the heap', async (t) => {
  const refused = 'body must hold at most 500000 objects and lists'
  t.equal(await judge('"spec":{"readinessGates":[|{}|]}'), refused)
  t.equal(await judge('"spec":{"x":[|[]|]}'), refused)
  t.equal(await judge('"spec":{"x":1},"metadata":{"annotations":{"a":"b"},"finalizers":[|""|]}'), 'allowed allowed')
  t.equal(await judge('"spec":{"readinessGates":[|{"conditionType":"a"}|]}'), 'allowed invalid')
})

t.test('a review that waits for a permission holds its answer and no objects', async (t) => {
  const object = pod({ annotations: { [KEY]: 'tpc:443' }, metadata: { name: undefined, generateName: 'api-' } })
  const request = decode(review({ object, oldObject: pod(), name: '' }))
  const verdict = validate(request, { rulesPerGroup: 60 })
  const waiting = withoutObjects(request)
  t.equal(print(waiting, verdict), print(request, verdict))
  t.match(print(waiting, verdict), 'api-')
  t.same([waiting.object.value, waiting.oldObject.value], [undefined, undefined])
})
