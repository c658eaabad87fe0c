/** Mutating webhooks of somebody else, before and after ours. */
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import type { Bed, KubeObject } from '../../bed/bed.ts'
import { selfSigned } from '../../webhook/tlsFixture.ts'

export interface OtherWebhook {
  /** Has pods with the label `other: <name>` changed by a JSON patch, before our webhook or after it. */
  readonly change: (
    name: string,
    when: 'before' | 'after',
    patch: (pod: KubeObject) => readonly object[]
  ) => Promise<void>
  readonly close: () => Promise<void>
}

interface Review {
  readonly request: { readonly uid: string; readonly object: KubeObject }
}

/** Serves on a port of localhost. Configurations are called in the order of their names, and ours is `kube-sg`. */
export async function serveOther(bed: Bed): Promise<OtherWebhook> {
  const { cert, key } = await selfSigned('localhost')
  const patches = new Map<string, (pod: KubeObject) => readonly object[]>()
  const server = createServer({ cert, key }, (request, response) => {
    void json(request).then((body) => {
      const { uid, object } = (body as Review).request
      const patch = patches.get(new URL(request.url ?? '', 'https://localhost').pathname)?.(object) ?? []
      const encoded = { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }
      const answer = { uid, allowed: true, ...(patch.length === 0 ? {} : encoded) }
      const review = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer }
      response.setHeader('content-type', 'application/json').end(JSON.stringify(review))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    async change(name, when, patch) {
      patches.set(`/${name}`, patch)
      await bed.apply({
        apiVersion: 'admissionregistration.k8s.io/v1',
        kind: 'MutatingWebhookConfiguration',
        metadata: { name: `${when === 'before' ? 'a' : 'z'}-${name}` },
        webhooks: [
          {
            name: `${name}.example.com`,
            admissionReviewVersions: ['v1'],
            sideEffects: 'None',
            clientConfig: { url: `https://localhost:${port}/${name}`, caBundle: Buffer.from(cert).toString('base64') },
            rules: [{ apiGroups: [''], apiVersions: ['v1'], resources: ['pods'], operations: ['CREATE'] }],
            objectSelector: { matchLabels: { other: name } }
          }
        ]
      })
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}
