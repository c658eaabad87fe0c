/** How the demo is told: plain text, a block for each step, readable in a log. */
import { relative } from 'node:path'
import { eventually } from '../bed/bed.ts'
import type { Answer, Bed } from '../bed/bed.ts'

export interface Story {
  /** Begins a step. */
  step(title: string, why: string): void
  /** Runs kubectl and prints command, input and answer as a user would see them. */
  kubectl(args: readonly string[], input?: string): Promise<Answer>
  /** Runs kubectl without printing, for a check. @throws Error when it fails */
  ask(args: readonly string[]): Promise<string>
  /** Runs one of the bed's own commands and prints it. */
  ctl(...args: readonly string[]): Promise<void>
  /** Waits until EC2 holds just these rules in the group, and prints what it holds. */
  ec2Holds(what: string, isSo: (rules: readonly string[]) => boolean): Promise<void>
  say(text: string): void
  /** States what must be so. @throws Error when it is not */
  check(what: string, isSo: boolean): void
  /** Waits for it, within a generous limit. @throws Error */
  until(what: string, isSo: () => Promise<boolean>): Promise<void>
  readonly steps: number
}

/** Milliseconds that the slowest thing may take; a step that shows nothing by then has failed. */
const LIMIT = 60_000

export function tell(bed: Bed, groupId: string, root: string, print: (line: string) => void): Story {
  let steps = 0
  const indented = (text: string): void => {
    for (const line of text.trimEnd().split('\n')) print(`    ${line}`)
  }
  const holds = async (): Promise<string[]> => {
    const rules = await bed.rules(groupId)
    return rules
      .map((rule) => `${rule.protocol} ${portsOf(rule)} from ${rule.cidr}`.padEnd(40) + `  ${rule.description}`)
      .sort()
  }
  const until = async (what: string, isSo: () => Promise<boolean>): Promise<void> => {
    await eventually(what, async () => (await isSo()) || undefined, { within: LIMIT })
    print(`    ok: ${what}`)
  }
  return {
    get steps() {
      return steps
    },
    step(title, why) {
      steps += 1
      print('')
      print(`${String(steps)}. ${title}`)
      print(`   ${why}`)
    },
    async kubectl(args, input) {
      print(`  $ kubectl ${args.join(' ')}${input === undefined ? '' : ' <<EOF'}`)
      if (input !== undefined) indented(`${input.trimEnd()}\nEOF`)
      const answer = await bed.kubectl(args, input)
      indented(`${answer.stdout}${answer.stderr}` || '(no output)')
      return answer
    },
    async ask(args) {
      const answer = await bed.kubectl(args)
      if (answer.code !== 0) throw new Error(`kubectl ${args.join(' ')} failed: ${answer.stderr}`)
      return answer.stdout
    },
    async ctl(...args) {
      const program = `${root}/bed/ctl`
      print(`  $ ${relative(root, program)} ${args.join(' ')}`)
      await bed.ctl(args[0] as 'kill' | 'start', args[1] ?? '')
    },
    async ec2Holds(what, isSo) {
      let held: string[] = []
      await eventually(
        `EC2 to hold ${what}`,
        async () => {
          held = await holds()
          return isSo(held) || undefined
        },
        { within: LIMIT }
      )
      print(`  EC2 holds in ${groupId}:`)
      indented(held.length === 0 ? '(no rule)' : held.join('\n'))
      print(`    ok: ${what}`)
    },
    say: (text) => indented(text),
    check(what, isSo) {
      if (!isSo) throw new Error(`not so: ${what}`)
      print(`    ok: ${what}`)
    },
    until
  }
}

function portsOf({ fromPort, toPort }: { fromPort: number; toPort: number }): string {
  if (fromPort === -1) return 'all'
  return fromPort === toPort ? String(fromPort) : `${String(fromPort)}-${String(toPort)}`
}
