/** The Query protocol below the SDK: credentials, and requests that are none. */
import type { Case, Subject, Topic } from '../case.ts'
import { COMMON_ERRORS, ERRORS, QUERY, SIGNATURES } from '../sources.ts'
import { differ, expectRefusal, expectSame, expectThat } from '../steps.ts'

const VERSION = 'Version=2016-11-15'

/** A signed request with this body is refused. The SDK reads the code out of EC2's error shape. */
const refused = (
  name: string,
  code: string,
  body: string | Uint8Array,
  about: Pick<Case, 'basis' | 'sources'>
): Case => ({
  name,
  ...about,
  run: async (subject) => {
    const client = subject.client({})
    // Before the length is counted and the request is signed.
    client.middlewareStack.add(
      (next) => (args) => next({ ...args, request: Object.assign(args.request as object, { body }) }),
      { step: 'build', priority: 'high' }
    )
    const error = await expectRefusal(client.describeVpcs({}), code)
    const { httpStatusCode = 0 } = (error as { $metadata?: { httpStatusCode?: number } }).$metadata ?? {}
    expectThat(httpStatusCode >= 400 && httpStatusCode < 500, `HTTP status ${String(httpStatusCode)}`)
  }
})

/** Of `<Response><Errors><Error><Code>`; undefined when the body has another shape. */
function codeIn(body: string): string | undefined {
  const shape = /<Response><Errors><Error><Code>([^<]+)<\/Code><Message>[^<]+<\/Message><\/Error><\/Errors>/
  return shape.exec(body.replace(/>\s+</g, '><'))?.[1]
}

const unsigned = async ({ endpoint }: Subject, authorization?: string): Promise<string> => {
  const response = await fetch(endpoint, {
    method: 'POST',
    body: `Action=DescribeVpcs&${VERSION}`,
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      ...(authorization === undefined ? {} : { authorization })
    }
  })
  if (response.ok) return differ('an unsigned request was accepted')
  return codeIn(await response.text()) ?? `HTTP ${String(response.status)}`
}

const credentials: readonly Case[] = [
  {
    name: 'a request without signature is refused',
    basis: 'documented',
    sources: [ERRORS],
    run: async (subject) => expectSame(await unsigned(subject), 'MissingAuthenticationToken', 'code')
  },
  {
    name: 'a request whose Authorization is of another kind is refused',
    basis: 'undocumented',
    sources: [ERRORS],
    run: async (subject) => expectSame(await unsigned(subject, 'Bearer x'), 'AuthFailure', 'code')
  },
  {
    name: 'a signature of an hour ago is refused',
    basis: 'documented',
    sources: [SIGNATURES, ERRORS],
    relied: 'a wrong clock is told as such',
    run: async (subject) => {
      // The SDK corrects its clock by the answer's Date, for the next attempt: so there is one.
      const late = subject.client({ systemClockOffset: -3_600_000, maxAttempts: 1 })
      await expectRefusal(late.describeVpcs({}), 'RequestExpired')
    }
  },
  {
    name: 'credentials that have expired are refused',
    basis: 'undocumented',
    sources: [ERRORS],
    needs: ['expired credentials'],
    relied: 'credentials that must be renewed are told from missing permission',
    run: async (subject) => {
      await expectRefusal(subject.callers.expired().describeVpcs({}), 'RequestExpired')
    }
  },
  {
    name: 'an access key that does not exist is refused',
    basis: 'documented',
    sources: [ERRORS],
    needs: ['unknown credentials'],
    relied: 'wrong credentials are told from missing permission',
    run: async (subject) => {
      await expectRefusal(subject.callers.unknown().describeVpcs({}), 'AuthFailure')
    }
  }
]

const documented = { basis: 'documented', sources: [COMMON_ERRORS] } as const

const requests: readonly Case[] = [
  refused('an action that there is not', 'InvalidAction', `Action=DescribeNothing&${VERSION}`, documented),
  refused('a request without action', 'MissingAction', VERSION, documented),
  refused('a version that there is not', 'NoSuchVersion', 'Action=DescribeVpcs&Version=1999-01-01', {
    basis: 'documented',
    sources: [ERRORS]
  }),
  refused('a request without version', 'MissingParameter', 'Action=DescribeVpcs', {
    basis: 'documented',
    sources: [QUERY]
  }),
  refused(
    'a parameter that the action does not have',
    'UnknownParameter',
    `Action=DescribeVpcs&${VERSION}&Surprise=1`,
    {
      basis: 'documented',
      sources: [ERRORS]
    }
  ),
  refused(
    'a body that is no query string',
    'MalformedQueryString',
    `Action=DescribeVpcs&${VERSION}&VpcId.1=%`,
    documented
  ),
  refused(
    'a body that is not UTF-8',
    'MalformedQueryString',
    new Uint8Array([...Buffer.from(`Action=DescribeVpcs&${VERSION}&VpcId.1=`), 0xff, 0xfe]),
    { basis: 'undocumented', sources: [] }
  ),
  refused('a number that is none', 'InvalidParameterValue', `Action=DescribeVpcs&${VERSION}&MaxResults=ten`, {
    basis: 'documented',
    sources: [ERRORS]
  })
]

export const wire: Topic = { title: 'Credentials and requests', cases: [...credentials, ...requests] }
