/** Sets by key, without empty ones. A key with one value costs no Set: of tens of thousands of addresses hardly one has two. */
export class Multimap<K, V extends string> {
  readonly #values = new Map<K, V | Set<V>>()
  add(key: K, value: V): void {
    const held = this.#values.get(key)
    if (held === undefined) this.#values.set(key, value)
    else if (typeof held !== 'string') held.add(value)
    else if (held !== value) this.#values.set(key, new Set([held, value]))
  }
  delete(key: K, value: V): void {
    const held = this.#values.get(key)
    if (held === value) this.#values.delete(key)
    else if (typeof held === 'object' && held.delete(value) && held.size === 1)
      for (const last of held) this.#values.set(key, last)
  }
  has(key: K, value: V): boolean {
    const held = this.#values.get(key)
    return held === value || (typeof held === 'object' && held.has(value))
  }
  /** Not to be read while it is changed: take a copy. */
  get(key: K): Iterable<V> {
    const held = this.#values.get(key)
    return held === undefined ? [] : typeof held === 'object' ? held : [held]
  }
  keys(): Iterable<K> {
    return this.#values.keys()
  }
}
