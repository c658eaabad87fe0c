/** Filters of the Describe actions. Pure. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html */
import { EC2Error, invalidValue } from './error.ts'
import type { Tags } from './rule.ts'

export interface Filter {
  readonly name: string
  readonly values: readonly string[]
}

/** What a filter looks at: the values that a resource has under the filter's name. */
export type Fields<T> = Readonly<Record<string, (item: T) => Iterable<string>>>

/** EC2's limit over all filters of one call (FilterLimitExceeded). */
const VALUES_PER_CALL = 200

/**
 * All filters must match, each by any of its values; `*` and `?` are wildcards, `\` escapes them; case counts.
 * `tag:<key>` and `tag-key` come from `tagsOf`; a kind without `tag-key` leaves it out of `fields`.
 * @throws EC2Error InvalidParameterValue for a filter that the action does not have, FilterLimitExceeded
 */
export function compileFilters<T>(
  filters: readonly Filter[],
  fields: Fields<T>,
  tagsOf: (item: T) => Tags
): (item: T) => boolean {
  const total = filters.reduce((sum, { values }) => sum + values.length, 0)
  if (total > VALUES_PER_CALL)
    throw new EC2Error('FilterLimitExceeded', 'The maximum number of filter values specified on a single call is 200')
  const tests = filters.map(({ name, values }) => {
    const read = fieldOf(name, fields, tagsOf)
    const matches = compileValues(values)
    return (item: T) => {
      for (const value of read(item)) if (matches(value)) return true
      return false
    }
  })
  return (item) => tests.every((test) => test(item))
}

/** The values of a filter when none of them is a wildcard, else undefined: what an index can answer. */
export function exactValues(filters: readonly Filter[], name: string): readonly string[] | undefined {
  const found = filters.find((filter) => filter.name === name)
  return found === undefined || found.values.some(isWildcard) ? undefined : found.values
}

export const isWildcard = (value: string): boolean => /[*?\\]/.test(value)

function fieldOf<T>(name: string, fields: Fields<T>, tagsOf: (item: T) => Tags): (item: T) => Iterable<string> {
  if (name.startsWith('tag:')) {
    const key = name.slice('tag:'.length)
    return (item) => {
      const value = tagsOf(item).get(key)
      return value === undefined ? [] : [value]
    }
  }
  const field = Object.hasOwn(fields, name) ? fields[name] : undefined
  if (field === undefined) throw invalidValue(`The filter '${name}' is invalid`)
  return field
}

function compileValues(values: readonly string[]): (value: string) => boolean {
  const exact = new Set(values.filter((value) => !isWildcard(value)))
  const patterns = values.filter(isWildcard).map(toPattern)
  return (value) => exact.has(value) || patterns.some((pattern) => pattern.test(value))
}

function toPattern(wildcard: string): RegExp {
  const source = wildcard.replace(/\\([\s\S])|([\s\S])/gu, (_, escaped?: string, plain?: string) => {
    if (escaped !== undefined) return literal(escaped)
    return plain === '*' ? '[\\s\\S]*' : plain === '?' ? '[\\s\\S]' : literal(plain ?? '')
  })
  return new RegExp(`^${source}$`, 'u')
}

const literal = (text: string): string => text.replace(/[\^$\\.*+?()[\]{}|/]/g, '\\$&')
