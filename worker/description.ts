/** The description that a rule carries, for people and as evidence of the pod it was made for. Pure. */
import { createHash } from 'node:crypto'

/** EC2 API reference, IpRange: at most 255 characters of `a-zA-Z0-9 ._-:/()#,@[]+=&;{}!$*`. */
const LONGEST = 255
const OUTSIDE_CHARSET = /[^a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]/g

/** What Kubernetes allows as the name of a namespace or pod. */
const DNS_NAME = /^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$/

/**
 * `<cluster>/<namespace>/<pod>`, the text of the 2018 kube-sg. A longer one is cut and ends in a hash of the whole, so that two
 * pods of one long prefix differ.
 */
export function describePod(clusterId: string, namespace: string, name: string): string {
  const whole = `${clusterId}/${namespace}/${name}`
  const legal = whole.replace(OUTSIDE_CHARSET, '_')
  if (legal.length <= LONGEST && legal === whole) return whole
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 16)
  return `${legal.slice(0, LONGEST - hash.length - 1)}#${hash}`
}

/** The pod that a description names in full; undefined when it was cut, or is not of this cluster. */
export function podDescribed(clusterId: string, description: string): { namespace: string; name: string } | undefined {
  const [cluster, namespace, name, ...rest] = description.split('/')
  if (cluster !== clusterId || namespace === undefined || name === undefined || rest.length > 0) return undefined
  // Whoever may edit descriptions can write anything there.
  if (!DNS_NAME.test(namespace) || !DNS_NAME.test(name)) return undefined
  return { namespace, name }
}
