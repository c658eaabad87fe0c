/**
 * The whole product on an embedded cluster and EC2, told step by step. Exits 0 only if every step showed what it claims.
 * Everything that it starts ends with it.
 */
import { fileURLToPath } from 'node:url'
import { AuthorizeSecurityGroupIngressCommand, EC2Client, RevokeSecurityGroupIngressCommand } from '@aws-sdk/client-ec2'
import { startBed } from '../bed/bed.ts'
import type { Bed } from '../bed/bed.ts'
import { deployment, job, pod, threeMistakes } from './objects.ts'
import { tell } from './story.ts'
import type { Story } from './story.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '')
const print = (line: string): void => void process.stdout.write(`${line}\n`)

async function main(): Promise<void> {
  const startedAt = performance.now()
  print('Starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler, KWOK, an EC2 simulator, and kube-sg:')
  const bed = await startBed({ name: `demo-${String(process.pid)}`, progress: (line) => print(`  ${line}`) })
  try {
    const groupId = bed.env.SECURITY_GROUP_ID ?? ''
    print(
      `  ready after ${((performance.now() - startedAt) / 1000).toFixed(1)} s; the security group of this demo is ${groupId}`
    )
    const story = tell(bed, groupId, ROOT, print)
    const atStart = await snapshot(bed)
    for (const step of [mistakes, scaling, editing, finishing, killing, strangers]) await step(story, bed, groupId)
    await leaving(story, bed, groupId, atStart)
    print('')
    print(
      `All ${String(story.steps)} steps showed what they claim, in ${((performance.now() - startedAt) / 1000).toFixed(0)} s.`
    )
  } finally {
    await bed.stop()
  }
}

const count = (rules: readonly string[], part: string): number => rules.filter((rule) => rule.includes(part)).length

async function mistakes(story: Story, bed: Bed, groupId: string): Promise<void> {
  story.step(
    'Three mistakes in one annotation',
    'The API server refuses the pod, and the answer names every mistake at once.'
  )
  const answer = await story.kubectl(['apply', '-f', '-'], threeMistakes(groupId))
  story.check('the pod was refused', answer.code !== 0)
  for (const mistake of ['tpc', '5050-5000', 'tcp:0'])
    story.check(`'${mistake}' is named`, answer.stderr.includes(mistake))
  story.check('there is no pod', (await story.ask(['get', 'pods', '-o', 'name'])) === '')
  story.check('EC2 was not touched', (await bed.rules(groupId)).length === 0)
}

async function scaling(story: Story, _bed: Bed, groupId: string): Promise<void> {
  story.step(
    'A Deployment, scaled 2 -> 5 -> 1',
    'Each pod has its rules as soon as it has its IP, and no longer than that. Pods here have an IPv4 and an IPv6 address each.'
  )
  await story.kubectl(['apply', '-f', '-'], deployment(groupId))
  await story.kubectl([
    'wait',
    '--for=condition=sg.amazonaws.com/rules-in-effect',
    'pod',
    '--selector=app=api',
    '--timeout=60s'
  ])
  await story.ec2Holds(
    'two rules for each address of 2 pods',
    (rules) => rules.length === 8 && count(rules, 'tcp 443 ') === 4
  )
  await story.kubectl(['scale', 'deployment/api', '--replicas=5'])
  await story.ec2Holds(
    'two rules for each address of 5 pods',
    (rules) => rules.length === 20 && count(rules, 'tcp 5000-5050') === 10
  )
  await story.kubectl(['scale', 'deployment/api', '--replicas=1'])
  await story.ec2Holds('two rules for each address of the 1 pod that is left', (rules) => rules.length === 4)
  await story.until(
    'no pod object waits for us',
    async () => (await story.ask(['get', 'pods', '-o', 'name'])).trim().split('\n').length === 1
  )
  await story.kubectl(['get', 'pods', '-o', 'wide'])
}

async function editing(story: Story, _bed: Bed, groupId: string): Promise<void> {
  story.step(
    "An edit of a living pod's annotation",
    'What is new is authorized before what is old is revoked; the pod is not restarted.'
  )
  const name = (await story.ask(['get', 'pods', '-l', 'app=api', '-o', 'name'])).trim()
  const edited = await story.kubectl(['annotate', '--overwrite', name, `sg.amazonaws.com/${groupId}=tcp:8443,tcp:443`])
  story.check('the edit was accepted', edited.code === 0)
  await story.ec2Holds(
    'tcp 443 and tcp 8443, and 5000-5050 no more',
    (rules) => rules.length === 4 && count(rules, 'tcp 8443') === 2 && count(rules, 'tcp 443 ') === 2
  )
  const refused = await story.kubectl(['annotate', '--overwrite', name, `sg.amazonaws.com/${groupId}=tcp:70000`])
  story.check('a malformed edit was refused, and what was there stays', refused.code !== 0)
}

