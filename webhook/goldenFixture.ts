/** One request for each thing that the webhook may have to say, by the kind of what it says. */
import { quote } from '../shared/violation.ts'
import { pod, stamped } from './reviewFixture.ts'
import type { PodParts, ReviewParts } from './reviewFixture.ts'

export interface GoldenCase {
  readonly what: string
  readonly parts: ReviewParts
  readonly rulesPerGroup?: number
}

const A = 'sg.amazonaws.com/sg-0123abcd'
const B = 'sg.amazonaws.com/sg-0123abce'
const GATE = 'sg.amazonaws.com/readiness-gate'
const LEGACY = 'sg.amazonaws.com'
/** The fixture's permissions refuse groups that begin so. */
const REFUSED = 'sg.amazonaws.com/sg-ffff'

const of = (annotations: Record<string, string>, what = print(annotations), more: PodParts = {}): GoldenCase => ({
  what,
  parts: { object: stamped({ annotations, ...more }) }
})
const print = (annotations: Record<string, string>): string =>
  Object.entries(annotations)
    .map(([key, value]) => `${key}: ${quote(value)}`)
    .join(', ')
const values = (...texts: string[]): GoldenCase[] => texts.map((text) => of({ [A]: text }))
const keys = (...names: string[]): GoldenCase[] => names.map((name) => of({ [`sg.amazonaws.com/${name}`]: 'tcp:443' }))
const groups = (count: number): Record<string, string> =>
  Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`sg.amazonaws.com/sg-${String(index).padStart(8, '0')}`, 'tcp:1'])
  )
const items = (count: number): string => Array.from({ length: count }, (_, index) => `tcp:${2 * index + 1}`).join(',')

const template = (kind: string, annotations: Record<string, string>, spec: object = {}, podSpec: object = {}) => ({
  kind,
  resource: `${kind.toLowerCase()}s`,
  object: { metadata: { name: 'api' }, spec: { ...spec, template: { metadata: { annotations }, spec: podSpec } } }
})

/** The name of each class is the name of its file; those of denials are what metrics and audit logs call them. */
export const goldenCases = (): Readonly<Record<string, readonly GoldenCase[]>> => ({ ...malformed(), ...others() })

const malformed = (): Record<string, GoldenCase[]> => ({
  UnknownKey: keys('readyness-gate', 'egress', 'managed', 'revoke-rules', 'rules-in-effect', 'owner', 'Ingress'),
  BadGroupId: [
    ...keys('sg-1A2B3C4D', 'sg_0123abcd', 'sg0123abcd', 'sg-0a1b', 'sg-0123456789abcdefg'),
    of({ [LEGACY]: 'sg-1A2B3C4D:tcp:80' })
  ],
  EmptyValue: [...values('', ' \t'), of({ [LEGACY]: '' })],
  ValueTooLong: [of({ [A]: `tcp:443${' '.repeat(4090)}` }, 'one blank too many')],
  BadSetting: [of({ [A]: 'all', [GATE]: 'True' }), of({ [A]: 'all', [GATE]: 'yes' })],
  EmptyItem: values('tcp:1,,tcp:2,', ','),
  NoGroup: [of({ [LEGACY]: 'tcp:80' })],
  OtherGroup: values('sg-bbbbbbbb:tcp:80', 'sg-bbbb:tcp:80'),
  BadProtocol: [
    ...values('tpc:443', 'tcp/443', '443/tcp', 'tcp443', '443', '8000-8080', '-1', 'any', 'icmp6', '256', 'http'),
    ...values('sctp:9', ':443', 'sg-0123abcd:tcp:443', 'tcp :443', '\u00a0tcp:443', '\u202etcp:443'),
    of({ [LEGACY]: 'sg-0123abcd' })
  ],
  BadPorts: values(
    'tcp:80-',
    'tcp:5050-5000',
    'tcp:0',
    'tcp:65536',
    'tcp:080',
    'tcp:80..90',
    'tcp:0-65535',
    'tcp:https',
    'tcp:443 udp:53'
  ),
  NoPorts: values('tcp', 'UDP', '17'),
  PortsNotTaken: values('icmp:8', 'icmpv6:*', '47:443', 'all:443', 'all:1-9', 'all:*'),
  TooManyItems: [
    of({ [A]: items(61) }, '61 items'),
    of({ [A]: items(60), [LEGACY]: 'sg-0123abcd:udp:1' }, '60 items, and one more in the old spelling')
  ],
  TooManyGroups: [of(groups(17), '17 groups')],
  TooManyKeys: [
    of(Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`sg.amazonaws.com/x${index}`, ''])), '101 keys')
  ],
  HostNetwork: [
    of({ [A]: 'tcp:443' }, 'a pod on the host network', { spec: { hostNetwork: true } }),
    {
      what: 'a template on the host network',
      parts: template('DaemonSet', { [A]: 'tcp:443' }, {}, { hostNetwork: true })
    }
  ],
  GateWithoutRules: [of({ [GATE]: 'true' })],
  NotStamped: [
    { what: 'neither finalizer nor label', parts: { object: pod({ annotations: { [A]: 'tcp:443' } }) } },
    {
      what: 'another label',
      parts: { object: stamped({ annotations: { [A]: 'tcp:443' }, labels: { [MANAGED]: 'no' } }) }
    }
  ],
  NotPermitted: [
    of({ [`${REFUSED}0000`]: 'tcp:443' }),
    of({ [`${REFUSED}0000`]: 'tcp:443', [A]: 'tcp:443', [`${REFUSED}0001`]: 'tcp:443' }),
    of({ [`${REFUSED}0000`]: 'tcp:443' }, 'names that YAML takes for others', { spec: { serviceAccountName: '1e3' } }),
    of({ [`${REFUSED}0000`]: 'tcp:443', [A]: 'tpc:443' })
  ]
})

