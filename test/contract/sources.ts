/** Where EC2's behaviour is written. */

const REFERENCE = 'https://docs.aws.amazon.com/AWSEC2/latest/APIReference'
const USER_GUIDE = 'https://docs.aws.amazon.com/AWSEC2/latest/UserGuide'
const VPC_GUIDE = 'https://docs.aws.amazon.com/vpc/latest/userguide'
const DEVELOPER_GUIDE = 'https://docs.aws.amazon.com/ec2/latest/devguide'

/** A page of the API reference: an action or a type. */
export const api = (name: string): string => `${REFERENCE}/API_${name}.html`
/** As `owner/repository#number`. */
export const issue = (name: string): string => `https://github.com/${name.replace('#', '/issues/')}`
/** A shape of botocore's `data/ec2/2016-11-15/service-2.json`, which AWS generates. */
export const model = (shape: string): string => `botocore model: ${shape}`

export const ERRORS = `${REFERENCE}/errors-overview.html`
export const COMMON_ERRORS = `${REFERENCE}/CommonErrors.html`
export const QUERY = `${REFERENCE}/Query-Requests.html`
export const TAGS = `${USER_GUIDE}/Using_Tags.html`
export const TAG_ON_CREATE = `${USER_GUIDE}/supported-iam-actions-tagging.html`
export const FILTERS = `${USER_GUIDE}/Using_Filtering.html`
export const QUOTAS = `${VPC_GUIDE}/amazon-vpc-limits.html`
export const GROUP_RULES = `${VPC_GUIDE}/security-group-rules.html`
export const POLICY_EXAMPLES = `${VPC_GUIDE}/vpc-policy-examples.html`
export const AUTHORIZATION_REFERENCE =
  'https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html'
export const CONSISTENCY = `${DEVELOPER_GUIDE}/eventual-consistency.html`
export const THROTTLING = `${DEVELOPER_GUIDE}/ec2-api-throttling.html`
export const IDEMPOTENCY = `${DEVELOPER_GUIDE}/ec2-api-idempotency.html`
/** Whose comment says that it does so to match AWS. */
export const MOTO_SOURCE = 'https://github.com/getmoto/moto/blob/master/moto/ec2/models/security_groups.py'
export const SIGNATURES = 'https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html'
