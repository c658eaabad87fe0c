/** Typed reads of a Query request's parameters, such as `IpPermissions.1.IpRanges.2.CidrIp`. Pure. */
import { EC2Error, invalidValue, missingParameter } from '../state/error.ts'

/** One level of the request. Every read is remembered, so that what nobody read can be refused. */
export interface Parameters {
  text(name: string): string | undefined
  /** @throws EC2Error MissingParameter when absent or empty */
  required(name: string): string
  /** @throws EC2Error InvalidParameterValue when not a 32-bit integer */
  integer(name: string): number | undefined
  /** @throws EC2Error InvalidParameterValue when neither true nor false */
  boolean(name: string): boolean
  /** `Name.1`, `Name.2`, ...: in the order of their numbers; gaps do not matter. */
  texts(name: string): readonly string[]
  /** `Name.1.X`, `Name.2.X`, ... */
  structures(name: string): readonly Parameters[]
  /** `Name.X` */
  structure(name: string): Parameters | undefined
  /** The full name of a parameter that nobody read, if there is one. */
  unread(): string | undefined
}

interface Node {
  readonly path: string
  value: string | undefined
  read: boolean
  readonly children: Map<string, Node>
}

/** Deeper than any parameter of EC2's. */
const DEPTH_LIMIT = 8

/** @throws EC2Error InvalidParameterValue for a name too deep to be one */
export function createParameters(pairs: ReadonlyMap<string, string>): Parameters {
  const root = createNode('')
  for (const [name, value] of pairs) {
    const steps = name.split('.', DEPTH_LIMIT + 1)
    if (steps.length > DEPTH_LIMIT) throw unknownParameter(name.slice(0, 100))
    let node = root
    for (const step of steps) {
      const known = node.children.get(step)
      const child = known ?? createNode(node.path === '' ? step : `${node.path}.${step}`)
      if (known === undefined) node.children.set(step, child)
      node = child
    }
    node.value = value
  }
  return readerOf(root)
}

export const unknownParameter = (name: string): EC2Error =>
  new EC2Error('UnknownParameter', `The parameter ${name} is not recognized`)

const createNode = (path: string): Node => ({ path, value: undefined, read: false, children: new Map() })

function readerOf(node: Node): Parameters {
  const reader: Parameters = {
    text(name) {
      const child = node.children.get(name)
      if (child === undefined) return undefined
      child.read = true
      return child.value
    },
    required(name) {
      const value = reader.text(name)
      if (value === undefined || value === '') throw missingParameter(lowerFirst(name))
      return value
    },
    integer(name) {
      const value = reader.text(name)
      if (value === undefined) return undefined
      const number = /^-?\d{1,10}$/.test(value) ? Number(value) : NaN
      if (!(Math.abs(number) <= 2 ** 31 - 1)) throw invalidValue(`Invalid integer value '${value}' for ${name}`)
      return number
    },
    boolean(name) {
      const value = reader.text(name)
      if (value !== undefined && !/^(true|false)$/i.test(value))
        throw invalidValue(`Invalid value '${value}' for boolean parameter ${name}`)
      return value?.toLowerCase() === 'true'
    },
    texts: (name) =>
      numbered(node, name).map((child) => {
        child.read = true
        return child.value ?? ''
      }),
    structures: (name) => numbered(node, name).map(readerOf),
    structure(name) {
      const child = node.children.get(name)
      return child === undefined ? undefined : readerOf(child)
    },
    unread: () => firstUnread(node)
  }
  return reader
}

function numbered(node: Node, name: string): readonly Node[] {
  const list = node.children.get(name)
  if (list === undefined) return []
  // Some clients send `Name=` for an empty list.
  if (list.value === '') list.read = true
  return [...list.children]
    .filter(([step]) => /^[1-9]\d{0,6}$/.test(step))
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, child]) => child)
}

function firstUnread(node: Node): string | undefined {
  if (node.value !== undefined && !node.read) return node.path
  for (const child of node.children.values()) {
    const found = firstUnread(child)
    if (found !== undefined) return found
  }
  return undefined
}

const lowerFirst = (text: string): string => text.charAt(0).toLowerCase() + text.slice(1)
