/** Processes that die or come back, on a real control plane: two workers, one lease, and an API server that restarts. */
import t from 'tap'
import { startBed } from '../../bed/bed.ts'
import { openYard, QUICK } from './pods.ts'

const bed = await startBed({ webhooks: 2, workers: 2, settings: { worker: QUICK } })
t.teardown(() => bed.stop())
const yard = await openYard(bed)
const HTTPS = 'tcp 443-443'

/** The worker that says that it leads. */
async function leader(): Promise<string> {
  let found = ''
  await yard.until('one worker to lead', async () => {
    const leading: string[] = []
    for (const name of ['worker-0', 'worker-1']) {
      const url = bed.env[`METRICS_${name.toUpperCase().replace('-', '_')}`] ?? ''
      const text = await fetch(url).then(
        (answer) => answer.text(),
        () => ''
      )
      if (/^leader_election_master_status\{[^}]*\} 1$/m.test(text)) leading.push(name)
    }
    found = leading[0] ?? ''
    return leading.length === 1
  })
  return found
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

t.test(
  'both workers are away: a pod that ends is held, one that comes waits, and both are served afterwards',
  async (t) => {
    const group = await yard.group()
    await yard.pod('ending', group)
    await yard.granted(group, [HTTPS], 'ending')
    for (const name of ['worker-0', 'worker-1']) await bed.ctl('kill', name)
    await yard.delete('ending')
    await yard.pod('coming', group, { ports: 'tcp:80' })
    await yard.addresses('coming')
    await yard.until('its containers have ended', async () => (await yard.get('ending'))?.status?.phase === 'Succeeded')
    t.equal((await yard.rules(group)).length, (await yard.addresses('ending')).length)
    for (const name of ['worker-0', 'worker-1']) await bed.ctl('start', name)
    await yard.granted(group, ['tcp 80-80'], 'coming')
    await yard.gone('ending')
    await yard.delete('coming')
    await yard.empty(group)
  }
)
