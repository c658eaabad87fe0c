/** The EC2 Query protocol's request: form-encoded names and values. Pure. */
import { EC2Error, invalidValue } from '../state/error.ts'

/** Far above what any action needs: 1000 rules with descriptions are about 400 KiB. */
export const BODY_LIMIT = 4 * 1024 * 1024

/** As many names as a call may carry; a body of nothing but separators must not cost more than its bytes. */
const PARAMETERS_LIMIT = 100_000

const malformed = (why: string): EC2Error =>
  new EC2Error('MalformedQueryString', `The query string contains a syntax error: ${why}.`)

const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Names and values in the order of the body. Names come once; values hold only what XML 1.0 can carry back.
 * @throws EC2Error MalformedQueryString, InvalidParameterValue
 */
export function parseQuery(body: Uint8Array): ReadonlyMap<string, string> {
  const pairs = new Map<string, string>()
  const text = decodeBody(body)
  if (text === '') return pairs
  const parts = text.split('&', PARAMETERS_LIMIT + 1)
  if (parts.length > PARAMETERS_LIMIT) throw malformed(`more than ${String(PARAMETERS_LIMIT)} parameters`)
  for (const part of parts) {
    if (part === '') continue
    const equals = part.indexOf('=')
    const name = decode(equals < 0 ? part : part.slice(0, equals))
    const value = equals < 0 ? '' : decode(part.slice(equals + 1))
    if (pairs.has(name)) throw malformed(`the parameter ${name} comes more than once`)
    if (!isXml(value) || !isXml(name))
      throw invalidValue('A parameter contains a character that is not allowed in XML 1.0')
    pairs.set(name, value)
  }
  return pairs
}

function decodeBody(body: Uint8Array): string {
  try {
    return utf8.decode(body)
  } catch (error) {
    throw malformed(`it is not UTF-8 (${(error as Error).message})`)
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch {
    // Every URIError means the same: a stray %, or bytes that are no UTF-8.
    throw malformed(`'${text.slice(0, 60)}' is not percent-encoded UTF-8`)
  }
}

// eslint-disable-next-line no-control-regex -- the control characters that XML 1.0 cannot express are the point
const NOT_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/

const isXml = (text: string): boolean => !NOT_XML.test(text)
