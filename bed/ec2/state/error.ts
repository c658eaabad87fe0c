/** EC2's errors: code, message and HTTP status as a client sees them. Pure. */

/**
 * What EC2 answers instead of a result. Codes and their families:
 * https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
 * The page gives no exact statuses ("400-series"); those here are what traces in public trackers show.
 */
export class EC2Error extends Error {
  readonly code: string
  readonly status: number
  constructor(code: string, message: string, status = 400) {
    super(message)
    this.name = 'EC2Error'
    this.code = code
    this.status = status
  }
}

export const invalidValue = (message: string): EC2Error => new EC2Error('InvalidParameterValue', message)

export const missingParameter = (name: string): EC2Error =>
  new EC2Error('MissingParameter', `The request must contain the parameter ${name}`)

export const invalidCombination = (message: string): EC2Error => new EC2Error('InvalidParameterCombination', message)

/** Something that EC2 can do and this simulator cannot; EC2's own code for what an account cannot have. */
export const notSimulated = (what: string): EC2Error =>
  new EC2Error('UnsupportedOperation', `This EC2 simulator does not simulate ${what}.`)

export const groupNotFound = (groupId: string): EC2Error =>
  new EC2Error('InvalidGroup.NotFound', `The security group '${groupId}' does not exist`)

export const ruleNotFound = (ruleId: string): EC2Error =>
  new EC2Error('InvalidSecurityGroupRuleId.NotFound', `The security group rule ID '${ruleId}' does not exist`)
