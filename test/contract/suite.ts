/** Runs cases on a target, and compares the outcome with the list of known differences. */
import type { Capability, Case, Subject, Topic } from './case.ts'
import { Difference, normalize } from './case.ts'

export type Result =
  | { readonly kind: 'passed' }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'not applicable'; readonly lacking: readonly Capability[] }

export interface Outcome {
  readonly name: string
  readonly result: Result
}

/** An EC2 that the suite can be run on. */
export interface Target {
  readonly name: string
  readonly capabilities: ReadonlySet<Capability>
  /** Runs with a subject whose groups, clients and settings are gone afterwards, also when `run` throws. */
  readonly withSubject: (run: (subject: Subject) => Promise<void>) => Promise<void>
}

/**
 * One case after another.
 * @param until the case that runs when it aborts, and those that are left, are not in the answer
 * @param tell each outcome as it comes
 */
export async function runSuite(
  target: Target,
  cases: readonly Case[],
  { until, tell = () => undefined }: { until?: AbortSignal; tell?: (outcome: Outcome) => void } = {}
): Promise<readonly Outcome[]> {
  const outcomes: Outcome[] = []
  for (const each of cases) {
    if (isAborted(until)) break
    const outcome = { name: each.name, result: await runCase(target, each) }
    // It was cut short, and tells nothing.
    if (isAborted(until)) break
    tell(outcome)
    outcomes.push(outcome)
  }
  return outcomes
}

const isAborted = (signal: AbortSignal | undefined): boolean => signal?.aborted === true

async function runCase(target: Target, { needs = [], run }: Case): Promise<Result> {
  const lacking = needs.filter((capability) => !target.capabilities.has(capability))
  if (lacking.length > 0) return { kind: 'not applicable', lacking }
  try {
    await target.withSubject(run)
    return { kind: 'passed' }
  } catch (error) {
    return { kind: 'failed', why: explain(error) }
  }
}

function explain(error: unknown): string {
  if (error instanceof Difference) return error.message
  if (!(error instanceof Error)) return normalize(String(error))
  const { $metadata } = error as { readonly $metadata?: { readonly httpStatusCode?: number } }
  const status = $metadata?.httpStatusCode
  return normalize(
    `${error.name}${status === undefined ? '' : ` (HTTP ${String(status)})`}: ${error.message.split('\n')[0] ?? ''}`
  )
}

/** By the name of the case, how the target differs from EC2. */
export type KnownDifferences = Readonly<Record<string, string>>

/** One sentence for each difference that is new, changed, gone, or of a case that there is not. */
export function unexpected(outcomes: readonly Outcome[], known: KnownDifferences): readonly string[] {
  const found = outcomes.flatMap(({ name, result }) => {
    const listed = Object.hasOwn(known, name) ? known[name] : undefined
    if (result.kind === 'failed') {
      if (listed === undefined) return [`${name}: ${result.why}`]
      return listed === result.why ? [] : [`${name}: ${result.why} (but it is known for: ${listed})`]
    }
    return listed === undefined
      ? []
      : [`${name}: a known difference is gone; it ${result.kind === 'passed' ? 'passed' : 'is not applicable'}`]
  })
  const names = new Set(outcomes.map(({ name }) => name))
  return [
    ...found,
    ...Object.keys(known)
      .filter((name) => !names.has(name))
      .map((name) => `${name}: a known difference of a case that there is not`)
  ]
}

export interface Counts {
  readonly passed: number
  readonly failed: number
  readonly notApplicable: number
}

export const count = (outcomes: readonly Outcome[]): Counts => {
  const of = (kind: Result['kind']): number => outcomes.filter(({ result }) => result.kind === kind).length
  return { passed: of('passed'), failed: of('failed'), notApplicable: of('not applicable') }
}

export const casesOf = (topics: readonly Topic[]): readonly Case[] => topics.flatMap(({ cases }) => cases)
