/** Starts a bed and says which processes it has; the test that runs this kills it. */
import { startBed } from '../../bed/bed.ts'

const bed = await startBed({ product: false, kwok: false })
console.log(JSON.stringify({ directory: bed.directory, processes: await bed.status() }))
setInterval(() => undefined, 1000)
