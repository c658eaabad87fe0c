import t from 'tap'
import { wrongRegion } from './settings.ts'

t.test('only Nodes that all are elsewhere prove a wrong Region', async (t) => {
  const cases: [string[], boolean][] = [
    [[], false],
    [['eu-west-1'], false],
    [['eu-west-1', 'us-east-1'], false],
    [['us-east-1'], true]
  ]
  for (const [regions, wrong] of cases)
    t.equal(wrongRegion('eu-west-1', new Set(regions)) !== undefined, wrong, regions.join())
  t.match(wrongRegion('eu-west-1', new Set(['us-east-1', 'mars-1'])), /'eu-west-1'.*mars-1, us-east-1/)
})
