/** What people read: the answers as kubectl prints them, on a real API server; docs/errors.md is made of them. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { eventually, startBed } from '../../bed/bed.ts'
import type { Answer, Bed } from '../../bed/bed.ts'
import { A, admissionOf, B, permission, pod, refusal } from './admissionFixture.ts'
import { ERROR_CASES, INTRODUCTION } from './errorsFixture.ts'
import type { ErrorCase } from './errorsFixture.ts'

const bed: Bed = await startBed({ workers: 0, kwok: false })
t.teardown(() => bed.stop())
const { namespace, create, podOf } = admissionOf(bed)

const PAGE = new URL('../../docs/errors.md', import.meta.url)
const folder = await mkdtemp(join(tmpdir(), 'kube-sg-errors-'))
t.teardown(() => rm(folder, { recursive: true }))

async function run({ manifest, file, command }: ErrorCase): Promise<Answer> {
  const path = join(folder, file)
  if (manifest !== undefined) await writeFile(path, manifest)
  const answer = await bed.kubectl(command ?? ['apply', '--dry-run=server', '-f', path])
  const plain = (text: string): string => text.replaceAll(`${folder}/`, '').replaceAll(' (server dry run)', '')
  return { code: answer.code, stdout: plain(answer.stdout), stderr: plain(answer.stderr).replace(/[ \t]+$/gm, '') }
}

function print(one: ErrorCase, answer: Answer): string {
  const command = (one.command ?? ['apply', '-f', one.file]).map((word) => (/["{ ]/.test(word) ? `'${word}'` : word))
  const shown = `$ kubectl ${command.join(' ')}\n${answer.stderr}${answer.stdout}`
  const parts = [
    `## ${one.title}\n`,
    ...(one.text === '' ? [] : [`${one.text}\n`]),
    ...(one.manifest === undefined ? [] : [`\`\`\`yaml\n# ${one.file}\n${one.manifest}\`\`\`\n`]),
    `\`\`\`console\n${shown}\`\`\`\n`
  ]
  return parts.join('\n')
}

t.test('docs/errors.md shows what kubectl prints', async (t) => {
  await bed.apply([{ apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'web' } }])
  await bed.apply(permission('web', 'sg-1a2b3c4d'))
  await eventually('a pod', async () => (await create(pod('web', 'running', {}))).code === 0 || undefined)
  const sections: string[] = []
  for (const one of ERROR_CASES) {
    const answer = await run(one)
    t.equal(answer.code, one.passes === true ? 0 : 1, one.title)
    sections.push(print(one, answer))
  }
  const page = [INTRODUCTION, ...sections].join('\n')
  if (process.env.ACCEPT === '1') await writeFile(PAGE, page)
  t.equal(page, await readFile(PAGE, 'utf8'))
})

t.test('groups that are not permitted: the printed Roles permit them, each by itself', async (t) => {
  const ns = await namespace()
  const [C, D] = ['sg.amazonaws.com/sg-0123abcf', 'sg.amazonaws.com/sg-0123abc0']
  const refused = await create(pod(ns, 'p', { [B]: 'tcp:443', [C]: 'tcp:443' }))
  t.equal(refused.code, 1)
  const [sentence, ...yaml] = refused.stderr.trimEnd().split('\n')
  t.equal(
    sentence,
    `Error from server (Forbidden): error when creating "STDIN": admission webhook "pods.sg.amazonaws.com" denied the request: service account 'default' of namespace '${ns}' may not use security groups 'sg-0123abce', 'sg-0123abcf'; to permit it, apply:`
  )
  t.equal(parseAllDocuments(yaml.join('\n')).length, 4)
  await bed.apply(yaml.join('\n'))
  const other = await create(pod(ns, 'p', { [B]: 'tcp:443', [D]: 'tcp:443' }))
  const [, ...more] = other.stderr.trimEnd().split('\n')
  await bed.apply(more.join('\n'))
  const all = pod(ns, 'p', { [B]: 'tcp:443', [C]: 'tcp:443', [D]: 'tcp:443' })
  await eventually('the permission', async () => (await create(all)).code === 0 || undefined)
})

t.test('what is printed can be applied, whatever the names look like', async (t) => {
  const ns = '2024'
  const names = ['on', '1e3', 'null', 'a'.repeat(253)]
  await bed.apply(
    [
      { kind: 'Namespace', metadata: { name: ns } },
      ...names.map((name) => ({ kind: 'ServiceAccount', metadata: { name, namespace: ns } }))
    ].map((object) => ({ apiVersion: 'v1', ...object }))
  )
  for (const [index, serviceAccountName] of names.entries()) {
    const ours = pod(ns, `p-${index}`, { [A]: 'tcp:443' }, {}, { serviceAccountName })
    const [, ...yaml] = (await create(ours)).stderr.trimEnd().split('\n')
    t.match(await bed.kubectl(['apply', '-f', '-'], yaml.join('\n')), { code: 0 }, serviceAccountName)
    await eventually('the permission', async () => (await create(ours)).code === 0 || undefined)
  }
})

t.test('the API server hands on every cause, and all of a long answer', async (t) => {
  const ns = await namespace()
  const bad = (prefix: string): string => Array.from({ length: 60 }, (_, index) => `${prefix}${index}`).join(',')
  const annotations = { [A]: bad('x'), [B]: bad('y') }
  const answer = await fetchStatus(pod(ns, 'p', annotations))
  t.equal(answer.code, 422)
  t.equal(answer.details.causes.length, 100)
  t.match(answer.details.causes[0], { reason: 'FieldValueInvalid', field: `metadata.annotations[${A}]` })
  t.match(answer.message, /y39": .*\n\* and 21 more$/)
  const printed = await create(pod(ns, 'p', annotations))
  t.equal(printed.stderr.split('\n').filter((line) => line.startsWith('* ')).length, 100, 'as kubectl does')
})

t.test('the API server hands on as many warnings as we give it', async (t) => {
  const ns = await namespace()
  const ids = Array.from({ length: 16 }, (_, index) => `sg-000000${index + 10}`)
  const annotations = Object.fromEntries(ids.map((id) => [`sg.amazonaws.com/${id}`, '20,21,22,tcp:1,tcp:1']))
  for (const id of ids) await bed.apply(permission(ns, id))
  const answer = await eventually('the permissions', async () => {
    const answer = await create(pod(ns, 'p', annotations))
    return answer.code === 0 ? answer : undefined
  })
  const warnings = answer.stderr.trimEnd().split('\n')
  t.equal(warnings.length, 16)
  t.ok(warnings.every((warning) => warning.startsWith('Warning: ') && warning.length <= 'Warning: '.length + 256))
  t.match(warnings.at(-1), /^Warning: and \d+ warnings more$/)
  t.ok((await podOf(ns, 'p')).metadata?.uid)
})

t.test('nobody can tell who may use what: an error of ours, not a denial, and only a template passes', async (t) => {
  const ns = await namespace()
  const binding = await bed.kubectl(['get', 'clusterrolebinding', 'kube-sg-webhook', '-o=json'])
  t.equal(binding.code, 0, binding.stderr)
  await bed.kubectl(['delete', 'clusterrolebinding', 'kube-sg-webhook'])
  try {
    const answer = await eventually('the rights to be gone', async () => {
      const answer = await create(pod(ns, 'p', { [B]: 'tcp:443' }))
      return answer.stderr.includes('(Forbidden)') ? undefined : answer
    })
    t.match(answer.stderr, /failed calling webhook "pods\.sg\.amazonaws\.com": .*kube-sg: .*cannot create resource/)
    const both = await create(pod(ns, 'p', { [B]: 'tpc:443' }))
    t.match(both.stderr, /Warning: permission could not be asked for: .*\n(.|\n)*Invalid value: "tpc:443"/)
    const template = {
      metadata: { labels: { a: 'b' }, annotations: { [B]: 'tcp:443' } },
      spec: { containers: [{ name: 'c', image: 'x' }] }
    }
    const spec = { selector: { matchLabels: { a: 'b' } }, template, replicas: 0 }
    t.match(await create({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'w', namespace: ns }, spec }), {
      code: 0
    })
  } finally {
    await bed.apply(binding.stdout)
  }
  await eventually(
    'the rights to be back',
    async () => (await create(pod(ns, 'p', { [A]: 'tcp:443' }))).code === 0 || undefined
  )
})

t.test('megabytes of hostile annotations keep nobody waiting', async (t) => {
  const ns = await namespace()
  const annotations = (count: number, value: string) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, index) => [`sg.amazonaws.com/sg-${index.toString(16).padStart(8, '0')}`, value])
    )
  // Together below 10 MB: beyond that Node's HTTP/2 client refuses its own requests.
  const hostile = [annotations(400, `x${' '.repeat(4050)}x`), annotations(60, 'tpc,'.repeat(1000))]
  const path = `/api/v1/namespaces/${ns}/pods?dryRun=All`
  const refusals = Array.from({ length: 4 }, () => hostile)
    .flat()
    .map((annotations, index) => refusal(bed.api.call('POST', path, pod(ns, `hostile-${index}`, annotations))))
  for (let index = 0; index < 5; index++)
    t.match(await create(pod(ns, `bystander-${index}`, { [A]: 'tcp:443' })), { code: 0, stderr: '' })
  for (const answer of await Promise.all(refusals)) t.match(answer, { status: 422 }, 'judged, not given up on')
})

interface Status {
  readonly code: number
  readonly message: string
  readonly details: { readonly causes: readonly { readonly reason: string; readonly field: string }[] }
}

/** The Status that the API server answers with, whole. */
async function fetchStatus(object: object): Promise<Status> {
  const verbose = await bed.kubectl(['create', '-v=10', '-f', '-'], JSON.stringify(object))
  const body = /\{"kind":"Status".*\}/.exec(verbose.stderr)?.[0]
  if (body === undefined) throw new Error(verbose.stderr)
  return JSON.parse(body) as Status
}
