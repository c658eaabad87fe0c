/** One copy of what thousands of objects say alike. Forgets all when it holds too much: what is kept elsewhere stays. */

export interface Sharing {
  /** The same text, as one string. */
  readonly text: (text: string) => string
  /**
   * What was made of these parts before, or is made of them now. Whoever gets it must not change it.
   * @param kind tells apart what is made of the same parts
   */
  readonly of: <T extends object>(kind: string, parts: readonly string[], make: () => T) => T
}

/** Beyond it nothing is shared: a table of a few thousand such keys must stay small, whatever people write. */
const LONGEST = 1000

/** @param most things that are held at once */
export function createSharing(most = 5000): Sharing {
  const texts = new Map<string, string>()
  const things = new Map<string, object>()
  const shared = <V>(table: Map<string, V>, key: string, make: () => V): V => {
    const held = table.get(key)
    if (held !== undefined) return held
    const made = make()
    if (table.size >= most) table.clear()
    table.set(key, made)
    return made
  }
  return {
    text: (text) => (text.length > LONGEST ? text : shared(texts, text, () => text)),
    of<T extends object>(kind: string, parts: readonly string[], make: () => T): T {
      const key = JSON.stringify([kind, ...parts])
      // The kind stands in the key.
      return key.length > LONGEST ? make() : (shared(things, key, make) as T)
    }
  }
}
