/** Ports that no other bed is given, below the range from which the kernel draws ports for everyone else. */
import { randomInt } from 'node:crypto'
import { createServer, type Server } from 'node:net'

const FIRST = 20_000
const BLOCK = 40
const BLOCKS = 300

export interface PortBlock {
  /** The next free port of the block. */
  next(): Promise<number>
  close(): void
}

/**
 * Reserves a block of ports for one bed. The block's first port is listened on for as long as the block is held: the
 * kernel itself keeps two beds apart, and frees the block of a bed that was killed.
 */
export async function reservePorts(): Promise<PortBlock> {
  const start = randomInt(BLOCKS)
  for (let i = 0; i < BLOCKS; i++) {
    const first = FIRST + ((start + i) % BLOCKS) * BLOCK
    const guard = await listenOn(first)
    if (guard !== undefined) return portsAfter(first, guard)
  }
  throw new Error(`no ${BLOCK} ports are free together between ${FIRST} and ${FIRST + BLOCK * BLOCKS}: end some beds`)
}

function portsAfter(first: number, guard: Server): PortBlock {
  guard.unref()
  guard.on('connection', (socket) => socket.destroy())
  let last = first
  return {
    async next() {
      while (last < first + BLOCK - 1) {
        const port = ++last
        const trial = await listenOn(port)
        if (trial === undefined) continue
        await new Promise((resolve) => trial.close(resolve))
        return port
      }
      throw new Error(`the ${BLOCK} ports from ${first} on are all taken: this bed has too many processes`)
    },
    close: () => guard.close()
  }
}

/** A server on the port, or undefined when another holds it. */
function listenOn(port: number): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' ? resolve(undefined) : reject(error)
    )
    server.listen(port, '127.0.0.1', () => resolve(server))
  })
}
