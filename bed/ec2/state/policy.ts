/**
 * IAM policies, as far as permissions on security groups need them. Pure.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */

/** One permission that a call needs: an action on a resource, with the condition keys that IAM would see. */
export interface Demand {
  /** Such as `ec2:CreateTags`. */
  readonly action: string
  readonly arn: string
  /** Condition keys, lower-case (IAM does not mind their case), to their values. */
  readonly context: ReadonlyMap<string, readonly string[]>
}

interface Condition {
  readonly quantifier: 'any' | 'all' | 'one'
  readonly compare: (actual: string, expected: string) => boolean
  readonly negated: boolean
  readonly ifExists: boolean
  readonly isNull: boolean
  readonly key: string
  readonly expected: readonly string[]
}

interface Statement {
  readonly allow: boolean
  readonly action: (action: string) => boolean
  readonly resource: (arn: string) => boolean
  readonly conditions: readonly Condition[]
}

export type Policy = readonly Statement[]

/** An explicit deny wins, then an allow; else the demand is denied. */
export function permits(policy: Policy, demand: Demand): boolean {
  const matching = policy.filter(
    (statement) =>
      statement.action(demand.action) &&
      statement.resource(demand.arn) &&
      statement.conditions.every((condition) => holds(condition, demand.context.get(condition.key)))
  )
  return matching.some(({ allow }) => allow) && matching.every(({ allow }) => allow)
}

function holds(condition: Condition, actual: readonly string[] | undefined): boolean {
  const { quantifier, compare, negated, expected } = condition
  if (condition.isNull) return expected.some((text) => (text.toLowerCase() === 'true') === (actual === undefined))
  if (actual === undefined) return condition.ifExists || negated || quantifier === 'all'
  const test = (value: string): boolean => expected.some((text) => compare(value, text)) !== negated
  return quantifier === 'all' ? actual.every(test) : quantifier === 'any' ? actual.some(test) : actual.every(test)
}

const equals = (actual: string, expected: string): boolean => actual === expected
const equalsIgnoringCase = (actual: string, expected: string): boolean =>
  actual.toLowerCase() === expected.toLowerCase()
const like = (actual: string, expected: string): boolean => wildcard(expected)(actual)

/** ArnEquals and ArnLike are the same, and compare each of the six parts with wildcards. */
const arnLike = (actual: string, expected: string): boolean => {
  const parts = splitArn(actual)
  return splitArn(expected).every((part, i) => like(parts[i] ?? '', part)) && parts.length === splitArn(expected).length
}
const splitArn = (arn: string): readonly string[] => {
  const parts = arn.split(':')
  return [...parts.slice(0, 5), parts.slice(5).join(':')]
}

const OPERATORS: Readonly<Record<string, Pick<Condition, 'compare' | 'negated'> & { readonly isNull?: boolean }>> = {
  StringEquals: { compare: equals, negated: false },
  StringNotEquals: { compare: equals, negated: true },
  StringEqualsIgnoreCase: { compare: equalsIgnoringCase, negated: false },
  StringNotEqualsIgnoreCase: { compare: equalsIgnoringCase, negated: true },
  StringLike: { compare: like, negated: false },
  StringNotLike: { compare: like, negated: true },
  ArnEquals: { compare: arnLike, negated: false },
  ArnLike: { compare: arnLike, negated: false },
  ArnNotEquals: { compare: arnLike, negated: true },
  ArnNotLike: { compare: arnLike, negated: true },
  Bool: { compare: equalsIgnoringCase, negated: false },
  Null: { compare: equals, negated: false, isNull: true }
}

function wildcard(pattern: string, flags = ''): (text: string) => boolean {
  const source = pattern
    .replace(/[\\^$.+()[\]{}|/]/g, '\\$&')
    .replaceAll('*', '[\\s\\S]*')
    .replaceAll('?', '[\\s\\S]')
  const regex = new RegExp(`^${source}$`, flags)
  return (text) => regex.test(text)
}

/**
 * @param document a policy as IAM's JSON, already parsed
 * @throws Error saying what part is malformed or not simulated
 */
