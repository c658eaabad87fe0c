/** The API server's audit log, of a bed that has one. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** A JSON object on each line. @param directory the bed's */
export const auditLogOf = (directory: string): string => join(directory, 'control-plane', 'audit.log')

/** Who asked for what and how it was answered, without the objects. */
const POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    {
      level: 'Metadata',
      verbs: ['create', 'update', 'patch'],
      resources: [{ group: '', resources: ['pods', 'pods/*'] }]
    }
  ]
}

/** @returns what the API server must be told */
export async function prepareAudit(directory: string): Promise<readonly string[]> {
  const policy = join(directory, 'control-plane', 'audit.json')
  await writeFile(policy, JSON.stringify(POLICY))
  return [`--audit-policy-file=${policy}`, `--audit-log-path=${auditLogOf(directory)}`]
}
