/** How histories are drawn. */
import fc from 'fast-check'
import type { History } from './history.ts'
import type { Setting } from './setting.ts'
import { isTrouble, WEIGHTS } from './steps.ts'
import type { Step, StepName } from './steps.ts'

const setting: fc.Arbitrary<Setting> = fc.record({
  seed: fc.integer(),
  tight: fc.constantFrom(false, false, false, true),
  quota: fc.constantFrom(60, 60, 60, 5, 3),
  pageSize: fc.constantFrom(1000, 2, 1),
  rulesPerCall: fc.constantFrom(1000, 1000, 2, 1),
  watchDelay: fc.constantFrom(30, 5, 400, 3000),
  standby: fc.boolean()
})

const wait = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(10, 0, 50, 120) },
  { weight: 3, arbitrary: fc.integer({ min: 1, max: 2000 }) },
  { weight: 2, arbitrary: fc.constantFrom(5000, 12_000, 20_000, 150_000) }
)

function stepOf(isFit: (name: StepName) => boolean): fc.Arbitrary<Step> {
  const names = (Object.keys(WEIGHTS) as StepName[]).filter(isFit)
  return fc.record({
    do: fc.oneof(...names.map((name) => ({ weight: WEIGHTS[name], arbitrary: fc.constant(name) }))),
    which: fc.nat(59),
    how: fc.nat(119),
    wait
  })
}

const steps = (step: fc.Arbitrary<Step>): fc.Arbitrary<Step[]> =>
  fc.noBias(fc.array(step, { minLength: 1, maxLength: 100, size: 'max' }))

/** One in five is without trouble: there the bounds are seconds. */
export const history: fc.Arbitrary<History> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ setting, steps: steps(stepOf(() => true)) }) },
  {
    weight: 1,
    arbitrary: fc.record({ setting, steps: steps(stepOf((name) => !isTrouble(name))) })
  }
)
