/** The whole contract: each behaviour of EC2 that kube-sg, or what simulates EC2 for it, relies on. */
import type { Topic } from './case.ts'
import { authorizing } from './cases/authorize.ts'
import { descriptions } from './cases/descriptions.ts'
import { filters } from './cases/filters.ts'
import { identity } from './cases/identity.ts'
import { ids } from './cases/ids.ts'
import { malformed } from './cases/malformed.ts'
import { modifying } from './cases/modify.ts'
import { permissions } from './cases/permissions.ts'
import { quotas } from './cases/quotas.ts'
import { reads } from './cases/reads.ts'
import { revoking } from './cases/revoke.ts'
import { tags } from './cases/tags.ts'
import { trouble } from './cases/trouble.ts'
import { wire } from './cases/wire.ts'

export const TOPICS: readonly Topic[] = [
  identity,
  authorizing,
  malformed,
  tags,
  descriptions,
  revoking,
  modifying,
  quotas,
  ids,
  reads,
  filters,
  permissions,
  wire,
  trouble
]
