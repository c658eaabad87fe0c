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
  boolean(): boolean | undefined
  /** A map from string to string; empty when absent. */
  strings(): Readonly<Record<string, string>>
  /** Empty when absent. */
  list(): readonly Place[]
}

/** Methods throw MalformedReview when something of another type is there. */
export function look(value: unknown, path: string): Place {
  const held = value ?? undefined
  const expect = (type: string): MalformedReview => new MalformedReview(`${path || 'body'} must be ${type}`)
  return {
    path,
    value: held,
    at(key) {
      if (held === undefined) return look(undefined, join(path, key))
      if (!isRecord(held)) throw expect('an object')
      return look(Object.hasOwn(held, key) ? held[key] : undefined, join(path, key))
    },
    string() {
      if (held === undefined || typeof held === 'string') return held
      throw expect('a string')
    },
    boolean() {
      if (held === undefined || typeof held === 'boolean') return held
      throw expect('true or false')
    },
    strings() {
      if (held === undefined) return {}
      if (!isRecord(held) || !Object.values(held).every((item) => typeof item === 'string'))
        throw expect('a map of strings')
      return held as Record<string, string>
    },
    list() {
      if (held === undefined) return []
      if (!Array.isArray(held)) throw expect('a list')
      return held.map((item: unknown, index) => look(item, `${path}[${index}]`))
    }
  }
}

const join = (path: string, key: string): string => (path === '' ? key : `${path}.${key}`)

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
