import { createServer } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { reservePorts } from './ports.ts'

t.test('no two beds are given the same port, nor one that is taken', async (t) => {
  const blocks = await Promise.all([1, 2, 3, 4].map(() => reservePorts()))
  const ports: number[] = []
  for (const block of blocks) ports.push(...(await Promise.all(Array.from({ length: 10 }, () => block.next()))))
  t.equal(new Set(ports).size, 40)

  const taken = createServer().listen(Math.max(...ports) + 1, '127.0.0.1')
  await once(taken, 'listening')
  const block = blocks.find((each) => ports.lastIndexOf(Math.max(...ports)) < 10 * (blocks.indexOf(each) + 1))!
  t.equal(await block.next(), Math.max(...ports) + 2)
  taken.close()
  for (const each of blocks) each.close()
})

t.test('a block that is used up says so', async (t) => {
  const block = await reservePorts()
  t.teardown(() => block.close())
  const all = async (): Promise<void> => {
    for (let i = 0; i < 100; i++) await block.next()
  }
  await t.rejects(all(), { message: /ports from \d+ on are all taken/ })
})