const MANAGED = 'sg.amazonaws.com/managed'

const others = (): Record<string, GoldenCase[]> => ({
  ThroughSubresource: [
    {
      what: 'pods/status',
      parts: {
        ...of({ [A]: 'tcp:2' }).parts,
        oldObject: stamped({ annotations: { [A]: 'tcp:1' } }),
        subResource: 'status'
      }
    },
    {
      what: 'pods/binding, two annotations',
      parts: {
        object: { metadata: { name: 'api', annotations: { [A]: 'tcp:1', [LEGACY]: '' } } },
        kind: 'Binding',
        subResource: 'binding'
      }
    }
  ],
  Several: [
    of({
      [A]: 'tpc:443, tcp:5050-5000,',
      'sg.amazonaws.com/sg-1A2B3C4D': 'tcp:443',
      [GATE]: 'True',
      [LEGACY]: 'tcp:80'
    }),
    of({ [A]: 'http,tpc:443,http,tpc:443' }, 'the same mistakes again'),
    of(
      {
        [A]: Array.from({ length: 60 }, (_, n) => `x${n}`).join(','),
        [B]: Array.from({ length: 60 }, (_, n) => `x${n}`).join(',')
      },
      'more than anybody reads'
    )
  ],
  Templates: ['Deployment', 'CronJob', 'PodTemplate'].map((kind) => {
    const pods = { metadata: { annotations: { [A]: 'tpc:443', [`${REFUSED}0000`]: 'tcp:443' } } }
    const spec = { spec: { template: pods, jobTemplate: { spec: { template: pods } } }, template: pods }
    return { what: kind, parts: { kind, resource: `${kind.toLowerCase()}s`, object: spec, name: 'api' } }
  }),
  Warnings: [
    of({ [A]: 'tcp:10-20,tcp:15-30,udp:1' }),
    of({ [A]: '80,22' }),
    of({ [LEGACY]: 'sg-0123abcd:tcp:443,sg-00000000:udp:53' }),
    of({ 'sg.amazonaws.com/ingress': 'sg-0123abcd:tcp:443' }),
    of({ [A]: items(20) }, '20 items'),
    { ...of({ [A]: items(20) }, '20 items, and a quota of 19'), rulesPerGroup: 19 },
    { what: '100 replicas', parts: template('Deployment', { [A]: 'tcp:443' }, { replicas: 100 }) },
    { what: 'a template without permission', parts: template('Deployment', { [`${REFUSED}0000`]: 'tcp:443' }) },
    {
      what: 'annotations on the Deployment itself',
      parts: {
        kind: 'Deployment',
        resource: 'deployments',
        object: { metadata: { annotations: { [A]: 'tcp:443', [GATE]: 'true' } } }
      }
    },
    {
      what: 'a readiness gate that comes too late',
      parts: {
        object: stamped({ annotations: { [A]: 'tcp:443', [GATE]: 'true' } }),
        oldObject: stamped({ annotations: { [A]: 'tcp:443' } })
      }
    },
    of(
      {
        [LEGACY]: Array.from(
          { length: 60 },
          (_, index) => `sg-0000000${index % 10}:${index % 2 === 0 ? 80 : 'tcp:5-9'}`
        ).join(',')
      },
      'more warnings than the API server takes'
    )
  ]
})
