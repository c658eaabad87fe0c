import fc from 'fast-check'
import t from 'tap'
import { ourKeys } from '../shared/annotation.ts'
import { decode } from './admissionReview.ts'
import { LONGEST_DECLARATION, MOST_VERDICTS, rememberVerdicts } from './remembered.ts'
import type { Recall } from './remembered.ts'
import { pod, review, stamped } from './reviewFixture.ts'
import { validate } from './validation.ts'
import { ALLOWED } from './verdict.ts'
import type { Verdict } from './verdict.ts'

const KEY = 'sg.amazonaws.com/sg-0123abcd'

interface Asked {
  readonly annotations: Readonly<Record<string, string>>
  readonly namespace?: string
  readonly serviceAccountName?: string
}

/** The verdict on a new pod as mutation leaves it. */
function judge({ annotations, namespace = 'web', serviceAccountName = 'api' }: Asked, recall?: Recall): Verdict {
  const object = stamped({ annotations, spec: { serviceAccountName } })
  const options = recall === undefined ? { rulesPerGroup: 60 } : { rulesPerGroup: 60, recall }
  return validate({ ...decode(review({ object })), namespace }, options)
}
const asking = (value: string): Asked => ({ annotations: { [KEY]: value } })

t.test('what was declared before is not judged again', async (t) => {
  const recall = rememberVerdicts()
  const first = judge({ annotations: { [KEY]: 'tcp:443', 'example.com/of-this-pod': 'one' } }, recall)
  t.same(first, judge(asking('tcp:443')))
  t.equal(judge({ annotations: { [KEY]: 'tcp:443', 'example.com/of-this-pod': 'two' } }, recall), first)
  t.not(judge(asking('tcp:444'), recall), first)
})

t.test('another namespace or service account has a verdict of its own', async (t) => {
  const recall = rememberVerdicts()
  const uses = ['web', 'other'].flatMap((namespace) =>
    ['api', 'batch'].map((serviceAccountName) => {
      const verdict = judge({ ...asking('tcp:443'), namespace, serviceAccountName }, recall)
      return verdict.kind === 'allowed' ? verdict.uses.map((use) => `${use.namespace}/${use.serviceAccount}`) : []
    })
  )
  t.same(uses, [['web/api'], ['web/batch'], ['other/api'], ['other/batch']])
})

t.test('denials and long texts are judged anew, and nothing is kept of them', async (t) => {
  const recall = rememberVerdicts()
  const long = asking(`tcp:443${' '.repeat(LONGEST_DECLARATION)}`)
  const wasteful = asking(Array<string>(60).fill('20').join(','))
  t.match(judge(wasteful), { kind: 'allowed' })
  for (const asked of [asking('tpc:443'), long, wasteful]) {
    t.same(judge(asked, recall), judge(asked))
    t.not(judge(asked, recall), judge(asked, recall))
  }
})

t.test(
  'who is not as mutation leaves pods, or is on the network of its node, is not taken for one who is',
  async (t) => {
    const recall = rememberVerdicts()
    t.equal(judge(asking('tcp:443'), recall).kind, 'allowed')
    const about = { annotations: asking('tcp:443').annotations, spec: { serviceAccountName: 'api' } }
    const onHost = stamped({ ...about, spec: { ...about.spec, hostNetwork: true } })
    for (const object of [pod(about), onHost])
      t.equal(validate(decode(review({ object })), { rulesPerGroup: 60, recall }).kind, 'invalid')
  }
)

t.test('the oldest are forgotten', async (t) => {
  const recall = rememberVerdicts()
  const first = judge(asking('tcp:1'), recall)
  for (let port = 2; port <= MOST_VERDICTS; port++) judge(asking(`tcp:${port}`), recall)
  t.equal(judge(asking('tcp:1'), recall), first)
  judge(asking('tcp:1000'), recall)
  t.not(judge(asking('tcp:1'), recall), first)
  t.same(judge(asking('tcp:1'), recall), first)
})

t.test('no two declarations are taken for each other', async (t) => {
  const piece = fc.constantFrom('sg-0123abcd', 'sg-4567cdef', 'readiness-gate', '7,7:', 'tcp:443', 'a', ',', ':', '1')
  const text = fc.array(piece, { maxLength: 4 }).map((pieces) => pieces.join(''))
  const key = text.map((name) => `sg.amazonaws.com/${name}`)
  const annotations = fc.dictionary(key, text, { maxKeys: 3 })
  const declared = fc.record({ annotations, namespace: text, serviceAccount: text })
  const recall = rememberVerdicts()
  fc.assert(
    fc.property(declared, ({ annotations, namespace, serviceAccount }) => {
      const told = JSON.stringify([namespace, serviceAccount, Object.entries(annotations).sort()])
      const own = { ...ALLOWED, warnings: [told] }
      const given = recall({ annotations, namespace, serviceAccount, keys: ourKeys(annotations) }, () => own)
      return given.warnings[0] === told
    }),
    { numRuns: 5000 }
  )
  t.pass('5000 that are alike')
})
