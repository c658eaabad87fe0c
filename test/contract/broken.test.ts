/** A simulator that is broken on purpose, one behaviour at a time: the suite must tell, by these cases and no others. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import type { Test } from 'tap'
import { casesOf, runSuite } from './suite.ts'
import { simulatorAt } from './targets/simulator.ts'
import { TOPICS } from './topics.ts'

const ROOT = join(import.meta.dirname, '../..')

interface Breakage {
  readonly what: string
  readonly file: string
  readonly right: string
  readonly wrong: string
  readonly caughtBy: readonly string[]
}

const BREAKAGES: readonly Breakage[] = [
  {
    what: 'Authorize stops at a duplicate, and what came before it stays',
    file: 'actions/authorizeIngress.ts',
    right: '  checkDuplicates(call, group, permissions)\n',
    wrong: `
      for (const [i, permission] of permissions.entries()) {
        try {
          checkDuplicates(call, group, [permission])
        } catch (error) {
          const rest = { groupId: group.groupId, isEgress: false, tags: new Map() }
          for (const earlier of permissions.slice(0, i))
            call.store.putRule({ ...earlier, ...rest, ruleId: 'sgr-0' + call.hex(), sequence: call.store.nextSequence() }, call.now)
          throw error
        }
      }
    `,
    caughtBy: ['a duplicate as the last of a call leaves nothing of the call behind']
  },
  {
    what: 'Revoke by id takes what it knows and passes over the rest',
    file: 'actions/revokeIngress.ts',
    right:
      '    if (rule?.groupId !== group.groupId || rule.isEgress) throw ruleNotFound(ruleId)\n    return rule\n  })\n',
    wrong: '    return rule\n  }).filter((rule) => rule !== undefined)\n',
    caughtBy: [
      'an unknown id as the first of a call refuses it, and nothing is revoked',
      'an unknown id as the last of a call refuses it, and nothing is revoked',
      "the id of another group's rule refuses a revoke",
      'a rule that was revoked cannot be revoked again by its id',
      'an internal error after a Revoke that took effect: its repetition finds no rule',
      'a lost answer after a Revoke that took effect: its repetition finds no rule'
    ]
  },
  {
    what: 'the description is a part of what makes a rule',
    file: 'state/rule.ts',
    right: '-${String(toPort)} ${source.value}`\n}',
    wrong: '-${String(toPort)} ${source.value} ${permission.description}`\n}',
    caughtBy: [
      'a description is no part of what makes a rule',
      'a rule that comes twice with two descriptions is refused',
      'a revoke by permission needs no description'
    ]
  },
  {
    what: 'a page forgets that there are more',
    file: 'state/pages.ts',
    right: 'last !== undefined && page.length < left.length ?',
    wrong: 'last !== undefined && page.length < 0 ?',
    caughtBy: [
      'rules come in pages of at most MaxResults, each once, until there is no token',
      'groups come in pages of at most MaxResults, each once, until there is no token'
    ]
  }
]

/** A copy of the simulator with one text replaced, listening. */
async function startBroken(t: Test, { file, right, wrong }: Breakage): Promise<string> {
  const folder = t.testdir({})
  await mkdir(join(folder, 'bed'))
  const withoutClients = (path: string): boolean => basename(path) !== 'clients'
  await cp(join(ROOT, 'bed/ec2'), join(folder, 'bed/ec2'), { recursive: true, filter: withoutClients })
  await cp(join(ROOT, 'shared'), join(folder, 'shared'), { recursive: true })
  await cp(join(ROOT, 'package.json'), join(folder, 'package.json'))
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
  const path = join(folder, 'bed/ec2', file)
  const parts = (await readFile(path, 'utf8')).split(right)
  t.equal(parts.length, 2, `${file} has what is to be broken, once`)
  await writeFile(path, parts.join(wrong))
  const child = spawn(process.execPath, [join(folder, 'bed/ec2/main.ts')], {
    env: {},
    stdio: ['ignore', 'pipe', 'inherit']
  })
  t.teardown(async () => {
    const exited = once(child, 'exit')
    child.kill('SIGKILL')
    await exited
  })
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string]
  return `http://127.0.0.1:${String((JSON.parse(line) as { port: number }).port)}`
}

for (const breakage of BREAKAGES) {
  t.test(breakage.what, async (t) => {
    const outcomes = await runSuite(simulatorAt(await startBroken(t, breakage)), casesOf(TOPICS))
    const failed = outcomes.filter(({ result }) => result.kind === 'failed').map(({ name }) => name)
    t.strictSame(failed, breakage.caughtBy)
  })
}
