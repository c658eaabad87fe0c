/** The tables that benches print: what was measured, beside what it should be. Pure. */

export interface Row {
  readonly measure: string
  /** What is asked of it, such as `<= 3`; empty for what is only told. */
  readonly goal: string
  readonly value: string
}

/** A part of the benches that can be run alone. */
export interface Section {
  /** The word that names it on the command line. */
  readonly name: string
  readonly about: string
  readonly run: (options: BenchOptions) => Promise<readonly Row[]>
}

export interface BenchOptions {
  /** Everything at its full length: an hour and more. */
  readonly full: boolean
  /** Told what is being done; long sections would look dead otherwise. */
  readonly tell: (line: string) => void
}

export function printTable(rows: readonly Row[]): string {
  const lines = rows.map(({ goal, measure, value }) => `| ${measure} | ${goal} | ${value} |`)
  return ['| measure | goal | measured |', '|---|---|---|', ...lines].join('\n')
}

/** @param seconds a goal in seconds, below which the values should lie */
export function quantileRow(measure: string, quantile: number, seconds: number, values: readonly number[]): Row {
  const name = `P${(quantile * 100).toFixed(1).replace('.0', '')}`
  return {
    measure: `${measure}, ${name}`,
    goal: `< ${seconds} s`,
    value: `${inSeconds(quantileOf(values, quantile))} (of ${values.length})`
  }
}

/** The smallest value that so many of all do not exceed; NaN of none. */
export function quantileOf(values: readonly number[], quantile: number): number {
  const sorted = [...values].sort((one, other) => one - other)
  return sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? NaN
}

export const inSeconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(2)} s`

export const inMegabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
