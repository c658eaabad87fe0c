/** The EC2 simulator as a process: PORT in, one JSON line out when it is ready, SIGTERM ends it. */
import { port, readConfig } from '../../shared/config.ts'
import { serveSimulator } from './serve.ts'

const config = readConfig(process.env, {
  PORT: { read: port, fallback: '0', meaning: 'the port on 127.0.0.1; 0 lets the system choose one' }
})

const server = await serveSimulator({
  port: config.PORT,
  onDefect: (error) => {
    console.error('the EC2 simulator met a defect of its own:', error)
  }
})

const stop = (): void => {
  server.close().catch((error: unknown) => {
    console.error('the EC2 simulator could not close its server:', error)
    process.exitCode = 1
  })
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)

console.log(JSON.stringify({ port: server.port, state: 'in memory: it survives nothing' }))
