/** Which legal word a wrong one is near. Pure. */

/**
 * The candidate fewest edits away, when that is close enough to be a slip of the hand: one edit, or two in words of six
 * letters and more. An edit inserts, drops or replaces a character, or swaps two neighbours. Of two that are as near, neither:
 * whoever takes one by chance may mean the other.
 */
export function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > 64) return undefined
  const bound = word.length >= 6 ? 2 : 1
  const [first, second] = candidates
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(({ distance }) => distance <= bound)
    .sort((a, b) => a.distance - b.distance)
  return first?.distance === second?.distance ? undefined : first?.candidate
}

/** Damerau-Levenshtein distance, neighbours swapped at most once (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let least = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        least = Math.min(least, (beforeLast[j - 2] ?? 0) + 1)
      row.push(least)
    }
    beforeLast = last
    last = row
  }
  return last[b.length] ?? 0
}