async function finishing(story: Story, _bed: Bed, groupId: string): Promise<void> {
  story.step(
    'A Job that completes',
    "Access ends with its work, though the pod object stays: its IP may already be another pod's."
  )
  await story.kubectl(['apply', '-f', '-'], job(groupId))
  await story.ec2Holds('the rule of the running Job', (rules) => count(rules, 'tcp 5432') === 2)
  await story.kubectl(['wait', '--for=condition=Complete', 'job/report', '--timeout=60s'])
  await story.ec2Holds('no rule of the Job any more', (rules) => count(rules, 'tcp 5432') === 0)
  const left = await story.kubectl(['get', 'pods', '-l', 'job-name=report', '-o', 'wide'])
  story.check('its pod object is still there', left.stdout.includes('Completed'))
  await story.until('our finalizer is off', async () => {
    const finalizers = await story.ask([
      'get',
      'pods',
      '-l',
      'job-name=report',
      '-o',
      'jsonpath={.items[*].metadata.finalizers}'
    ])
    return !finalizers.includes('sg.amazonaws.com')
  })
}

async function killing(story: Story, _bed: Bed, groupId: string): Promise<void> {
  story.step(
    'SIGKILL while a pod is deleted',
    'With no worker alive the finalizer keeps the pod object; a worker started later revokes the rule, then lets the object go.'
  )
  await story.kubectl(['apply', '-f', '-'], pod('victim', groupId, 'tcp:6379'))
  await story.ec2Holds('the rule of the pod', (rules) => count(rules, 'tcp 6379') === 2)
  for (const worker of ['worker-0', 'worker-1']) await story.ctl('kill', worker)
  await story.kubectl(['delete', 'pod', 'victim', '--wait=false'])
  await story.until('its containers have ended', async () =>
    ['Succeeded', 'Failed'].includes(await story.ask(['get', 'pod', 'victim', '-o', 'jsonpath={.status.phase}']))
  )
  const held = await story.kubectl([
    'get',
    'pod',
    'victim',
    '-o',
    'jsonpath={.metadata.deletionTimestamp}{"  "}{.metadata.finalizers}{"\\n"}'
  ])
  story.check('the pod is held by our finalizer', held.stdout.includes('sg.amazonaws.com/revoke-rules'))
  await story.ec2Holds('its rule still, for nobody could revoke it', (rules) => count(rules, 'tcp 6379') === 2)
  for (const worker of ['worker-0', 'worker-1']) await story.ctl('start', worker)
  await story.ec2Holds('its rule no more', (rules) => count(rules, 'tcp 6379') === 0)
  await story.until(
    'the pod object is gone',
    async () => !(await story.ask(['get', 'pods', '-o', 'name'])).includes('pod/victim')
  )
}

async function strangers(story: Story, bed: Bed, groupId: string): Promise<void> {
  story.step('A rule made by hand in the same group', 'What kube-sg did not make it neither changes nor revokes.')
  await byHand(bed, new AuthorizeSecurityGroupIngressCommand({ GroupId: groupId, IpPermissions: officePermission() }))
  story.say(
    `$ aws ec2 authorize-security-group-ingress --group-id ${groupId} --protocol tcp --port 22 --cidr ${OFFICE}`
  )
  await story.kubectl(['apply', '-f', '-'], pod('neighbour', groupId, 'tcp:22'))
  await story.ec2Holds('both', (rules) => count(rules, OFFICE) === 1 && count(rules, 'default/neighbour') === 2)
  await story.kubectl(['delete', 'pod', 'neighbour'])
  await story.ec2Holds(
    "the stranger's rule still",
    (rules) => count(rules, OFFICE) === 1 && count(rules, 'default/neighbour') === 0
  )
}

const OFFICE = '192.0.2.0/24'
const officePermission = () => [
  { IpProtocol: 'tcp', FromPort: 22, ToPort: 22, IpRanges: [{ CidrIp: OFFICE, Description: 'office, by hand' }] }
]

async function byHand(
  bed: Bed,
  command: AuthorizeSecurityGroupIngressCommand | RevokeSecurityGroupIngressCommand
): Promise<void> {
  const { AWS_ACCESS_KEY_ID = '', AWS_REGION = '', AWS_SECRET_ACCESS_KEY = '' } = bed.env
  const credentials = { accessKeyId: AWS_ACCESS_KEY_ID, secretAccessKey: AWS_SECRET_ACCESS_KEY }
  const ec2 = new EC2Client({ region: AWS_REGION, endpoint: bed.ec2Url, credentials })
  try {
    await (command instanceof AuthorizeSecurityGroupIngressCommand ? ec2.send(command) : ec2.send(command))
  } finally {
    ec2.destroy()
  }
}

async function leaving(story: Story, bed: Bed, groupId: string, atStart: string): Promise<void> {
  story.step(
    'Everything is deleted',
    'And whoever made the rule by hand takes it back: EC2 holds what it held at the start.'
  )
  await story.kubectl(['delete', 'deployment/api', 'job/report'])
  await story.until('no pod is left', async () => (await story.ask(['get', 'pods', '-o', 'name'])) === '')
  await story.ec2Holds("only the stranger's rule", (rules) => rules.length === 1 && count(rules, OFFICE) === 1)
  story.say(`$ aws ec2 revoke-security-group-ingress --group-id ${groupId} --protocol tcp --port 22 --cidr ${OFFICE}`)
  await byHand(bed, new RevokeSecurityGroupIngressCommand({ GroupId: groupId, IpPermissions: officePermission() }))
  story.check('every group holds what it held at the start', (await snapshot(bed)) === atStart)
}

/** Every group with its rules, to compare. */
async function snapshot(bed: Bed): Promise<string> {
  return JSON.stringify(await bed.groups())
}

main().catch((error: unknown) => {
  process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
