/**
 * What any webhook in Node costs: a node:https server that reads and parses the body and answers a constant; for an API
 * server, which looks at both, with the uid of the review and a patch that fits. A process of its own; the PEM texts come in the
 * environment, and the port goes out on stdout.
 */
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'

const { BARE_CERT: cert, BARE_KEY: key, BARE_FOR: prefix } = process.env
const patch = Buffer.from(
  '[{"op":"add","path":"/metadata/finalizers","value":["sg.amazonaws.com/revoke-rules"]},{"op":"add","path":"/metadata/labels/sg.amazonaws.com~1managed","value":"true"}]'
).toString('base64')
const response = { uid: 'b6a1f0de-3c1f-4c55-9f6b-5d9f1f0c8e11', allowed: true, patchType: 'JSONPatch', patch }
const answer = JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response })
const headers = { 'content-type': 'application/json; charset=utf-8', 'content-length': Buffer.byteLength(answer) }

/** As ours answers pods of that prefix which have neither finalizers nor labels. */
function answerFor(prefix: string, path: string, uid: string): string {
  const operations = [
    { op: 'add', path: '/metadata/finalizers', value: [`${prefix}/revoke-rules`] },
    { op: 'add', path: '/metadata/labels', value: { [`${prefix}/managed`]: 'true' } }
  ]
  const patch = { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(operations)).toString('base64') }
  const answer = { ...response, patch: undefined, patchType: undefined, uid }
  const whole = path.startsWith('/mutate') ? { ...answer, ...patch } : answer
  return JSON.stringify({ apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: whole })
}

const server = createServer({ cert, key, minVersion: 'TLSv1.2', keepAliveTimeout: 120_000 }, (incoming, outgoing) => {
  const pieces: Buffer[] = []
  incoming.on('data', (piece: Buffer) => pieces.push(piece))
  incoming.on('end', () => {
    const review = JSON.parse(Buffer.concat(pieces).toString()) as { request: { uid: string } }
    if (prefix === undefined) outgoing.writeHead(200, headers).end(answer)
    else outgoing.end(answerFor(prefix, incoming.url ?? '', review.request.uid))
  })
})
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: (server.address() as AddressInfo).port })))
