/** Reads untrusted JSON: what has the wrong type is named by its path, what is absent or null is undefined. Pure. */

/** The body is not what an API server sends; whoever sent it is told which part. */
export class MalformedReview extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'MalformedReview'
  }
}

/** A place in a JSON document, perhaps with nothing there. */
export interface Place {
  readonly path: string
  readonly value: unknown
  at(key: string): Place
  string(): string | undefined
  /** `at(key).string()`, the most that is ever asked of a review. */
  text(key: string): string | undefined
  boolean(): boolean | undefined
  /** A map from string to string; empty when absent. */
  strings(): Readonly<Record<string, string>>
  /** Of a list of strings, or of objects that have one under the key; what has none is left out. Empty when absent. */
  texts(key?: string): readonly string[]
  /** Empty when absent. One at a time, as a list may have millions and each place takes more memory than its text. */
  list(): Iterable<Place>
}

/**
 * A review of 7 MiB that an API server sends has a tenth of them; so many empty ones take 30 MiB. More of them would take
 * thirty times the memory of their text, and seconds.
 */
export const MOST_CONTAINERS = 500_000

/** @throws MalformedReview when it is no JSON, or holds more objects and lists than {@link MOST_CONTAINERS} */
export function readJson(text: string): unknown {
  if (text.length > MOST_CONTAINERS && countBrackets(text) > MOST_CONTAINERS)
    throw new MalformedReview(`body must hold at most ${MOST_CONTAINERS} objects and lists`)
  try {
    return JSON.parse(text)
  } catch {
    throw new MalformedReview('body must be JSON')
  }
}

/** Those inside strings as well: as many as that are in no object. */
function countBrackets(text: string): number {
  let count = 0
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code === 0x5b || code === 0x7b) count++
  }
  return count
}

/** Methods throw MalformedReview when something of another type is there. */
export function look(value: unknown, path: string): Place {
  return new Spot(value, path, undefined)
}

const NO_TEXTS: readonly string[] = []

/** A class, and a path that is only put together when it is asked for: every review makes dozens of these. */
class Spot implements Place {
  readonly value: unknown
  private readonly key: string
  private readonly above: Spot | undefined

  constructor(value: unknown, key: string, above: Spot | undefined) {
    this.value = value ?? undefined
    this.key = key
    this.above = above
  }

  get path(): string {
    const above = this.above?.path ?? ''
    if (above === '') return this.key
    return this.key.startsWith('[') ? above + this.key : `${above}.${this.key}`
  }

  at(key: string): Place {
    const held = this.value
    if (held === undefined) return new Spot(undefined, key, this)
    if (!isRecord(held)) throw this.#expect('an object')
    return new Spot(Object.hasOwn(held, key) ? held[key] : undefined, key, this)
  }

  string(): string | undefined {
    const held = this.value
    if (held === undefined || typeof held === 'string') return held
    throw this.#expect('a string')
  }

  text(key: string): string | undefined {
    const held = this.value
    const found = isRecord(held) && Object.hasOwn(held, key) ? held[key] : undefined
    return typeof found === 'string' ? found : this.at(key).string()
  }

  boolean(): boolean | undefined {
    const held = this.value
    if (held === undefined || typeof held === 'boolean') return held
    throw this.#expect('true or false')
  }

  strings(): Readonly<Record<string, string>> {
    const held = this.value
    if (held === undefined) return {}
    if (!isRecord(held)) throw this.#expect('a map of strings')
    for (const key of Object.keys(held)) if (typeof held[key] !== 'string') throw this.#expect('a map of strings')
    return held as Record<string, string>
  }

  texts(key?: string): readonly string[] {
    const held = this.value
    if (held === undefined) return NO_TEXTS
    if (!Array.isArray(held)) throw this.#expect('a list')
    const found: string[] = []
    for (let index = 0; index < held.length; index++) {
      const item: unknown = held[index]
      const text = typeof item === 'string' && key === undefined ? item : this.#textOf(item, index, key)
      if (text !== undefined) found.push(text)
    }
    return found
  }

  #textOf(item: unknown, index: number, key: string | undefined): string | undefined {
    const place = new Spot(item, `[${index}]`, this)
    return key === undefined ? place.string() : place.text(key)
  }

  list(): Iterable<Place> {
    const held = this.value
    if (held === undefined) return []
    if (!Array.isArray(held)) throw this.#expect('a list')
    return this.#each(held)
  }

  *#each(items: readonly unknown[]): Generator<Place> {
    for (let index = 0; index < items.length; index++) yield new Spot(items[index], `[${index}]`, this)
  }

  #expect(type: string): MalformedReview {
    return new MalformedReview(`${this.path || 'body'} must be ${type}`)
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
