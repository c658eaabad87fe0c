/** Runs kubectl. */
import { execFile } from 'node:child_process'

export interface Answer {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs the program file `kubectl` as the user of `kubeconfig`, unless `args` name another --kubeconfig. */
export function runKubectl(
  { kubectl, kubeconfig }: { readonly kubectl: string; readonly kubeconfig: string },
  args: readonly string[],
  input = ''
): Promise<Answer> {
  return new Promise((resolve) => {
    // Without a HOME it keeps its discovery cache to itself.
    const options = { env: { KUBECONFIG: kubeconfig, HOME: '/nonexistent' }, maxBuffer: 64 << 20 }
    const child = execFile(kubectl, [...args], options, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
      resolve({ code, stdout, stderr: stderr === '' && error !== null ? error.message : stderr })
    })
    // It may end without reading what it is given; its own words then say why.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input)
  })
}

/** kubectl apply of YAML text or objects. @throws Error with what kubectl said */
export async function applyBy(
  as: { readonly kubectl: string; readonly kubeconfig: string },
  what: unknown,
  ...flags: readonly string[]
): Promise<string> {
  const whole = Array.isArray(what) ? { apiVersion: 'v1', kind: 'List', items: what as unknown[] } : what
  const text = typeof whole === 'string' ? whole : JSON.stringify(whole)
  const answer = await runKubectl(as, ['apply', ...flags, '-f', '-'], text)
  if (answer.code !== 0) throw new Error(`kubectl apply ${flags.join(' ')} failed: ${answer.stdout}${answer.stderr}`)
  return answer.stdout
}
