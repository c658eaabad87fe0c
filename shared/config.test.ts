import t from 'tap'
import { cidrs, ConfigError, duration, integer, oneOf, port, readConfig, word } from './config.ts'

const SPEC = {
  NAME: { read: word, meaning: 'what it is called' },
  HOLD: { read: duration, fallback: '2m', meaning: 'how long' },
  PORT: { read: port, fallback: '8443', meaning: 'where' },
  MODE: { read: oneOf('on', 'off'), fallback: 'on', meaning: 'whether' },
  NETS: { read: cidrs, fallback: '10.0.0.0/8', meaning: 'which' }
}

t.test('reads what is set, and falls back where it is not, or is left empty as manifests do', async (t) => {
  const config = readConfig({ NAME: ' demo ', HOLD: '90s', PORT: '', NETS: '10.1.2.3/16, FD00::1/64' }, SPEC)
  t.same(config, { NAME: 'demo', HOLD: 90_000, PORT: 8443, MODE: 'on', NETS: ['10.1.0.0/16', 'fd00::/64'] })
})

t.test('names every bad setting at once, with what would be right', async (t) => {
  try {
    readConfig({ HOLD: '2 minutes', PORT: '70000', MODE: 'maybe', NETS: '10.0.0.0/33' }, SPEC)
    t.fail('it was accepted')
  } catch (error) {
    t.ok(error instanceof ConfigError)
    t.same((error as ConfigError).problems, [
      'NAME must be set: what it is called',
      "HOLD must be a duration such as 100ms, 60s, 2m or 1h, not '2 minutes': how long",
      "PORT must be a whole number from 0 to 65535, not '70000': where",
      "MODE must be one of on, off, not 'maybe': whether",
      "NETS must be a comma list of CIDRs such as 10.0.0.0/16,fd00::/64 ('10.0.0.0/33' is none), not '10.0.0.0/33': which"
    ])
    t.match((error as Error).message, '5 bad settings:\n- NAME')
  }
})

for (const [text, milliseconds] of [
  ['100ms', 100],
  ['60s', 60_000],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['0s', 0]
] as const) {
  t.test(`${text} is ${String(milliseconds)} ms`, async (t) => t.equal(duration(text), milliseconds))
}
for (const text of ['', '5', '-1s', '1.5s', '1d', '1s1s', ' 1s']) {
  t.test(`'${text}' is no duration`, async (t) => t.throws(() => duration(text)))
}
for (const text of ['', '-1', '1e3', '0x10', '1.0', '61', '٣']) {
  t.test(`'${text}' is no whole number from 1 to 60`, async (t) => t.throws(() => integer(1, 60)(text)))
}
