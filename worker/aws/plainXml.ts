/** XML as plain as EC2 writes it, read from its bytes. Pure. All other XML is left to whoever can read it. */

/** As the SDK's parser has it: what has no elements inside is its text, and several elements of one name are an array. */
export interface XmlElement {
  [name: string]: XmlContent | XmlContent[]
}
type XmlContent = string | XmlElement

const LESS = '<'.charCodeAt(0)
const GREATER = '>'.charCodeAt(0)
const SLASH = '/'.charCodeAt(0)
const BLANK = ' '.charCodeAt(0)
const BREAK = '\n'.charCodeAt(0)

const ROOT = /^(?:<\?xml [^?<>]*\?>\s*)?<([A-Za-z]\w*)(?: xmlns="([^"&<>\r]*)")?>/
const ROOT_LENGTH = 500
const NAME = /^[A-Za-z]\w*$/
const MAX_DEPTH = 32
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
const OTHER_ENTITY = /&(?!(?:amp|lt|gt|quot|apos);)/

/**
 * What the root holds. Undefined unless the document is whole and plain: no attributes but the namespace of the root, no comments, CDATA,
 * instructions, numbered entities or carriage returns, no text beside elements, and a line break in all space between them.
 */
export function readPlainXml(bytes: Buffer): XmlElement | undefined {
  const [start = '', name = '', namespace] = ROOT.exec(bytes.toString('latin1', 0, ROOT_LENGTH)) ?? []
  if (name === '') return undefined
  const content = new PlainReader(bytes, start.length).content(name, 0)
  if (content === undefined || typeof content === 'string') return undefined
  if (namespace !== undefined) content.xmlns = namespace
  return content
}

/**
 * Of bytes instead of a text, since a part of a text keeps V8 from freeing the whole of it, and a rule is kept for as long as it lives. Rows
 * say the same things in the same order, so that names and texts are compared with those before, and made where they differ alone.
 */
class PlainReader {
  readonly #bytes: Buffer
  #at: number
  /** Of the element that began last. */
  #last = ''
  /** The name that came after it before. */
  readonly #followers = new Map<string, string>()
  /** What the element of a name said last. */
  readonly #texts = new Map<string, string>()

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes
    this.#at = at
  }

  /** What is between here and the end of the element that has begun, which is passed. */
  content(name: string, depth: number): XmlContent | undefined {
    const from = this.#at
    const to = this.#bytes.indexOf(LESS, from)
    if (to === -1 || depth > MAX_DEPTH) return undefined
    if (this.#bytes[to + 1] === SLASH) {
      this.#at = to
      return this.#passEnd(name) ? this.#text(name, from, to) : undefined
    }
    const element: XmlElement = {}
    while (this.#passSpace()) {
      if (this.#bytes[this.#at + 1] === SLASH) return this.#passEnd(name) ? element : undefined
      const child = this.#passStart()
      if (child === undefined) return undefined
      const inside = this.#bytes[this.#at - 2] === SLASH ? '' : this.content(child, depth + 1)
      if (inside === undefined) return undefined
      add(element, child, inside)
    }
    return undefined
  }

  /** @returns whether a tag comes now, and the space before it says nothing */
  #passSpace(): boolean {
    let breaks = 0
    const from = this.#at
    for (; ; this.#at++) {
      const byte = this.#bytes[this.#at]
      if (byte === LESS) return breaks > 0 || this.#at === from
      if (byte === BREAK) breaks++
      else if (byte !== BLANK) return false
    }
  }

  #passStart(): string | undefined {
    const from = this.#at + 1
    const guess = this.#followers.get(this.#last)
    const guessed = guess !== undefined && this.#bytes[from + guess.length] === GREATER && this.#says(guess, from)
    const name = guessed ? guess : this.#otherName(from)
    if (name === undefined) return undefined
    this.#at = this.#bytes.indexOf(GREATER, from + name.length) + 1
    this.#last = name
    return name
  }

  #otherName(from: number): string | undefined {
    const to = this.#bytes.indexOf(GREATER, from)
    const name = this.#bytes.toString('latin1', from, this.#bytes[to - 1] === SLASH ? to - 1 : to)
    if (to === -1 || !NAME.test(name)) return undefined
    this.#followers.set(this.#last, name)
    return name
  }

  #passEnd(name: string): boolean {
    const from = this.#at + '</'.length
    this.#at = from + name.length + 1
    return this.#bytes[this.#at - 1] === GREATER && this.#says(name, from)
  }

  #text(name: string, from: number, to: number): string | undefined {
    const held = this.#texts.get(name)
    if (held?.length === to - from && this.#says(held, from)) return held
    const raw = this.#bytes.toString('utf8', from, to)
    if (raw.includes('\r') || OTHER_ENTITY.test(raw)) return undefined
    if (raw.includes('\n') && raw.trim() === '') return ''
    const text = raw.replace(/&(\w+);/g, (_, entity: string) => ENTITIES[entity] ?? '')
    // A character of its own for each byte: only so it can be compared byte by byte.
    if (text.length === to - from) this.#texts.set(name, text)
    return text
  }

  #says(text: string, from: number): boolean {
    for (let n = 0; n < text.length; n++) if (this.#bytes[from + n] !== text.charCodeAt(n)) return false
    return true
  }
}

function add(element: XmlElement, name: string, content: XmlContent): void {
  const held = element[name]
  if (held === undefined) element[name] = content
  else if (Array.isArray(held)) held.push(content)
  else element[name] = [held, content]
}
