import fc from 'fast-check'
import t from 'tap'
import { Multimap } from './multimap.ts'

const few = fc.constantFrom('a', 'b', 'c')

t.test('holds what a Map of Sets would hold', async () => {
  const step = fc.record({ add: fc.boolean(), key: few, value: few })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const map = new Multimap<string, string>()
      const model = new Map<string, Set<string>>()
      for (const { add, key, value } of steps) {
        const set = model.get(key) ?? new Set()
        if (add) {
          map.add(key, value)
          model.set(key, set.add(value))
        } else {
          map.delete(key, value)
          if (set.delete(value) && set.size === 0) model.delete(key)
        }
        const held = [...map.keys()].map((each) => [each, [...map.get(each)].sort()])
        const wanted = [...model].map(([each, values]) => [each, [...values].sort()])
        if (JSON.stringify(held.sort()) !== JSON.stringify(wanted.sort())) return false
        if (!model.has(key) && [...map.get(key)].length > 0) return false
      }
      return true
    })
  )
})
