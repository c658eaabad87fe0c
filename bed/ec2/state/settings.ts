/** What tests may set; the defaults are a new AWS account's. Pure. */

export interface Settings {
  /** Quota L-0EA8095F, counted for IPv4 and IPv6 apart. */
  readonly rulesPerGroup: number
  /** Whether EC2's request throttling is simulated. */
  readonly buckets: boolean
  /** Between the request and the effect. */
  readonly latencyMs: number
}

export const INITIAL_SETTINGS: Settings = { rulesPerGroup: 60, buckets: false, latencyMs: 0 }
