import t from 'tap'
import { createCallLog } from './calls.ts'

const call = { startedAt: 0, endedAt: 0, action: 'A', groupId: '', rules: [], code: '', accessKey: '', fault: '' }

t.test('numbers go on when the oldest calls are forgotten', async (t) => {
  const log = createCallLog()
  for (let i = 0; i < 400_001; i++) log.append(call)
  t.strictSame(
    log.since(399_999).map(({ n }) => n),
    [400_000, 400_001]
  )
  t.equal(log.since(0)[0]?.n, 200_001)
  t.equal(log.since(0).length, 200_001)
  t.strictSame(log.since(400_001), [])
})
