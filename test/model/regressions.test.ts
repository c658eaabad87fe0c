/** Histories that once went wrong, of which no single life could be made. */
import t from 'tap'
import { live } from './history.ts'
import type { History } from './history.ts'

const HISTORIES: readonly (History & { readonly name: string })[] = [
  {
    name: 'a rule that is revoked apart from the run, while its heir is found served, is made anew at once',
    setting: {
      seed: -508591475,
      tight: false,
      quota: 60,
      pageSize: 1000,
      rulesPerCall: 2,
      watchDelay: 400,
      standby: false,
      editing: false,
      mayModify: true
    },
    steps: [
      { do: 'create', which: 0, how: 1, wait: 10 },
      { do: 'fail', which: 0, how: 0, wait: 0 },
      { do: 'create', which: 0, how: 0, wait: 10 },
      { do: 'run', which: 0, how: 0, wait: 0 },
      { do: 'create', which: 0, how: 82, wait: 0 },
      { do: 'blank', which: 0, how: 0, wait: 10 },
      { do: 'edit', which: 0, how: 44, wait: 150000 },
      { do: 'unblank', which: 0, how: 0, wait: 10 },
      { do: 'run', which: 0, how: 0, wait: 10 },
      { do: 'create', which: 0, how: 1, wait: 10 },
      { do: 'create', which: 0, how: 0, wait: 5000 },
      { do: 'delete', which: 2, how: 0, wait: 10 },
      { do: 'create', which: 0, how: 1, wait: 10 },
      { do: 'force', which: 35, how: 0, wait: 10 },
      { do: 'fail', which: 1, how: 0, wait: 1909 },
      { do: 'conflict', which: 0, how: 0, wait: 10 },
      { do: 'delete', which: 0, how: 0, wait: 0 },
      { do: 'edit', which: 0, how: 0, wait: 10 },
      { do: 'create', which: 0, how: 76, wait: 20000 },
      { do: 'delete', which: 1, how: 0, wait: 5000 },
      { do: 'create', which: 0, how: 0, wait: 150000 },
      { do: 'edit', which: 1, how: 51, wait: 10 },
      { do: 'drained', which: 0, how: 0, wait: 120 },
      { do: 'run', which: 0, how: 0, wait: 10 }
    ]
  }
]

for (const { name, ...history } of HISTORIES)
  t.test(name, async (t) => {
    const told = await live(history)
    t.same(told.wrongs, [])
    t.ok(told.length > 10)
  })
