import t from 'tap'
import { look, MalformedReview, MOST_CONTAINERS, readJson } from './json.ts'

t.test('absent, null and there', async (t) => {
  const place = look({ a: { b: 'x' }, n: null, list: ['y', null] }, '')
  t.equal(place.at('a').at('b').string(), 'x')
  t.equal(place.at('n').at('deeper').string(), undefined)
  t.same(
    [place.at('a').text('b'), place.text('n'), place.text('nothing'), place.at('n').text('deeper')],
    ['x', undefined, undefined, undefined]
  )
  t.equal(place.at('nothing').at('deeper').boolean(), undefined)
  t.same(place.at('nothing').strings(), {})
  t.same([...place.at('nothing').list()], [])
  t.same(
    [...place.at('list').list()].map((item) => item.string()),
    ['y', undefined]
  )
})

t.test('the texts of a list, or those under a key of its objects', async (t) => {
  const place = look({ list: ['x', null, 'y'], objects: [{ a: 'x' }, null, {}, { a: 'y' }], bad: ['x', 1] }, '')
  t.same(place.at('list').texts(), ['x', 'y'])
  t.same(place.at('objects').texts('a'), ['x', 'y'])
  t.same(place.at('nothing').texts(), [])
  t.throws(() => place.texts(), new MalformedReview('body must be a list'))
  t.throws(() => place.at('bad').texts(), new MalformedReview('bad[1] must be a string'))
  t.throws(() => place.at('list').texts('a'), new MalformedReview('list[0] must be an object'))
  t.throws(() => place.at('objects').texts(), new MalformedReview('objects[0] must be a string'))
})

t.test('what has the wrong type is named by its path', async (t) => {
  const place = look({ a: { b: 1, c: { d: 2 } }, list: [{ e: [] }] }, '')
  const cases: [() => unknown, string][] = [
    [() => place.at('a').at('b').string(), 'a.b must be a string'],
    [() => place.at('a').text('b'), 'a.b must be a string'],
    [() => place.at('list').text('b'), 'list must be an object'],
    [() => place.at('a').at('b').at('c'), 'a.b must be an object'],
    [() => place.at('list').at('c'), 'list must be an object'],
    [() => place.at('a').at('b').boolean(), 'a.b must be true or false'],
    [() => place.at('a').at('c').strings(), 'a.c must be a map of strings'],
    [() => place.at('list').strings(), 'list must be a map of strings'],
    [() => place.at('a').list(), 'a must be a list'],
    [() => [...place.at('list').list()][0]?.at('e').string(), 'list[0].e must be a string'],
    [() => look([], '').at('a'), 'body must be an object'],
    [() => look('text', '').at('a'), 'body must be an object'],
    [() => look('text', '').text('0'), 'body must be an object']
  ]
  for (const [read, message] of cases) t.throws(read, new MalformedReview(message))
})

t.test('nothing is inherited', async (t) => {
  const place = look(JSON.parse('{"__proto__": {"polluted": "yes"}}'), '')
  t.equal(place.at('polluted').string(), undefined)
  t.equal(place.at('constructor').value, undefined)
  t.equal(place.text('polluted'), undefined)
  t.equal(place.at('__proto__').at('polluted').string(), 'yes')
})

t.test('no JSON, and more objects and lists than any review has, are refused unread', async (t) => {
  t.same(readJson('{"a":[1,"["]}'), { a: [1, '['] })
  t.throws(() => readJson('{"a":'), new MalformedReview('body must be JSON'))
  const most = `[${'{},'.repeat(MOST_CONTAINERS - 2)}{}]`
  t.equal((readJson(most) as unknown[]).length, MOST_CONTAINERS - 1)
  const tooMany = new MalformedReview('body must hold at most 500000 objects and lists')
  t.throws(() => readJson(most.replace('[', '[[],')), tooMany)
  t.throws(() => readJson('['.repeat(7 * 2 ** 20)), tooMany)
})
