import t from 'tap'
import { afterAnswer, leaveOf, WITHDRAWN_AFTER } from './standing.ts'

t.test('a permission is withdrawn by two denials far enough apart, and comes back at once', async (t) => {
  let standing = afterAnswer(undefined, true, 0)
  t.equal(leaveOf(standing), 'granted')
  standing = afterAnswer(standing, false, 1000)
  t.equal(leaveOf(standing), 'keep')
  standing = afterAnswer(standing, false, 999 + WITHDRAWN_AFTER)
  t.equal(leaveOf(standing), 'keep')
  standing = afterAnswer(standing, false, 1000 + WITHDRAWN_AFTER)
  t.equal(leaveOf(standing), 'refused')
  t.equal(leaveOf(afterAnswer(standing, true, 2000 + WITHDRAWN_AFTER)), 'granted')
})
t.test('an unanswered question is no denial', async (t) => t.equal(leaveOf(undefined), 'unknown'))
