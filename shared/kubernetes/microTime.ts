/** A time as `metav1.MicroTime` reads it: exactly six digits of a second, in UTC. @param time milliseconds since 1970 */
export function microTime(time: number): string {
  return new Date(time).toISOString().replace('Z', '000Z')
}
