/** How histories are drawn. */
import fc from 'fast-check'
import type { History } from './history.ts'
import type { Setting } from './setting.ts'
import { EDITING, isTrouble, WEIGHTS } from './steps.ts'
import type { Step, StepName } from './steps.ts'

const around = {
  seed: fc.integer(),
  tight: fc.constantFrom(false, false, false, true),
  pageSize: fc.constantFrom(1000, 2, 1),
  rulesPerCall: fc.constantFrom(1000, 1000, 2, 1),
  watchDelay: fc.constantFrom(30, 5, 400, 3000),
  standby: fc.boolean()
}
const setting: fc.Arbitrary<Setting> = fc.record({
  ...around,
  quota: fc.constantFrom(60, 60, 60, 5, 3),
  editing: fc.constant(false),
  mayModify: fc.constantFrom(true, true, true, true, true, true, true, false)
})
const editing: fc.Arbitrary<Setting> = fc.record({
  ...around,
  quota: fc.constantFrom(60, 4, 3, 2, 1),
  editing: fc.constant(true),
  mayModify: fc.constantFrom(true, true, false)
})

const wait = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(10, 0, 50, 120) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 2000 }) },
  { weight: 2, arbitrary: fc.constantFrom(5000, 12_000, 20_000, 150_000) }
)

function stepOf(weights: Readonly<Partial<Record<StepName, number>>>): fc.Arbitrary<Step> {
  const names = Object.entries(weights) as [StepName, number][]
  return fc.record({
    do: fc.oneof(...names.map(([name, weight]) => ({ weight, arbitrary: fc.constant(name) }))),
    which: fc.nat(59),
    how: fc.nat(119),
    wait
  })
}

const steps = (step: fc.Arbitrary<Step>): fc.Arbitrary<Step[]> =>
  fc.noBias(fc.array(step, { minLength: 1, maxLength: 100, size: 'max' }))

const UNTROUBLED = Object.fromEntries(Object.entries(WEIGHTS).filter(([name]) => !isTrouble(name as StepName)))

/** Of edits, in groups that are nearly full. */
export const edits: fc.Arbitrary<History> = fc.record({ setting: editing, steps: steps(stepOf(EDITING)) })

/** One in six is without trouble: there the bounds are seconds. One in six is of edits. */
export const history: fc.Arbitrary<History> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ setting, steps: steps(stepOf(WEIGHTS)) }) },
  { weight: 1, arbitrary: fc.record({ setting, steps: steps(stepOf(UNTROUBLED)) }) },
  { weight: 1, arbitrary: edits }
)
