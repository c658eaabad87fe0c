/** EC2's XML, as botocore's model for the ec2 protocol reads it: lists are `<name><item>...`. Pure. */

/** undefined is left out, as EC2 leaves out what a resource does not have. */
export type Xml = string | number | boolean | undefined | readonly Xml[] | { readonly [name: string]: Xml }

const DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
const NAMESPACE = 'http://ec2.amazonaws.com/doc/2016-11-15/'

export function renderResponse(action: string, requestId: string, body: Readonly<Record<string, Xml>>): string {
  const content = render({ requestId, ...body })
  return `${DECLARATION}<${action}Response xmlns="${NAMESPACE}">${content}</${action}Response>`
}

/** https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html (sample error response) */
export function renderError(requestId: string, code: string, message: string): string {
  const errors = render({ Error: { Code: code, Message: message } })
  return `${DECLARATION}<Response><Errors>${errors}</Errors><RequestID>${requestId}</RequestID></Response>`
}

function render(value: Xml): string {
  if (value === undefined) return ''
  if (typeof value !== 'object') return escape(String(value))
  if (isList(value)) return value.map((item) => `<item>${render(item)}</item>`).join('')
  let text = ''
  for (const [name, content] of Object.entries(value)) {
    if (content !== undefined) text += `<${name}>${render(content)}</${name}>`
  }
  return text
}

const isList = (value: object): value is readonly Xml[] => Array.isArray(value)

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\r': '&#13;'
}

const escape = (text: string): string =>
  /[&<>"\r]/.test(text) ? text.replace(/[&<>"\r]/g, (character) => ENTITIES[character] ?? character) : text
