/** Settings from the environment: every bad one is named at once, with what would be right. Pure. */
import { canonicalCidr } from './address.ts'

/** Reads one variable's text; throws an Error whose message continues "NAME must ". */
export type Reader<T> = (text: string) => T

/** One setting: how to read it, and what holds when it is not set. Without `fallback` it is required. */
export interface Setting<T> {
  readonly read: Reader<T>
  readonly fallback?: string
  readonly meaning: string
}

export type Spec = Readonly<Record<string, Setting<unknown>>>
export type Config<S extends Spec> = { readonly [K in keyof S]: S[K] extends Setting<infer T> ? T : never }

/** Thrown by {@link readConfig}; `problems` has one sentence for each bad variable. */
export class ConfigError extends Error {
  readonly problems: readonly string[]
  constructor(problems: readonly string[]) {
    super(`${String(problems.length)} bad setting${problems.length === 1 ? '' : 's'}:\n- ${problems.join('\n- ')}`)
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/**
 * Reads all settings of a process. An empty variable counts as not set, as Kubernetes manifests leave them.
 * @throws ConfigError naming every variable that is missing or malformed
 */
export function readConfig<S extends Spec>(
  environment: Readonly<Record<string, string | undefined>>,
  spec: S
): Config<S> {
  const values: Record<string, unknown> = {}
  const problems: string[] = []
  for (const [name, setting] of Object.entries(spec)) {
    const text = environment[name]?.trim()
    const effective = text === undefined || text === '' ? setting.fallback : text
    if (effective === undefined) {
      problems.push(`${name} must be set: ${setting.meaning}`)
      continue
    }
    try {
      values[name] = setting.read(effective)
    } catch (error) {
      problems.push(`${name} must ${(error as Error).message}, not '${effective}': ${setting.meaning}`)
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  return values as Config<S>
}

/** Any text without blanks inside. */
export const word: Reader<string> = (text) => {
  if (/\s/.test(text)) throw new Error('be one word')
  return text
}

export const path: Reader<string> = (text) => text

/** A whole number between the two, both included. */
export const integer =
  (least: number, most: number): Reader<number> =>
  (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : NaN
    if (!(value >= least && value <= most))
      throw new Error(`be a whole number from ${String(least)} to ${String(most)}`)
    return value
  }

/** A TCP port; 0 lets the system choose one. */
export const port: Reader<number> = integer(0, 65535)

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** A duration such as 100ms, 60s, 2m or 1h, as milliseconds. */
export const duration: Reader<number> = (text) => {
  const match = /^(\d{1,9})(ms|s|m|h)$/.exec(text)
  const unit = UNITS[match?.[2] ?? '']
  if (match === null || unit === undefined) throw new Error('be a duration such as 100ms, 60s, 2m or 1h')
  return Number(match[1]) * unit
}

/** One of the words. */
export const oneOf =
  <T extends string>(...words: readonly T[]): Reader<T> =>
  (text) => {
    const found = words.find((candidate) => candidate === text)
    if (found === undefined) throw new Error(`be one of ${words.join(', ')}`)
    return found
  }

/** A comma list of CIDRs, each canonical afterwards. */
export const cidrs: Reader<readonly string[]> = (text) =>
  text.split(',').map((item) => {
    const cidr = canonicalCidr(item.trim())
    if (cidr === undefined)
      throw new Error(`be a comma list of CIDRs such as 10.0.0.0/16,fd00::/64 ('${item.trim()}' is none)`)
    return cidr
  })

/** The settings that every process has. */
export const commonSpec = {
  LOG_LEVEL: {
    read: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'),
    fallback: 'info',
    meaning: 'the least severe log lines to write'
  },
  HEALTH_PORT: { read: port, fallback: '8081', meaning: 'the port of /livez, /readyz and /metrics over plain HTTP' },
  NAMESPACE: { read: word, fallback: 'kube-sg', meaning: 'the namespace that kube-sg runs in' }
} satisfies Spec

/** How strictly permission to use a group is kept; read by webhook and worker alike. */
export const PERMISSIONS = {
  read: oneOf('enforce', 'warn', 'off'),
  fallback: 'enforce',
  meaning: 'what to do when a service account may not use a security group'
} satisfies Setting<'enforce' | 'warn' | 'off'>

export const RULES_PER_GROUP = {
  read: integer(1, 1000),
  fallback: '60',
  meaning: "the EC2 quota 'inbound rules per security group', counted for IPv4 and IPv6 apart"
} satisfies Setting<number>
