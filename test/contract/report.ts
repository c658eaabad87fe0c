/** What a run found, as text: for a terminal, and for docs/ec2.md. Pure. */
import type { Case, Topic } from './case.ts'
import type { Outcome } from './suite.ts'
import { casesOf, count } from './suite.ts'

/** Outcomes by the name of their target. */
export type Runs = ReadonlyMap<string, readonly Outcome[]>

/** `12 passed, 1 failed, 3 not applicable`; of a target that may be otherwise, `1 differ`. */
export function summarizeRun(outcomes: readonly Outcome[], failing: 'failed' | 'differ' = 'failed'): string {
  const { passed, failed, notApplicable } = count(outcomes)
  return `${String(passed)} passed, ${String(failed)} ${failing}, ${String(notApplicable)} not applicable`
}

/** One line, as it comes. */
export function renderOutcome({ name, result }: Outcome): string {
  const more =
    result.kind === 'failed'
      ? `: ${result.why}`
      : result.kind === 'not applicable'
        ? `: it lacks ${result.lacking.join(', ')}`
        : ''
  return `${result.kind.padEnd(16)}${name}${more}`
}

/** A line for each case, a column for each target, and what differs below its line. */
export function renderText(topics: readonly Topic[], runs: Runs): string {
  const targets = [...runs.keys()]
  const width = 16
  const lines = topics.flatMap(({ title, cases }) => [
    '',
    `${targets.map((name) => name.padEnd(width)).join('')}${title}`,
    ...cases.flatMap(({ name }) => {
      const found = targets.map((target) => outcomeOf(runs, target, name))
      const cells = found.map((outcome) => wordFor(outcome).padEnd(width)).join('')
      const whys = targets.flatMap((target, i) => detailsOf(target, found[i]))
      return [`${cells}${name}`, ...whys.map((why) => `${' '.repeat(width * targets.length)}  ${why}`)]
    })
  ])
  return [...lines, '', ...targets.map((name) => `${name}: ${summarizeRun(runs.get(name) ?? [], 'differ')}`)].join('\n')
}

const outcomeOf = (runs: Runs, target: string, name: string): Outcome | undefined =>
  runs.get(target)?.find((outcome) => outcome.name === name)

const wordFor = (outcome: Outcome | undefined): string =>
  outcome === undefined ? 'not run' : outcome.result.kind === 'failed' ? 'differs' : outcome.result.kind

function detailsOf(target: string, outcome: Outcome | undefined): readonly string[] {
  if (outcome?.result.kind === 'failed') return [`${target}: ${outcome.result.why}`]
  if (outcome?.result.kind === 'not applicable') return [`${target}: it lacks ${outcome.result.lacking.join(', ')}`]
  return []
}

const BEGIN = '<!-- written by `make contract-accept` -->'
const END = '<!-- end of what is written by `make contract-accept` -->'

/** The document with its generated part made anew. @throws Error when it has no such part */
export function renewDocument(document: string, topics: readonly Topic[], runs: Runs): string {
  const [begin, end] = [document.indexOf(BEGIN), document.indexOf(END)]
  if (begin < 0 || end < begin) throw new Error(`docs/ec2.md has no part between '${BEGIN}' and '${END}'`)
  return `${document.slice(0, begin + BEGIN.length)}\n\n${renderMarkdown(topics, runs)}\n\n${document.slice(end)}`
}

function renderMarkdown(topics: readonly Topic[], runs: Runs): string {
  const cases = casesOf(topics)
  return [
    '## What kube-sg relies on',
    '',
    '| kube-sg | because, of EC2 | said by |',
    '|---|---|---|',
    ...cases
      .filter(({ relied }) => relied !== undefined)
      .map((each) => `| ${escape(each.relied ?? '')} | ${escape(each.name)} | ${sourcesOf(each)} |`),
    '',
    '## What AWS does not document',
    '',
    'The suite holds these to what public trackers saw, or where nobody tells, to the answer that is safest to be wrong about. A real account must tell.',
    '',
    '| behaviour | seen |',
    '|---|---|',
    ...cases
      .filter(({ basis }) => basis === 'undocumented')
      .map((each) => `| ${escape(each.name)} | ${each.sources.map(link).join(', ') || 'nowhere'} |`),
    '',
    '## The cases',
    '',
    [...runs].map(([name, outcomes]) => `${name}: ${summarizeRun(outcomes, 'differ')}`).join('; ') + '.',
    ...topics.flatMap((topic) => ['', `### ${topic.title}`, '', ...renderTopic(topic, runs)])
  ].join('\n')
}

function renderTopic({ cases }: Topic, runs: Runs): readonly string[] {
  const targets = [...runs.keys()]
  return [
    `| case | said by | ${targets.join(' | ')} |`,
    `|---|---|${'---|'.repeat(targets.length)}`,
    ...cases.map((each) => {
      const cells = targets.map((target) => {
        const outcome = outcomeOf(runs, target, each.name)
        const why = outcome?.result.kind === 'failed' ? `: ${escape(outcome.result.why)}` : ''
        return `${wordFor(outcome)}${why}`
      })
      return `| ${escape(each.name)} | ${sourcesOf(each)} | ${cells.join(' | ')} |`
    })
  ]
}

const sourcesOf = ({ basis, sources }: Case): string =>
  basis === 'documented'
    ? sources.map(link).join(', ')
    : ['undocumented', ...(sources.length === 0 ? [] : [`seen: ${sources.map(link).join(', ')}`])].join('; ')

function link(source: string): string {
  if (!source.startsWith('https://')) return `\`${source}\``
  const issue = /^https:\/\/github\.com\/([^/]+\/[^/]+)\/issues\/(\d+)$/.exec(source)
  const page = source.slice(source.lastIndexOf('/') + 1).replace(/\.html$/, '')
  return `[${issue === null ? page : `${issue[1] ?? ''}#${issue[2] ?? ''}`}](${source})`
}

/** Case names hold what Markdown would read as its own. */
const escape = (text: string): string => text.replace(/[|<>*[\]]/g, (character) => `\\${character}`)
