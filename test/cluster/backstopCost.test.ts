/** What the policies cost, for Kubernetes gives up on what passes a limit; whom they leave alone; and how they are told to warn. */
import { readFile } from 'node:fs/promises'
import t from 'tap'
import { parseAllDocuments } from 'yaml'
import { eventually } from '../../bed/bed.ts'
import type { KubeObject } from '../../bed/bed.ts'
import { MAX_GROUPS, MAX_ITEMS, MAX_KEYS, MAX_VALUE_BYTES } from '../../shared/annotation.ts'
import { LEGACY_BARE_KEY, LEGACY_INGRESS_KEY, MIRROR_POD_KEY, PREFIX } from '../../shared/names.ts'
import { PERMITTED } from './annotationArbitraries.ts'
import type { Entries } from './annotationArbitraries.ts'
import { answer, applyPolicies, expected, plain, PODS, stamped, startPolicyBed } from './policyBed.ts'
import type { Answer } from './policyBed.ts'

const bed = await startPolicyBed()
await applyPolicies(bed)

const keyed = (count: number, value: string): Entries =>
  Object.fromEntries(PERMITTED.slice(0, count).map((id) => [PREFIX + id, value]))
const ranges = (count: number): string =>
  Array.from({ length: count }, (_, index) => `tcp:${20_000 + 3 * index}-${20_001 + 3 * index}`).join(',')
const items = (count: number, item: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => item(index)).join(',')
const others = (count: number): Entries =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`example.com/${index}`, 'x'.repeat(30)]))

t.test('the largest that is legal costs less than what a policy may cost', async (t) => {
  const legacy = (offset: number): string =>
    items(204, (index) => `${PERMITTED[(index + offset) % MAX_GROUPS] ?? ''}:0`).slice(0, MAX_VALUE_BYTES)
  const both = { [LEGACY_BARE_KEY]: legacy(0), [LEGACY_INGRESS_KEY]: legacy(8) }
  const largest: Readonly<Record<string, Entries>> = {
    'ranges, and blanks up to the limit of a value': keyed(MAX_GROUPS, ranges(MAX_ITEMS).padEnd(MAX_VALUE_BYTES)),
    'blanks between the items': keyed(
      MAX_GROUPS,
      items(MAX_ITEMS, (index) => `${' '.repeat(50)}tcp:${30_000 + 2 * index}\t`)
    ),
    'with the spellings of 2018': { ...keyed(MAX_GROUPS, ranges(34).padEnd(MAX_VALUE_BYTES)), ...both },
    'with a thousand annotations of others': { ...keyed(MAX_GROUPS, ranges(MAX_ITEMS)), ...others(1000) }
  }
  for (const [what, after] of Object.entries(largest)) {
    t.equal(expected(stamped(plain('p', after))), 'allowed', `${what}: legal`)
    t.same(
      await answer(bed.api.call('POST', `${PODS}?dryRun=All`, plain('p', after))),
      { kind: 'allowed', message: '' },
      what
    )
  }
})

t.test('the costliest that is not legal is refused with a reason, not given up on', async (t) => {
  const half = MAX_VALUE_BYTES / 2
  const costly: Readonly<Record<string, Entries>> = {
    commas: keyed(MAX_GROUPS, ','.repeat(MAX_VALUE_BYTES)),
    letters: keyed(MAX_GROUPS, 'a,'.repeat(half)),
    'letters in the spelling of 2018': {
      [LEGACY_BARE_KEY]: 'a,'.repeat(half),
      [LEGACY_INGRESS_KEY]: 'a,'.repeat(half)
    },
    'groups in the spelling of 2018': {
      [LEGACY_BARE_KEY]: items(290, (index) => `sg-${String(index).padStart(8, '0')}`)
    },
    'a wrong item in every place': keyed(
      MAX_GROUPS,
      items(MAX_ITEMS, () => 'x'.repeat(65))
    ),
    'one value of 200 KB': keyed(1, 'tcp:1,'.repeat(34_000)),
    'unknown keys with large values': Object.fromEntries(
      Array.from({ length: MAX_KEYS }, (_, index) => [`${PREFIX}x${index}`, 'x'.repeat(2500)])
    ),
    'thousands of keys': Object.fromEntries(Array.from({ length: 3000 }, (_, index) => [`${PREFIX}x${index}`, '']))
  }
  for (const [what, after] of Object.entries(costly)) {
    const { kind, message } = await answer(bed.api.call('POST', `${PODS}?dryRun=All`, plain('p', after)))
    t.equal(kind, 'invalid', what)
    t.match(message, /denied request: metadata\.annotations/, what)
  }
})

