import fc from 'fast-check'
import t from 'tap'
import type { SecurityGroupId } from '../shared/rules.ts'
import { createFindings } from './findings.ts'
import { IN_EFFECT } from './outcomes.ts'
import type { Outcome } from './outcomes.ts'

const groups = ['sg-00000001', 'sg-00000002', 'sg-00000003'] as SecurityGroupId[]
const uids = ['a', 'b', 'c']
const waiting: Outcome = { inEffect: false, reason: 'Throttled', message: 'number 1' }
const outcome = fc.constantFrom(undefined, IN_EFFECT, waiting, { ...waiting, message: 'number 2' })
const step = fc.oneof(
  fc.record({ group: fc.constantFrom(...groups), outcomes: fc.tuple(outcome, outcome, outcome) }),
  fc.record({ gone: fc.constantFrom(...uids) })
)

t.test('each pod has of each group what was told of it last, and what changed is told', async () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const findings = createFindings()
      const model = new Map<string, Map<SecurityGroupId, Outcome>>(uids.map((uid) => [uid, new Map()]))
      const told = new Map<SecurityGroupId, Set<string>>()
      for (const one of steps) {
        if ('gone' in one) {
          findings.forget(one.gone)
          model.get(one.gone)?.clear()
        } else {
          const outcomes = new Map<string, Outcome>()
          uids.forEach((uid, index) => {
            const of = one.outcomes[index]
            if (of !== undefined) outcomes.set(uid, of)
          })
          const changed = new Set(findings.tell(one.group, outcomes, 0))
          for (const uid of uids) {
            const before = model.get(uid)?.get(one.group)
            const after = outcomes.get(uid)
            const known = told.get(one.group)?.has(uid) === true || after !== undefined
            if (changed.has(uid) !== (known && before?.message !== after?.message)) return false
            if (after === undefined) model.get(uid)?.delete(one.group)
            else model.get(uid)?.set(one.group, after)
          }
          told.set(one.group, new Set(outcomes.keys()))
        }
        for (const [uid, has] of model) {
          const found = [...(findings.of(uid).outcomes ?? [])].sort(([a], [b]) => (a < b ? -1 : 1))
          if (JSON.stringify(found) !== JSON.stringify([...has].sort(([a], [b]) => (a < b ? -1 : 1)))) return false
        }
        const counts = new Map<string, number>()
        for (const has of model.values())
          for (const { reason } of has.values()) counts.set(reason, (counts.get(reason) ?? 0) + 1)
        if (JSON.stringify([...counts].sort()) !== JSON.stringify([...findings.reasons()].sort())) return false
      }
      return true
    }),
    { numRuns: 500 }
  )
})