export function parsePolicy(document: unknown): Policy {
  if (!isRecord(document)) throw new Error('a policy must be a JSON object')
  refuseOthers(document, ['Version', 'Id', 'Statement'], 'the policy')
  if (document.Version !== '2012-10-17') throw new Error("the policy's Version must be '2012-10-17'")
  return asList(document.Statement).map((statement, i) => parseStatement(statement, `Statement ${String(i + 1)}`))
}

function parseStatement(statement: unknown, where: string): Statement {
  if (!isRecord(statement)) throw new Error(`${where} must be an object`)
  const known = ['Sid', 'Effect', 'Action', 'NotAction', 'Resource', 'NotResource', 'Condition']
  refuseOthers(statement, known, where)
  const effect = statement.Effect
  if (effect !== 'Allow' && effect !== 'Deny') throw new Error(`${where}: Effect must be Allow or Deny`)
  return {
    allow: effect === 'Allow',
    // IAM compares actions without case.
    action: parseMatch(statement, 'Action', 'NotAction', 'i', where),
    resource: parseMatch(statement, 'Resource', 'NotResource', '', where),
    conditions: parseConditions(statement.Condition, where)
  }
}

function parseMatch(
  statement: Readonly<Record<string, unknown>>,
  name: string,
  inverse: string,
  flags: string,
  where: string
): (text: string) => boolean {
  if ((statement[name] === undefined) === (statement[inverse] === undefined))
    throw new Error(`${where} must have one of ${name} and ${inverse}`)
  const patterns = texts(statement[name] ?? statement[inverse], `${where}: ${name}`).map((text) =>
    wildcard(text, flags)
  )
  const wanted = statement[name] !== undefined
  return (text) => patterns.some((pattern) => pattern(text)) === wanted
}

function parseConditions(block: unknown, where: string): readonly Condition[] {
  if (block === undefined) return []
  if (!isRecord(block)) throw new Error(`${where}: Condition must be an object`)
  return Object.entries(block).flatMap(([name, keys]) => {
    const [, prefix, base, suffix] = /^(ForAnyValue:|ForAllValues:)?([A-Za-z]+?)(IfExists)?$/.exec(name) ?? []
    const operator = base !== undefined && Object.hasOwn(OPERATORS, base) ? OPERATORS[base] : undefined
    if (operator === undefined) throw new Error(`${where}: the condition operator ${name} is not simulated`)
    if (!isRecord(keys)) throw new Error(`${where}: ${name} must be an object of condition keys`)
    return Object.entries(keys).map(([key, expected]) => ({
      quantifier:
        prefix === undefined ? ('one' as const) : prefix === 'ForAnyValue:' ? ('any' as const) : ('all' as const),
      compare: operator.compare,
      negated: operator.negated,
      isNull: operator.isNull === true,
      ifExists: suffix !== undefined,
      key: simulatedKey(key, where),
      expected: texts(expected, `${where}: ${name} ${key}`)
    }))
  })
}

const KEYS =
  /^(aws:(resourcetag|requesttag)\/.+|ec2:resourcetag\/.+|aws:(tagkeys|requestedregion)|ec2:(vpc|securitygroupid|createaction|region))$/

/** A key that no call carries would deny, or permit, in silence. */
function simulatedKey(key: string, where: string): string {
  const lower = key.toLowerCase()
  if (!KEYS.test(lower)) throw new Error(`${where}: the condition key ${key} is not simulated`)
  return lower
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const asList = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value])

function texts(value: unknown, where: string): readonly string[] {
  return asList(value).map((item) => {
    if (typeof item === 'boolean') return String(item)
    if (typeof item !== 'string') throw new Error(`${where} must be a string or a list of strings`)
    return item
  })
}

function refuseOthers(object: Readonly<Record<string, unknown>>, known: readonly string[], where: string): void {
  const other = Object.keys(object).find((key) => !known.includes(key))
  if (other !== undefined) throw new Error(`${where} has ${other}, which is not one of ${known.join(', ')}`)
}
