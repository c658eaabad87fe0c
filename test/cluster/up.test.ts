/** `make up`, `bed/ctl` and `make down`, as a person uses them. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { attachToBed, eventually } from '../../bed/bed.ts'
import { lives, refTo } from '../../bed/lives.ts'

const ROOT = join(import.meta.dirname, '..', '..')
const BED = `t-${randomBytes(4).toString('hex')}`
const directory = join(ROOT, '.run', BED)

async function run(command: string, ...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(command, args, { cwd: ROOT, env: { ...process.env, BED } })
  return stdout
}
const main = (verb: string): Promise<string> => run(process.execPath, 'bed/main.ts', verb)
const ctl = (...args: string[]): Promise<string> => run('bed/ctl', ...args)
const shell = (script: string): Promise<string> => run('bash', '-ec', `source .run/${BED}/env\n${script}`)

t.teardown(async () => {
  await main('down')
  await rm(directory, { recursive: true, force: true })
})

t.test('up serves a pod with what the env file says, and tells so once more', async (t) => {
  t.match(await main('up'), new RegExp(`the bed '${BED}' is up after .*source .run/${BED}/env`, 's'))
  t.match(await main('up'), new RegExp(`the bed '${BED}' is up already`))
  const names = (await readFile(join(directory, 'env'), 'utf8')).matchAll(/^export (\w+)=/gm)
  t.same([...names].map(([, name]) => name), [
    'KUBECONFIG', 'AWS_REGION', 'AWS_DEFAULT_REGION', 'AWS_ENDPOINT_URL_EC2', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'CLUSTER_ID',
    'SECURITY_GROUP_ID', 'WEBHOOK_ADDR', 'METRICS_WEBHOOK_0', 'METRICS_WEBHOOK_1', 'METRICS_WORKER_0',
    'METRICS_WORKER_1', 'PATH'
  ]) // prettier-ignore
  await shell('kubectl run web --image=nginx --annotations="sg.amazonaws.com/$SECURITY_GROUP_ID=tcp:443"')
  const bed = await attachToBed(directory)
  t.teardown(() => bed.api.close())
  const group = bed.env.SECURITY_GROUP_ID ?? ''
  const rules = await eventually('the rules of both addresses', async () => {
    const found = await bed.rules(group)
    return found.length === 2 ? found : undefined
  })
  t.match(rules[0], { protocol: 'tcp', fromPort: 443, toPort: 443 })
  t.match(await shell('for url in $METRICS_WEBHOOK_0 $METRICS_WORKER_1; do curl -sf $url; done'), /kube_sg_/)
  await shell('kubectl delete pod web')
  t.same(await bed.rules(group), [], 'the pod went after its rules')
})

t.test('ctl lists the processes and does what it is told to one of them', async (t) => {
  const expected =
    'apiserver certs-job controller-manager ec2 etcd kwok scheduler webhook-0 webhook-1 worker-0 worker-1'
  const status = (await ctl('status')).trim().split('\n')
  t.equal(status.map((line) => line.split(' ')[0]).sort().join(' '), expected) // prettier-ignore
  t.ok(status.every((line) => /^\S+ +(running +pid \d+|done)$/.test(line)))

  const annotated =
    'kubectl run trial --image=x --dry-run=server --annotations="sg.amazonaws.com/$SECURITY_GROUP_ID=tcp:1"'
  await ctl('kill', 'webhook-0')
  await eventually('the balancer to lead past the killed replica', () => shell(annotated))
  await ctl('kill', 'webhook-1')
  await t.rejects(shell(annotated), /failed calling webhook/)
  await ctl('start', 'webhook-0')
  await eventually('the balancer to heed the replica', () => shell(annotated))
  await t.rejects(ctl('kill', 'webhook-7'), /there is no process webhook-7; there are /)
})

t.test('a changed Secret reaches the replicas that mount it', async (t) => {
  const patch = JSON.stringify({ stringData: { note: 'new generation' } })
  await shell(`kubectl -n kube-sg patch secret kube-sg-webhook-tls -p '${patch}'`)
  for (const replica of ['webhook-0', 'webhook-1']) {
    const file = join(directory, 'mounts', replica, 'tls', 'note')
    const text = await eventually('the note to be mounted', () => readFile(file, 'utf8'))
    t.equal(text, 'new generation')
  }
})

t.test('down ends everything, also when the supervisor was killed', async (t) => {
  const pids = (await ctl('status')).matchAll(/pid (\d+)/g)
  const refs = await Promise.all([...pids].map(([, pid]) => refTo(Number(pid))))
  const { pid } = JSON.parse(await readFile(join(directory, 'lock'), 'utf8')) as { pid: number }
  process.kill(pid, 'SIGKILL')
  t.match(await main('down'), new RegExp(`the supervisor of the bed '${BED}' had been killed`))
  t.same(await Promise.all(refs.map(lives)), refs.map(() => false)) // prettier-ignore
  t.match(await main('down'), new RegExp(`the bed '${BED}' was not running`))
})
