/** All that the simulator holds; it survives nothing. No I/O. */
import { createAccount } from './state/account.ts'
import type { Buckets } from './state/buckets.ts'
import { createBuckets } from './state/buckets.ts'
import type { CredentialState } from './wire/authorization.ts'
import type { CallLog } from './state/calls.ts'
import { createCallLog } from './state/calls.ts'
import type { Faults } from './state/faults.ts'
import { createFaults } from './state/faults.ts'
import type { HexSource } from './state/ids.ts'
import type { Policy } from './state/policy.ts'
import type { Settings } from './state/settings.ts'
import { INITIAL_SETTINGS } from './state/settings.ts'
import type { Store } from './state/store.ts'

export interface World {
  readonly store: Store
  readonly buckets: Buckets
  readonly faults: Faults
  readonly calls: CallLog
  /** By access key; a key without policy may do everything. */
  readonly policies: Map<string, Policy>
  /** By access key; a key that is not named is good. */
  readonly credentials: Map<string, CredentialState>
  settings: Settings
}

/** The state at start. */
export const createWorld = (hex: HexSource, now: number): World => ({
  store: createAccount(hex, now),
  buckets: createBuckets(),
  faults: createFaults(),
  calls: createCallLog(),
  policies: new Map(),
  credentials: new Map(),
  settings: INITIAL_SETTINGS
})
