import { isDeepStrictEqual } from 'node:util'
import { AwsEc2QueryProtocol, XmlShapeDeserializer } from '@aws-sdk/core/protocols'
import { DescribeSecurityGroupRulesCommand, EC2Client } from '@aws-sdk/client-ec2'
import type { EC2ClientConfig } from '@aws-sdk/client-ec2'
import fc from 'fast-check'
import t from 'tap'
import { oddPage, plainPage, PROLOG } from './ec2AnswersFixture.ts'
import { connectEc2 } from './ec2Client.ts'
import { Ec2Protocol } from './ec2Protocol.ts'

interface Answer {
  readonly status: number
  readonly body: Uint8Array
}
let answer: Answer

const connect = (config: Pick<EC2ClientConfig, 'protocol'>): EC2Client =>
  new EC2Client({
    region: 'eu-west-1',
    credentials: { accessKeyId: 'a', secretAccessKey: 'b' },
    maxAttempts: 1,
    requestHandler: {
      metadata: { handlerProtocol: 'http/1.1' },
      handle: () => {
        const headers = { 'x-amzn-requestid': 'request-1', 'content-type': 'text/xml;charset=UTF-8' }
        return Promise.resolve({ response: { statusCode: answer.status, headers, body: answer.body } })
      }
    },
    ...config
  })
const clients = { theirs: connect({}), ours: connect({ protocol: Ec2Protocol }) }

/** All that a caller may see of an answer. */
async function outcome(client: EC2Client): Promise<Readonly<Record<string, unknown>>> {
  try {
    return { ...(await client.send(new DescribeSecurityGroupRulesCommand({}))) }
  } catch (error) {
    const { message, name } = error as Error
    const { $response } = error as { $response?: object }
    const of = (error as Error).constructor.name
    return { failed: true, name, message, of, own: { ...(error as object) }, response: { ...$response } }
  }
}

const read = Reflect.get(XmlShapeDeserializer.prototype, 'read') as (...given: unknown[]) => unknown
let reads = 0
XmlShapeDeserializer.prototype.read = function (...given) {
  reads++
  return Reflect.apply(read, this, given)
}

/** What both make of it. */
async function both(text: string | Uint8Array, status = 200) {
  const body = (): Buffer => Buffer.from(text as string)
  answer = { status, body: body() }
  const theirs = await outcome(clients.theirs)
  answer = { status, body: body() }
  reads = 0
  const ours = await outcome(clients.ours)
  if (!isDeepStrictEqual(ours, theirs)) t.strictSame(ours, theirs, Buffer.from(text as string).toString())
  return { same: isDeepStrictEqual(ours, theirs), failed: ours.failed === true, readByTheSdk: reads > 0, ours }
}

t.test('the SDK builds on the core that we build on', (t) => {
  t.ok(clients.theirs.config.protocol instanceof AwsEc2QueryProtocol, 'else package.json names two versions')
  t.end()
})

t.test("the worker's client reads so, and copies no answer for a logger", (t) => {
  const { config, middlewareStack } = connectEc2('eu-west-1', 1000)
  t.ok(config.protocol instanceof Ec2Protocol)
  t.same(
    middlewareStack.identify().filter((name) => name.includes('loggerMiddleware')),
    []
  )
  t.end()
})

t.test('what is plain is what the SDK reads, without its parser', async (t) => {
  let plain = 0
  let rows = 0
  const check = async ([page, rest]: readonly [string, string]): Promise<void> => {
    const { ours, readByTheSdk, same } = await both(page + rest)
    if (!same) throw new Error('not the same')
    if (!readByTheSdk) plain++
    rows += (ours.SecurityGroupRules as unknown[] | undefined)?.length ?? 0
  }
  await fc.assert(fc.asyncProperty(plainPage, check), { numRuns: 1500 })
  t.ok(plain > 1000, `${plain} of 1500 were plain`)
  t.ok(rows > 1500, `${rows} rows`)
})

t.test('what is odd is what the SDK reads', async (t) => {
  let read = 0
  const check = async ([page, rest]: readonly [string, string]): Promise<void> => {
    const { failed, same } = await both(page + rest)
    if (!same) throw new Error('not the same')
    if (!failed) read++
  }
  await fc.assert(fc.asyncProperty(oddPage, check), { numRuns: 1500 })
  t.ok(read > 300, `${read} of 1500 were read`)
})

t.test('a page that is cut off is an error, wherever it is cut', async () => {
  const check = async ([page]: readonly [string, string], at: number): Promise<void> => {
    const whole = Buffer.from(page)
    const { failed, same } = await both(whole.subarray(0, 1 + (at % (whole.length - 1))))
    if (!same || !failed) throw new Error('no error')
  }
  await fc.assert(fc.asyncProperty(plainPage, fc.nat(), check), { numRuns: 1500 })
})

t.test('what is garbled is what the SDK makes of it', async (t) => {
  const markup = fc.constantFrom(
    '<',
    '>',
    '/',
    '&',
    ';',
    ' ',
    '\n',
    '\r',
    '"',
    '=',
    '</',
    '/>',
    '<item>',
    '</item>',
    '<a>'
  )
  const piece = fc.oneof(markup, fc.string({ maxLength: 3 }))
  const check = async (
    [page]: readonly [string, string],
    from: number,
    length: number,
    inserted: string
  ): Promise<void> => {
    const bytes = Buffer.from(page)
    const at = from % bytes.length
    const garbled = Buffer.concat([bytes.subarray(0, at), Buffer.from(inserted), bytes.subarray(at + length)])
    if (!(await both(garbled)).same) throw new Error(garbled.toString())
  }
  await fc.assert(fc.asyncProperty(plainPage, fc.nat(), fc.nat(12), piece, check), { numRuns: 3000 })
  await fc.assert(fc.asyncProperty(fc.uint8Array(), async (bytes) => t.ok((await both(bytes)).same)))
})

t.test('what EC2 refuses, and what somebody before it says, are the errors of the SDK', async (t) => {
  const refusal = (code: string): string =>
    `${PROLOG}\n<Response><Errors><Error><Code>${code}</Code><Message>a &lt;b&gt;</Message></Error></Errors></Response>`
  const { ours } = await both(refusal('InvalidGroup.NotFound'), 400)
  const $metadata = { httpStatusCode: 400, requestId: 'request-1' }
  t.match(ours, { name: 'InvalidGroup.NotFound', message: 'a <b>', own: { $fault: 'client', $metadata } })
  const others = [
    '',
    'Unavailable',
    '<html><body><hr>502</body></html>',
    '<a/>',
    '<a>b</a>',
    '{}',
    refusal('').slice(0, -9),
    refusal('A').replace('<Response', '<Response xmlns="b"')
  ]
  for (const status of [200, 301, 400, 403, 404, 500, 503])
    for (const body of [...others, refusal('RequestLimitExceeded'), refusal('')])
      t.ok((await both(body, status)).same, `${status} ${body}`)
})
