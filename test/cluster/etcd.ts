/** etcd through its JSON gateway: forgetting the past, so that whoever wants to go on from there must list again. */
import type { Bed } from '../../bed/bed.ts'

/** Adds a revision of no meaning and compacts up to it: no watch can go on from before. @returns the revision */
export async function compact(bed: Bed): Promise<number> {
  const ask = async (path: string, body: unknown): Promise<{ header?: { revision?: string } }> => {
    const answer = await fetch(`${bed.etcdUrl}/v3/kv/${path}`, { method: 'POST', body: JSON.stringify(body) })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`etcd answered ${answer.status} to ${path}: ${text}`)
    return JSON.parse(text) as { header?: { revision?: string } }
  }
  const [key, value] = ['kube-sg-test/compaction', 'now'].map((word) => Buffer.from(word).toString('base64'))
  const revision = (await ask('put', { key, value })).header?.revision
  if (revision === undefined) throw new Error('etcd told no revision')
  await ask('compaction', { revision, physical: true })
  return Number(revision)
}
