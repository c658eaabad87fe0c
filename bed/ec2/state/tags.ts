/** Tags and their limits. Pure. https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html */
import { EC2Error, invalidValue } from './error.ts'
import type { Tags } from './rule.ts'

const TAGS_PER_RESOURCE = 50

export interface Tag {
  readonly key: string | undefined
  readonly value: string | undefined
}

/**
 * The tags of one call; a missing value is an empty one. Lengths count Unicode characters.
 * @throws EC2Error InvalidParameterValue or TagLimitExceeded
 */
export function readTags(tags: readonly Tag[]): Tags {
  const read = new Map<string, string>()
  for (const { key = '', value = '' } of tags) {
    if (key === '') throw invalidValue('Tag key cannot be null or empty.')
    if (key.toLowerCase().startsWith('aws:'))
      throw invalidValue("Tag keys starting with 'aws:' are reserved for internal use")
    if (countCharacters(key) > 128) throw invalidValue('Tag key exceeds the maximum length of 128 characters')
    if (countCharacters(value) > 256) throw invalidValue('Tag value exceeds the maximum length of 256 characters')
    if (read.has(key)) throw invalidValue(`Duplicate tag key '${key}' specified.`)
    read.set(key, value)
  }
  checkCount(read)
  return read
}

/** @throws EC2Error TagLimitExceeded */
export function mergeTags(present: Tags, added: Tags): Tags {
  const merged = new Map([...present, ...added])
  checkCount(merged)
  return merged
}

/**
 * Without any tag named, all go; a tag with a value goes only if it holds that value.
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteTags.html
 */
export function withoutTags(present: Tags, removed: readonly Tag[]): Tags {
  if (removed.length === 0) return new Map()
  const left = new Map(present)
  for (const { key = '', value } of removed) {
    if (value === undefined || left.get(key) === value) left.delete(key)
  }
  return left
}

function checkCount(tags: Tags): void {
  if (tags.size > TAGS_PER_RESOURCE)
    throw new EC2Error('TagLimitExceeded', 'The maximum number of Tags for a resource has been reached.')
}

/** Code points, not UTF-16 units. */
const countCharacters = (text: string): number => Array.from(text).length
