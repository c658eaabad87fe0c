import { spawnSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import t from 'tap'

t.test('each process is one file that runs alone, and names its bad settings at once', async (t) => {
  const folder = t.testdir({})
  const bundled = spawnSync(process.execPath, ['scripts/bundle.ts', folder], { encoding: 'utf8' })
  t.equal(bundled.status, 0, bundled.stderr)
  t.same(readdirSync(folder).sort(), ['certs-job.js', 'package.json', 'webhook.js', 'worker.js'])
  for (const component of ['webhook', 'worker', 'certs-job']) {
    t.equal(
      readFileSync(`${folder}/${component}.js`).findIndex((byte) => byte > 127),
      -1,
      `${component} is ASCII`
    )
    const env = { LOG_LEVEL: 'loud', HEALTH_PORT: 'x' }
    const { status, stderr, stdout } = spawnSync(process.execPath, [`${folder}/${component}.js`], {
      encoding: 'utf8',
      cwd: '/',
      env
    })
    t.equal(status, 1, component)
    t.equal(stdout, '', component)
    t.match(stderr, new RegExp(`^${component}: \\d bad settings:\\n`), component)
    t.match(
      stderr,
      "\n- LOG_LEVEL must be one of trace, debug, info, warn, error, fatal, silent, not 'loud': ",
      component
    )
    t.match(stderr, "\n- HEALTH_PORT must be a whole number from 0 to 65535, not 'x': ", component)
  }
})
