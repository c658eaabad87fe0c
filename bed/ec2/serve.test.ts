import { connect } from 'node:net'
import { XMLParser } from 'fast-xml-parser'
import t from 'tap'
import { signedHeaders, startTrial } from './trial.ts'

const VERSION = 'Version=2016-11-15'

/** Status and code of an error in EC2's own shape; botocore reads exactly these elements. */
async function post(
  endpoint: string,
  body: string | Uint8Array,
  headers = signedHeaders()
): Promise<readonly [number, string]> {
  const response = await fetch(endpoint, { method: 'POST', body: new Uint8Array(Buffer.from(body)), headers })
  t.match(response.headers.get('content-type'), /^text\/xml/)
  const text = await response.text()
  const { Response } = new XMLParser().parse(text) as {
    Response?: { Errors: { Error: { Code: string; Message: string } }; RequestID: string }
  }
  if (Response !== undefined)
    t.match(Response, { RequestID: /^[0-9a-f-]{36}$/, Errors: { Error: { Message: String } } })
  return [response.status, Response?.Errors.Error.Code ?? '']
}

t.test("hostile requests get an answer in EC2's own shape", async (t) => {
  const { endpoint, ec2 } = await startTrial(t)
  const nested = `A${'.1'.repeat(5000)}=x`
  const cases: readonly [body: string | Uint8Array, status: number, code: string][] = [
    ['', 400, 'MissingAction'],
    ['Action=', 400, 'MissingAction'],
    [`Action=RunInstances&${VERSION}`, 400, 'InvalidAction'],
    [`Action=__proto__&${VERSION}`, 400, 'InvalidAction'],
    ['Action=DescribeVpcs', 400, 'MissingParameter'],
    ['Action=DescribeVpcs&Version=2014-10-01', 400, 'NoSuchVersion'],
    [`Action=DescribeVpcs&${VERSION}&Surprise=1`, 400, 'UnknownParameter'],
    [`Action=DescribeVpcs&${VERSION}&Filter.x.Name=a`, 400, 'UnknownParameter'],
    [`Action=DescribeVpcs&${VERSION}&Filter.1.Name=vpc-id`, 400, 'InvalidParameterValue'],
    [`Action=DescribeVpcs&${VERSION}&MaxResults=ten`, 400, 'InvalidParameterValue'],
    [`Action=DescribeVpcs&${VERSION}&MaxResults=99999999999`, 400, 'InvalidParameterValue'],
    [`Action=DescribeVpcs&${VERSION}&DryRun=perhaps`, 400, 'InvalidParameterValue'],
    [`Action=DescribeVpcs&${VERSION}&${nested}`, 400, 'UnknownParameter'],
    [`Action=DescribeVpcs&Action=DescribeVpcs&${VERSION}`, 400, 'MalformedQueryString'],
    [`Action=DescribeVpcs&${VERSION}&VpcId.1=%`, 400, 'MalformedQueryString'],
    [`Action=DescribeVpcs&${VERSION}&VpcId.1=%ff%fe`, 400, 'MalformedQueryString'],
    [Buffer.from([0x41, 0x3d, 0xff, 0xfe]), 400, 'MalformedQueryString'],
    [`Action=DescribeVpcs&${VERSION}&VpcId.1=%00`, 400, 'InvalidParameterValue'],
    ['&'.repeat(200_000), 400, 'MalformedQueryString'],
    ['{"Action":"DescribeVpcs"}', 400, 'MissingAction'],
    [`Action=<script>&amp;&${VERSION}`, 400, 'InvalidAction'],
    [Buffer.alloc(5 * 1024 * 1024, 'x'), 413, 'RequestEntityTooLarge']
  ]
  for (const [body, status, code] of cases)
    t.strictSame(await post(endpoint, body), [status, code], String(body).slice(0, 60))
  t.equal((await ec2.describeVpcs({})).Vpcs?.length, 2, 'and it goes on')
})

t.test('credentials: missing, malformed, for another service, too old', async (t) => {
  const { endpoint } = await startTrial(t)
  const body = `Action=DescribeVpcs&${VERSION}`
  const { authorization = '', ...unsigned } = signedHeaders()
  t.strictSame(await post(endpoint, body), [200, ''])
  t.strictSame(await post(endpoint, body, unsigned), [403, 'MissingAuthenticationToken'])
  t.strictSame(await post(endpoint, body, { ...unsigned, authorization: 'Bearer x' }), [401, 'AuthFailure'])
  const other = { ...unsigned, authorization: authorization.replace('/ec2/', '/s3/') }
  t.strictSame(await post(endpoint, body, other), [401, 'AuthFailure'])
  const { 'x-amz-date': _, ...undated } = signedHeaders()
  t.strictSame(await post(endpoint, body, undated), [401, 'AuthFailure'])
  t.strictSame(await post(endpoint, body, signedHeaders(Date.now() - 301_000)), [400, 'RequestExpired'])
})

t.test('a GET carries the same parameters in its query', async (t) => {
  const { endpoint } = await startTrial(t)
  const response = await fetch(`${endpoint}/?Action=DescribeVpcs&${VERSION}`, { headers: signedHeaders() })
  t.equal(response.status, 200)
  t.match(await response.text(), /<DescribeVpcsResponse xmlns="http:\/\/ec2.amazonaws.com\/doc\/2016-11-15\/">/)
})

t.test('a client that goes away in the middle of its request does no harm', async (t) => {
  const { endpoint, ec2, calls } = await startTrial(t)
  const socket = connect(Number(new URL(endpoint).port), '127.0.0.1')
  socket.write('POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nAction=')
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.resetAndDestroy()
  await ec2.describeVpcs({})
  t.strictSame(
    (await calls()).map(({ action }) => action),
    ['DescribeVpcs']
  )
})

t.test('latency comes before the effect, and who gives up has still made the call', async (t) => {
  const { endpoint, control, rulesOf, calls } = await startTrial(t)
  const body =
    `Action=AuthorizeSecurityGroupIngress&${VERSION}&GroupId=sg-0def0000000000001` +
    '&IpProtocol=tcp&FromPort=1&ToPort=1&CidrIp=10.0.0.1/32'
  const headers = Object.entries({ host: 'x', 'content-length': String(body.length), ...signedHeaders() })
  const head = `POST / HTTP/1.1\r\n${headers.map((pair) => pair.join(': ')).join('\r\n')}`
  const callAndGiveUp = async (): Promise<void> => {
    const socket = connect(Number(new URL(endpoint).port), '127.0.0.1')
    socket.write(`${head}\r\n\r\n${body}`)
    await new Promise((resolve) => socket.once('connect', resolve))
    // What came later on another connection has been answered, so this request has been read.
    await control('GET', 'settings')
    socket.destroy()
  }
  await control('POST', 'settings', { latencyMs: 600_000 })
  await callAndGiveUp()
  t.strictSame([await calls(), await rulesOf('sg-0def0000000000001')], [[], []], 'nothing has happened yet')
  await control('POST', 'settings', { latencyMs: 20 })
  await callAndGiveUp()
  while ((await calls()).length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  t.strictSame(await rulesOf('sg-0def0000000000001'), ['tcp 1-1 10.0.0.1/32'])
})
