/** Processes that die or come back, on a real control plane: two workers, one lease, and an API server that restarts. */
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import { openYard, QUICK } from './pods.ts'
import { RESTARTS } from './rows/restarts.ts'
import { playRows } from './scene.ts'
import { leaders } from './workers.ts'

// A busy machine takes its time; a test that waits in vain says for what.
t.setTimeout(900_000)
const bed = await startBed({ webhooks: 2, workers: 2, settings: { worker: { ...QUICK, MAX_HOLD: '10m' } } })
t.teardown(() => bed.stop())
const yard = await openYard(bed)
const HTTPS = 'tcp 443-443'

/** The worker that says that it leads. */
async function leader(): Promise<string> {
  let found: readonly string[] = []
  await yard.until('one worker to lead', async () => {
    found = await leaders(bed)
    return found.length === 1
  })
  return found[0] ?? ''
}

t.test('the leader is killed, and the other goes on where it stopped', async (t) => {
  const group = await yard.group()
  await yard.pod('before', group)
  await yard.granted(group, [HTTPS], 'before')
  const first = await leader()
  await bed.ctl('kill', first)
  await yard.delete('before')
  await yard.pod('after', group, { ports: 'tcp:80' })
  await yard.granted(group, ['tcp 80-80'], 'after')
  await yard.gone('before')
  t.not(await leader(), first)
  await bed.ctl('start', first)
  await yard.delete('after')
  await yard.empty(group)
})

t.test('the leader is stopped cleanly and hands over', async (t) => {
  const group = await yard.group()
  const first = await leader()
  await bed.ctl('stop', first)
  await yard.pod('handed', group)
  await yard.granted(group, [HTTPS], 'handed')
  t.not(await leader(), first)
  await bed.ctl('start', first)
  t.match(await bed.log(first), '"msg":"stopped"')
  await yard.delete('handed')
  await yard.empty(group)
})

t.test('a paused leader that wakes up ends, and has not written meanwhile', async (t) => {
  const group = await yard.group()
  const first = await leader()
  await bed.ctl('pause', first)
  await yard.pod('paused', group)
  await yard.granted(group, [HTTPS], 'paused')
  await bed.ctl('resume', first)
  await yard.until('it has noticed', async () => (await bed.log(first)).includes('lost the lease'))
  await yard.granted(group, [HTTPS], 'paused')
  await yard.delete('paused')
  await yard.empty(group)
  t.not(await leader(), undefined)
})

t.test('the API server restarts under everybody: pods that came and went meanwhile are served', async () => {
  const group = await yard.group()
  await yard.pod('old', group)
  await yard.granted(group, [HTTPS], 'old')
  await bed.ctl('kill', 'apiserver')
  await bed.ctl('start', 'apiserver')
  await yard.until('it admits pods', async () => {
    const answer = await bed.kubectl([
      'run',
      'young',
      '--image=example.com/app',
      `--annotations=sg.amazonaws.com/${group}=tcp:80`
    ])
    return answer.code === 0
  })
  await yard.delete('old')
  await yard.granted(group, ['tcp 80-80'], 'young')
  await yard.gone('old')
  await yard.delete('young')
  await yard.empty(group)
})

// One after the other: each takes the workers for itself.
void playRows(t, bed, RESTARTS)