t.test("what is not the policies' business", async (t) => {
  const bad = { [`${PREFIX}sg-00000000`]: 'tpc:443' }
  const create = (object: KubeObject, namespace = 'default'): Promise<Answer> =>
    answer(bed.api.call('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All`, object))
  t.equal((await create(plain('p', bad))).kind, 'invalid', 'as a rule it is')
  await eventually('a service account', () =>
    bed.api.call('GET', '/api/v1/namespaces/kube-system/serviceaccounts/default')
  )
  t.equal((await create(plain('p', bad), 'kube-system')).kind, 'allowed', 'pods of kube-system')
  const mirror = plain('p', { ...bad, [MIRROR_POD_KEY]: 'x' })
  const spec = { ...(mirror.spec as object), nodeName: 'n', automountServiceAccountToken: false }
  t.equal((await create({ ...mirror, spec })).kind, 'allowed', 'the copy of a static pod')
})

t.test('Kubernetes finds every expression right for the objects that it judges', async (t) => {
  for (const name of ['kube-sg-grammar', 'kube-sg-permission']) {
    const path = `/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/${name}`
    const status = await eventually('the check', async () => {
      const found = (await bed.api.call('GET', path)).status as { observedGeneration?: number; typeChecking?: object }
      return found.observedGeneration === undefined ? undefined : found
    })
    t.same(status.typeChecking, {}, name)
  }
})

t.test('with Warn in place of Deny, as for PERMISSIONS=warn, who may not is warned and let in', async (t) => {
  const file = await readFile(new URL('../../manifests/backstop/20-permission.yaml', import.meta.url), 'utf8')
  const create = (): ReturnType<typeof bed.kubectl> =>
    bed.kubectl(
      ['create', '--dry-run=server', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'Pod', ...plain('p', { [`${PREFIX}sg-bbbbbbbb`]: 'tcp:443' }) })
    )
  t.match(await create(), { code: 1, stderr: /'kube-sg-permission' denied request/ })
  const warning = parseAllDocuments(file).map((document) => document.toJS() as KubeObject & { spec: object })
  await bed.apply(
    warning.map((object) =>
      object.kind?.endsWith('Binding') === true
        ? { ...object, spec: { ...object.spec, validationActions: ['Warn'] } }
        : object
    )
  )
  const admitted = await eventually('the binding', async () => {
    const answer = await create()
    return answer.code === 0 ? answer : undefined
  })
  t.match(admitted.stderr, /^Warning: .*'default' may not use security group 'sg-bbbbbbbb'/)
})

t.test('the keys of a Binding, which nobody validates, are told without what a terminal would obey', async (t) => {
  await bed.api.call('POST', PODS, plain('bound', {}))
  const refusal = (key: string) =>
    answer(
      bed.api.call('POST', `${PODS}/bound/binding`, {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name: 'bound', annotations: { [key]: 'tcp:443' } },
        target: { kind: 'Node', name: 'n' }
      })
    )
  const told = { kind: 'forbidden', message: /metadata\.annotations\[\(a malformed key\)\] must not be changed/ }
  t.match(await refusal(`${PREFIX}\u001b[2J`), told)
  t.match(await refusal(`${PREFIX}${'x'.repeat(4000)}`), told)
  t.match(await refusal(`${PREFIX}sg-0123abcd`), { message: /annotations\[sg\.amazonaws\.com\/sg-0123abcd\] must/ })
})
