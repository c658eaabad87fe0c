/** Stands before the simulator and keeps what it answers to EC2 calls, byte for byte. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answer {
  readonly action: string
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface Recorder {
  readonly endpoint: string
  readonly answers: readonly Answer[]
  close(): Promise<void>
}

/** @param endpoint of the simulator; what it cuts is cut here too */
export async function startRecorder(endpoint: string): Promise<Recorder> {
  const answers: Answer[] = []
  const forward = (incoming: IncomingMessage, response: ServerResponse, body: Buffer): void => {
    const outgoing = request(new URL(incoming.url ?? '/', endpoint), {
      method: incoming.method ?? 'POST',
      headers: incoming.headers,
      agent: false
    })
    outgoing.on('error', () => incoming.socket.destroy())
    outgoing.on('response', (upstream) => {
      void read(upstream).then((answer) => {
        const status = upstream.statusCode ?? 0
        if (incoming.url?.startsWith('/_sim/') !== true)
          answers.push({
            action: new URLSearchParams(body.toString('latin1')).get('Action') ?? '',
            status,
            headers: { 'x-amzn-requestid': String(upstream.headers['x-amzn-requestid']) },
            body: answer.toString('utf8')
          })
        response.writeHead(status, upstream.headers).end(answer)
      })
    })
    outgoing.end(body)
  }
  const server = createServer((incoming, response) => {
    void read(incoming).then((body) => forward(incoming, response, body))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    answers,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      })
  }
}

async function read(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of stream as AsyncIterable<Buffer>) chunks.push(chunk)
  return Buffer.concat(chunks)
}
