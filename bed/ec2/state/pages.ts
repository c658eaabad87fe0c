/** Pages of the Describe actions. Pure. */
import { EC2Error, invalidValue } from './error.ts'

export interface PageRequest {
  readonly maxResults: number | undefined
  readonly nextToken: string | undefined
}

export interface Page<T> {
  readonly items: readonly T[]
  readonly nextToken: string | undefined
}

/**
 * MaxResults is 5 to 1000; without it everything is answered at once.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeSecurityGroupRules.html
 * A token remembers the last item, so that what exists all the while is seen exactly once whatever changes between
 * two pages. AWS does not document that; it may well be worse there.
 * @param items in the order of `position`
 * @throws EC2Error InvalidParameterValue, InvalidNextToken
 */
export function pageOf<T>(items: readonly T[], request: PageRequest, position: (item: T) => string): Page<T> {
  const { maxResults, nextToken } = request
  if (maxResults !== undefined && maxResults < 5)
    throw invalidValue(
      `Value ( ${String(maxResults)} ) for parameter maxResults is invalid. Expecting a value greater than 5.`
    )
  if (maxResults !== undefined && maxResults > 1000)
    throw invalidValue(
      `Value ( ${String(maxResults)} ) for parameter maxResults is invalid. ` +
        'Expecting a value smaller than or equal to 1000.'
    )
  const after = nextToken === undefined ? undefined : decode(nextToken)
  const left = after === undefined ? items : items.filter((item) => position(item) > after)
  const page = maxResults === undefined ? left : left.slice(0, maxResults)
  const last = page.at(-1)
  return {
    items: page,
    nextToken: last !== undefined && page.length < left.length ? encode(position(last)) : undefined
  }
}

/** A sequence number as text that sorts as the number does. */
export const sequencePosition = (item: { readonly sequence: number }): string => String(item.sequence).padStart(12, '0')

const TOKEN = 'after:'
const encode = (position: string): string => Buffer.from(TOKEN + position).toString('base64')

function decode(token: string): string {
  const text = Buffer.from(token, 'base64').toString('utf8')
  if (!text.startsWith(TOKEN) || encode(text.slice(TOKEN.length)) !== token)
    throw new EC2Error('InvalidNextToken', `The token '${token}' is invalid`)
  return text.slice(TOKEN.length)
}
