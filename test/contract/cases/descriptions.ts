/** Descriptions of rules. */
import type { Case, Topic } from '../case.ts'
import { api } from '../sources.ts'
import { authorize, described, expectRefusal, expectSame, expectUnchanged, readRules, tcp } from '../steps.ts'

const documented = { basis: 'documented', sources: [api('IpRange')] } as const

const accepted = (name: string, text: string, about: Pick<Case, 'basis' | 'sources'> & Partial<Case>): Case => ({
  name,
  ...about,
  run: async (subject) => {
    const GroupId = await subject.createGroup()
    await authorize(subject, GroupId, described(text))
    const rules = await subject.settled(
      () => readRules(subject, GroupId),
      (found) => found.length === 1
    )
    expectSame(rules[0]?.Description ?? '', text, 'description')
  }
})

const refused = (name: string, text: string): Case => ({
  name,
  ...documented,
  relied: 'descriptions keep to the charset and the length, for they would block a whole batch',
  run: async (subject) => {
    const GroupId = await subject.createGroup()
    await expectRefusal(
      subject.ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [described(text)] }),
      'InvalidParameterValue'
    )
    await expectUnchanged(subject, GroupId, [])
  }
})

export const descriptions: Topic = {
  title: 'Descriptions',
  cases: [
    accepted(
      'a description of every allowed character comes back as it was',
      'azAZ09. _-:/()#,@[]+=&;{}!$*',
      documented
    ),
    accepted('a description of 255 characters is allowed', 'd'.repeat(255), {
      ...documented,
      relied: 'long names are cut to 255 characters'
    }),
    refused('a description of 256 characters is refused', 'd'.repeat(256)),
    ...['|', '"', "'", '<', '%', '~', 'é'].map((character) =>
      refused(`a description with ${character === '|' ? 'a vertical bar' : character} is refused`, `a${character}b`)
    ),
    accepted('an empty description is none', '', { basis: 'undocumented', sources: [] }),
    {
      name: 'each range has a description of its own',
      ...documented,
      relied: 'a description names the pod of its rule, and one call carries many pods',
      run: async (subject) => {
        const GroupId = await subject.createGroup()
        const IpRanges = ['1', '2', '3'].map((n) => ({ CidrIp: `10.0.0.${n}/32`, Description: `pod ${n}` }))
        const rules = await authorize(subject, GroupId, { ...tcp(443), IpRanges })
        expectSame(
          rules.map((rule) => `${String(rule.CidrIpv4)} ${String(rule.Description)}`).sort(),
          ['10.0.0.1/32 pod 1', '10.0.0.2/32 pod 2', '10.0.0.3/32 pod 3'],
          'descriptions'
        )
      }
    }
  ]
}
