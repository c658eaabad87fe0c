/** Reads tap's closing line. Pure. */
export interface Summary {
  readonly line: string
  readonly remark?: string
  readonly exitCode: number
}

// eslint-disable-next-line no-control-regex -- tap colours its output on a terminal
const COLOUR = /\u001b\[[0-9;]*m/g
const CLOSING = /^# \{ total: (\d+), pass: (\d+)(?:, fail: (\d+))?(?:, todo: (\d+))?(?:, skip: (\d+))? \}/gm

/** Skipped and unfinished tests count as failed: nothing that did not run may look green. */
export function summarize(output: string, tapExitCode: number): Summary {
  const closing = [...output.replace(COLOUR, '').matchAll(CLOSING)].at(-1)
  if (closing === undefined)
    return { line: '0 passed, 1 failed', remark: 'tap printed no closing line', exitCode: tapExitCode || 1 }
  const [passed, failed, todo, skipped] = closing.slice(2).map((text) => Number(text || 0))
  const bad = (failed ?? 0) + (todo ?? 0) + (skipped ?? 0)
  const line = `${String(passed)} passed, ${String(Math.max(bad, tapExitCode === 0 ? 0 : 1))} failed`
  const remark =
    bad === 0 && tapExitCode !== 0
      ? `tap ended with ${String(tapExitCode)} though no assertion failed: see above`
      : (todo ?? 0) + (skipped ?? 0) > 0
        ? 'skipped and todo tests count as failed'
        : undefined
  return { line, exitCode: bad > 0 ? tapExitCode || 1 : tapExitCode, ...(remark === undefined ? {} : { remark }) }
}

/** Whether a line of TAP is worth a reader's time: results of whole files, comments, and all that a failure says. */
export function createFilter(): (line: string) => boolean {
  let failing = false
  let indent = ''
  return (line) => {
    const result = /^(\s*)(not )?ok /.exec(line)
    if (result !== null) {
      indent = result[1] ?? ''
      failing = result[2] !== undefined
      return failing || indent === ''
    }
    // A failure's details are indented deeper than its own line.
    if (failing && line.startsWith(`${indent}  `)) return true
    failing = false
    return (line.startsWith('# ') && !/^# (Subtest|No coverage)/.test(line)) || line.startsWith('Bail out!')
  }
}
