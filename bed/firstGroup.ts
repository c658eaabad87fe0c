/** A security group that pods in the namespace default may use at once, and the proof that one would get it. */
import { eventually, type KubeApi } from './kubeApi.ts'
import { FINALIZER, optInTag, OPT_IN_VALUE, PERMISSION, PREFIX, WORKER_LEASE } from '../shared/names.ts'
import type { awsOf } from './ec2Process.ts'

/** Makes a group in the default VPC with the opt-in tag, through EC2's API. @returns its id */
export async function createFirstGroup(aws: ReturnType<typeof awsOf>, clusterId: string): Promise<string> {
  const { EC2Client, CreateSecurityGroupCommand } = await import('@aws-sdk/client-ec2')
  const client = new EC2Client({
    region: aws.AWS_REGION,
    endpoint: aws.AWS_ENDPOINT_URL_EC2,
    credentials: { accessKeyId: aws.AWS_ACCESS_KEY_ID, secretAccessKey: aws.AWS_SECRET_ACCESS_KEY }
  })
  try {
    const { GroupId } = await client.send(
      new CreateSecurityGroupCommand({
        GroupName: 'bed',
        Description: 'Ready-made on the bed',
        TagSpecifications: [
          { ResourceType: 'security-group', Tags: [{ Key: optInTag(clusterId), Value: OPT_IN_VALUE }] }
        ]
      })
    )
    if (GroupId === undefined) throw new Error('CreateSecurityGroup answered without a GroupId')
    return GroupId
  } finally {
    client.destroy()
  }
}

/** Lets the service account default of the namespace default use the group. */
export async function permitFirstGroup(api: KubeApi, groupId: string): Promise<void> {
  const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/default'
  const metadata = { name: 'bed-security-group', namespace: 'default' }
  const rule = {
    apiGroups: [PERMISSION.group],
    resources: [PERMISSION.resource],
    resourceNames: [groupId],
    verbs: [PERMISSION.verb]
  }
  await api.call('POST', `${rbac}/roles`, { metadata, rules: [rule] })
  await api.call('POST', `${rbac}/rolebindings`, {
    metadata,
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: metadata.name },
    subjects: [{ kind: 'ServiceAccount', name: 'default', namespace: 'default' }]
  })
}

/** Waits until the webhook stamps a pod for the group and a worker leads, so that the next pod is served. */
export async function awaitGrant(
  api: KubeApi,
  groupId: string,
  { leader, signal }: { leader: boolean; signal: AbortSignal }
): Promise<void> {
  const pod = {
    metadata: { name: 'bed-trial', annotations: { [PREFIX + groupId]: 'tcp:443' } },
    spec: { containers: [{ name: 'trial', image: 'trial' }] }
  }
  await eventually(
    'a pod with a security group to be admitted',
    async () => {
      const made = await api.call('POST', '/api/v1/namespaces/default/pods?dryRun=All', pod)
      return made.metadata?.finalizers?.includes(FINALIZER) === true ? true : undefined
    },
    { signal }
  )
  if (!leader) return
  await eventually(
    'a worker to take the lease',
    async () => {
      const lease = await api.call('GET', `/apis/coordination.k8s.io/v1/namespaces/kube-sg/leases/${WORKER_LEASE}`)
      const holder = (lease.spec as { holderIdentity?: string }).holderIdentity ?? ''
      return holder === '' ? undefined : true
    },
    { signal }
  )
}
