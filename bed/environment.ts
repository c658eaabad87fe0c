/** What a shell needs to work with a bed. Pure. */
import type { Settings } from './bedPlan.ts'

/** `export` lines for a POSIX shell; PATH is put before the shell's own. */
export function exportLines(environment: Settings, bin: string): string {
  const lines = Object.entries(environment).map(([name, value]) => `export ${name}=${quote(value)}`)
  return `${lines.join('\n')}\nexport PATH=${quote(bin)}:"$PATH"\n`
}

const quote = (value: string): string => `'${value.replaceAll("'", String.raw`'\''`)}'`

/** METRICS_WEBHOOK_0 and so on. */
export function metricsVariables(urls: ReadonlyMap<string, string>): Settings {
  return Object.fromEntries([...urls].map(([name, url]) => [`METRICS_${name.toUpperCase().replaceAll('-', '_')}`, url]))
}
