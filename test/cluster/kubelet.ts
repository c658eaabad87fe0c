/** What a kubelet writes of a pod, for the lives that KWOK does not play. The pods must ask KWOK to leave them alone: {@link BY_HAND}. */
import type { Pod, Yard } from './pods.ts'

/** Annotations with which KWOK neither starts the pod nor ends its containers. */
export const BY_HAND = {
  'pod-ready.stage.kwok.x-k8s.io/delay': '1h',
  'pod-complete.stage.kwok.x-k8s.io/delay': '1h',
  'pod-terminate.stage.kwok.x-k8s.io/delay': '1h'
}
/** KWOK starts the pod, and everything after that is done by hand. */
export const STARTED = {
  'pod-complete.stage.kwok.x-k8s.io/delay': '1h',
  'pod-terminate.stage.kwok.x-k8s.io/delay': '1h'
}

export interface Kubelet {
  /** The pod runs with these addresses, once the scheduler has bound it. */
  run(pod: string, addresses: readonly string[]): Promise<void>
  /** Its addresses are these from now on; none for a blank status. */
  address(pod: string, addresses: readonly string[]): Promise<void>
  /** The named containers have terminated, or all of them; the phase stays. */
  terminate(pod: string, containers?: readonly string[], finishedAt?: number): Promise<void>
  /** A terminal phase: nothing of it runs any more. */
  finish(pod: string, phase: 'Succeeded' | 'Failed', finishedAt?: number): Promise<void>
  /** A crashed container waits for its next start. */
  crash(pod: string): Promise<void>
  /** The kubelet's last word: the object goes, with grace 0 and for this uid alone. */
  remove(pod: string): Promise<void>
  status(pod: string, status: unknown): Promise<void>
}

const seconds = (at: number): string => new Date(at).toISOString().replace(/\.\d+Z/, 'Z')

export function kubeletOf(yard: Yard): Kubelet {
  const status = (pod: string, body: unknown): Promise<void> => yard.patch(pod, { status: body }, 'status')
  const containersOf = async (pod: string): Promise<readonly string[]> =>
    ((await yard.get(pod))?.spec?.containers ?? []).map(({ name }) => name)
  const ips = (addresses: readonly string[]): object =>
    addresses.length === 0
      ? { podIP: null, podIPs: null }
      : { podIP: addresses[0], podIPs: addresses.map((ip) => ({ ip })) }
  const container = (name: string, state: object): object => ({
    name,
    image: 'example.com/app',
    imageID: '',
    ready: 'running' in state,
    restartCount: 0,
    state
  })
  const terminated = (at: number, exitCode = 0): object => ({
    terminated: {
      exitCode,
      reason: exitCode === 0 ? 'Completed' : 'Error',
      startedAt: seconds(at),
      finishedAt: seconds(at)
    }
  })
  return {
    status,
    async run(pod, addresses) {
      let found: Pod | undefined
      await yard.until(`${pod} to be bound to a node`, async () => {
        found = await yard.get(pod)
        return found?.spec?.nodeName !== undefined
      })
      const startedAt = seconds(Date.now())
      const names = (found?.spec?.containers ?? []).map(({ name }) => name)
      await status(pod, {
        phase: 'Running',
        startTime: startedAt,
        ...ips(addresses),
        containerStatuses: names.map((name) => container(name, { running: { startedAt } }))
      })
    },
    address: (pod, addresses) => status(pod, ips(addresses)),
    // In the second of a deletion nobody could tell which came first.
    async terminate(pod, containers, finishedAt = Date.now() + 1000) {
      const names = await containersOf(pod)
      const startedAt = seconds(finishedAt)
      await status(pod, {
        containerStatuses: names.map((name) =>
          container(name, (containers ?? names).includes(name) ? terminated(finishedAt) : { running: { startedAt } })
        )
      })
    },
    async finish(pod, phase, finishedAt = Date.now()) {
      const names = await containersOf(pod)
      const state = terminated(finishedAt, phase === 'Failed' ? 1 : 0)
      await status(pod, { phase, containerStatuses: names.map((name) => container(name, state)) })
    },
    async crash(pod) {
      const waiting = { reason: 'CrashLoopBackOff', message: 'back-off 5m0s restarting failed container' }
      const names = await containersOf(pod)
      await status(pod, {
        containerStatuses: names.map((name) => ({
          ...container(name, { waiting }),
          restartCount: 7,
          lastState: terminated(Date.now(), 1)
        }))
      })
    },
    async remove(pod) {
      const { uid } = (await yard.get(pod))?.metadata ?? {}
      await yard.bed.api.call('DELETE', `/api/v1/namespaces/${yard.namespace}/pods/${pod}`, {
        gracePeriodSeconds: 0,
        preconditions: { uid }
      })
    }
  }
}
