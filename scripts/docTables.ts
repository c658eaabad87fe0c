/** The tables of the docs that come from the code: between `<!-- NAME -->` and `<!-- end of NAME -->` stands what the code says. */
import { collectDefaultMetrics, Registry } from 'prom-client'
import { createMetrics as createWebhookMetrics } from '../webhook/metrics.ts'
import { createMetrics as createWorkerMetrics } from '../worker/metrics.ts'
import { BY_CODE, HANDLING } from '../worker/failures.ts'
import { REASONS } from '../worker/reasons.ts'
import type { ReasonMeaning } from '../worker/reasons.ts'

/** Each file with the tables that it holds, by name. */
export function docTables(): Readonly<Record<string, Readonly<Record<string, string>>>> {
  const common = new Registry()
  collectDefaultMetrics({ register: common })
  const commonNames = new Set(common.getMetricsAsArray().map(({ name }) => name))
  const own = (registry: Registry): string => metricsTable(registry, (name) => !commonNames.has(name))
  return {
    'docs/metrics.md': {
      'worker metrics': own(createWorkerMetrics().registry),
      'webhook metrics': own(createWebhookMetrics().registry),
      'process metrics': metricsTable(common, () => true)
    },
    'docs/worker.md': { reasons: reasonsTable(REASONS) },
    'docs/failures.md': { classes: failuresTable(), codes: codesTable() }
  }
}

/** The text with its tables as they should be. @throws Error when a table has no place in it, or a place has no table */
export function withTables(text: string, tables: Readonly<Record<string, string>>): string {
  const places = [...text.matchAll(/^<!-- (?!end of )(.+) -->$/gm)].map(([, name = '']) => name)
  const lost = places.filter((name) => tables[name] === undefined)
  if (lost.length > 0) throw new Error(`no table is made for ${lost.join(', ')}`)
  return Object.entries(tables).reduce((done, [name, table]) => {
    const [start, end] = [`<!-- ${name} -->\n`, `<!-- end of ${name} -->\n`]
    const [from, to] = [done.indexOf(start), done.indexOf(end)]
    if (from < 0 || to < from) throw new Error(`there is no place for the table '${name}': write ${start}${end}`)
    return `${done.slice(0, from + start.length)}\n${table}\n${done.slice(to)}`
  }, text)
}

/** What prom-client keeps of a metric beyond its types. */
interface Metric {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly labelNames?: readonly string[]
}

function metricsTable(registry: Registry, isMeant: (name: string) => boolean): string {
  const metrics = (registry.getMetricsAsArray() as unknown as Metric[]).filter(({ name }) => isMeant(name))
  return table(
    ['name', 'type', 'labels', 'meaning'],
    metrics
      .sort((one, other) => (one.name < other.name ? -1 : 1))
      .map(({ help, labelNames = [], name, type }) => [
        `\`${name}\``,
        type,
        labelNames.map((label) => `\`${label}\``).join(', '),
        help.replace(/\.$/, '')
      ])
  )
}

function failuresTable(): string {
  const seconds = (milliseconds: number): string => `${String(milliseconds / 1000)} s`
  return table(
    [
      'class',
      'when',
      'may have had its effect',
      'halves',
      'group is read again',
      'next try',
      'beside that',
      'reason on the pod'
    ],
    Object.entries(HANDLING).map(([kind, handling]) => [
      `\`${kind}\``,
      handling.when,
      handling.maybeApplied ? 'yes' : 'no',
      handling.bisect ? 'yes' : 'no',
      handling.observeAgain ? 'yes' : 'no',
      `${seconds(handling.retryAfter)}, at most ${seconds(handling.slowest)}`,
      handling.then,
      kind === 'notLeading' ? 'none' : `\`${handling.reason}\``
    ])
  )
}

function codesTable(): string {
  const kinds = [...new Set(Object.values(BY_CODE))]
  const codesOf = (kind: string): string =>
    Object.entries(BY_CODE)
      .filter(([, of]) => of === kind)
      .map(([code]) => `\`${code}\``)
      .join(', ')
  return table(
    ['class', 'codes'],
    kinds.map((kind) => [`\`${kind}\``, codesOf(kind)])
  )
}

const PARTIES: Readonly<Record<ReasonMeaning['party'], string>> = {
  nobody: '',
  pod: 'who wrote the pod',
  owner: 'an owner or administrator',
  itself: 'passes by itself'
}

function reasonsTable(reasons: Readonly<Record<string, ReasonMeaning>>): string {
  return table(
    ['reason', 'condition', 'Event', 'when', 'who ends it', 'what to do'],
    Object.entries(reasons).map(([reason, { party, remedy, status, type, when }]) => [
      `\`${reason}\``,
      status ?? 'none',
      type,
      when,
      PARTIES[party],
      remedy
    ])
  )
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |\n`
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('')
}
