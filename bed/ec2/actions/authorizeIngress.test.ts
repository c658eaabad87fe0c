import t from 'tap'
import { codeOf, hosts, refusal, startTrial, tcp } from '../trial.ts'

t.test('one element of the answer per permission and source, each with its own id', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const GroupId = await createGroup()
  const { Return, SecurityGroupRules = [] } = await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [tcp(443, '10.0.0.1/32', '10.0.0.2/32', '2001:DB8:0:0::1/128'), tcp(80, '10.0.0.1/32')],
    TagSpecifications: [{ ResourceType: 'security-group-rule', Tags: [{ Key: 'owner', Value: 'a<b>&"c" é' }] }]
  })
  t.equal(Return, true)
  t.equal(new Set(SecurityGroupRules.map((rule) => rule.SecurityGroupRuleId)).size, 4)
  t.match(SecurityGroupRules[2], {
    SecurityGroupRuleId: /^sgr-[0-9a-f]{17}$/,
    GroupId,
    GroupOwnerId: '123456789012',
    IsEgress: false,
    IpProtocol: 'tcp',
    FromPort: 443,
    ToPort: 443,
    CidrIpv6: '2001:db8::1/128',
    Tags: [{ Key: 'owner', Value: 'a<b>&"c" é' }],
    SecurityGroupRuleArn: /^arn:aws:ec2:eu-west-1:123456789012:security-group-rule\/sgr-/
  })
  t.strictSame(
    SecurityGroupRules.map((rule) => rule.CidrIpv4 ?? rule.CidrIpv6),
    ['10.0.0.1/32', '10.0.0.2/32', '2001:db8::1/128', '10.0.0.1/32']
  )
})

t.test('the identity of a rule is protocol, ports and canonical source; neither description nor tags', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const GroupId = await createGroup()
  const held = [tcp(443, '10.1.0.0/16', '2001:db8::/64'), { ...tcp(0, '10.1.0.0/16'), IpProtocol: '-1' }]
  await ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: held })
  const twins = {
    'another description': { ...tcp(443), IpRanges: [{ CidrIp: '10.1.0.0/16', Description: 'other' }] },
    '6 for tcp': { ...tcp(443, '10.1.0.0/16'), IpProtocol: '6' },
    'TCP for tcp': { ...tcp(443, '10.1.0.0/16'), IpProtocol: 'TCP' },
    'host bits set': tcp(443, '10.1.2.3/16'),
    'IPv6 in another spelling': tcp(443, '2001:0DB8:0:0:0::/64'),
    'all protocols with other ports': { ...tcp(22, '10.1.0.0/16'), IpProtocol: '-1' }
  }
  for (const [name, twin] of Object.entries(twins)) {
    const call = ec2.authorizeSecurityGroupIngress({
      GroupId,
      IpPermissions: [twin],
      TagSpecifications: [{ ResourceType: 'security-group-rule', Tags: [{ Key: 'k', Value: name }] }]
    })
    t.equal(await codeOf(call), 'InvalidPermission.Duplicate', name)
  }
  t.strictSame(await rulesOf(GroupId), ['tcp 443-443 10.1.0.0/16', 'tcp 443-443 2001:db8::/64', '-1 -1--1 10.1.0.0/16'])
})

t.test('the duplicate error names the rule as EC2 does', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const GroupId = await createGroup()
  const call = { GroupId, IpPermissions: [tcp(443, '10.0.0.1/32')] }
  await ec2.authorizeSecurityGroupIngress(call)
  t.strictSame(await refusal(ec2.authorizeSecurityGroupIngress(call)), {
    code: 'InvalidPermission.Duplicate',
    message: 'the specified rule "peer: 10.0.0.1/32, TCP, from port: 443, to port: 443, ALLOW" already exists',
    status: 400
  })
  for (const [IpProtocol, name] of [
    ['-1', 'ALL'],
    ['50', 'protocol: 50']
  ] as const) {
    const other = { GroupId, IpPermissions: [{ IpProtocol, IpRanges: [{ CidrIp: '10.0.0.1/32' }] }] }
    await ec2.authorizeSecurityGroupIngress(other)
    t.match(await refusal(ec2.authorizeSecurityGroupIngress(other)), {
      message: `the specified rule "peer: 10.0.0.1/32, ${name}, ALLOW" already exists`
    })
  }
})

t.test('a call that is refused leaves nothing behind, wherever in it the reason stands', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const GroupId = await createGroup()
  const held = tcp(1, '10.9.9.9/32')
  await ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [held] })
  const good = [tcp(443, '10.0.0.1/32'), tcp(80, '2001:db8::1/128')]
  const bad = {
    'InvalidPermission.Duplicate': held,
    RulesPerSecurityGroupLimitExceeded: tcp(2, ...hosts(60)),
    InvalidParameterValue: tcp(443, '10.0.0.1/33'),
    'InvalidPermission.Malformed': tcp(65536, '10.0.0.1/32')
  }
  for (const [code, permission] of Object.entries(bad)) {
    for (const IpPermissions of [
      [permission, ...good],
      [...good, permission]
    ])
      t.equal(await codeOf(ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions })), code)
  }
  t.strictSame(await rulesOf(GroupId), ['tcp 1-1 10.9.9.9/32'])
})

t.test('a duplicate inside one call is another error', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const GroupId = await createGroup()
  const IpPermissions = [tcp(443, '10.0.0.1/32'), { ...tcp(443, '10.0.0.1/32'), IpProtocol: '6' }]
  t.match(await refusal(ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions })), {
    code: 'InvalidParameterValue',
    message: 'The same permission must not appear multiple times'
  })
  t.strictSame(await rulesOf(GroupId), [])
})

t.test('the quota counts IPv4 and IPv6 apart, and a source group in both', async (t) => {
  const { ec2, createGroup, control } = await startTrial(t)
  await control('POST', 'settings', { rulesPerGroup: 3 })
  const GroupId = await createGroup()
  const add = (...IpPermissions: ReturnType<typeof tcp>[]) =>
    ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions })
  await add(tcp(1, ...hosts(2)))
  await add(tcp(1, '2001:db8::1/128'))
  await add({ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId }] })
  t.equal(await codeOf(add(tcp(1, '10.1.0.0/32'))), 'RulesPerSecurityGroupLimitExceeded', 'IPv4 is full')
  await add(tcp(1, '2001:db8::2/128'))
  t.equal(await codeOf(add(tcp(1, '2001:db8::3/128'))), 'RulesPerSecurityGroupLimitExceeded', 'IPv6 is full now')
})

t.test('60 rules of each family fit into a group of a new account', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const GroupId = await createGroup()
  const six = Array.from({ length: 60 }, (_, i) => `2001:db8::${i.toString(16)}/128`)
  await ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(1, ...hosts(60), ...six)] })
  for (const cidr of ['10.1.0.0/32', '2001:db8:1::/128'])
    t.equal(
      await codeOf(ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(1, cidr)] })),
      'RulesPerSecurityGroupLimitExceeded'
    )
})

t.test('malformed permissions', async (t) => {
  const { ec2, createGroup } = await startTrial(t)
  const GroupId = await createGroup()
  const source = { IpRanges: [{ CidrIp: '10.0.0.1/32' }] }
  const cases: readonly [object, code: string, message: RegExp][] = [
    [{ IpProtocol: 'all', ...source }, 'InvalidParameterValue', /Unknown protocol/],
    [{ IpProtocol: '256', ...source }, 'InvalidParameterValue', /Unknown protocol/],
    [{ FromPort: 1, ToPort: 1, ...source }, 'InvalidParameterValue', /Invalid value 'null' for protocol/],
    [{ IpProtocol: 'tcp', ...source }, 'InvalidParameterValue', /both from and to ports with TCP/],
    [{ IpProtocol: 'tcp', ToPort: 1, ...source }, 'InvalidPermission.Malformed', /port \(-1\) out of range/],
    [{ IpProtocol: 'udp', FromPort: 1, ToPort: 65536, ...source }, 'InvalidPermission.Malformed', /\(65536\)/],
    [{ IpProtocol: 'tcp', FromPort: 2, ToPort: 1, ...source }, 'InvalidParameterValue', /range \(2:1\)/],
    [{ IpProtocol: 'icmp', ...source }, 'InvalidParameterValue', /both from and to ports with ICMP/],
    [{ IpProtocol: 'icmp', FromPort: 0, ToPort: 65535, ...source }, 'InvalidParameterValue', /ICMP code \(65535\)/],
    [{ IpProtocol: 'icmp', FromPort: -1, ToPort: 0, ...source }, 'InvalidParameterValue', /must be -1/],
    [{ IpProtocol: '-1' }, 'MissingParameter', /ipRanges/],
    [
      { IpProtocol: '-1', IpRanges: [{ CidrIp: '10.0.0.1' }] },
      'InvalidParameterValue',
      /CIDR block 10.0.0.1 is malformed/
    ],
    [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '010.0.0.1/32' }] }, 'InvalidParameterValue', /malformed/],
    [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '::/0' }] }, 'InvalidParameterValue', /CIDR block ::\/0 is malformed/],
    [{ IpProtocol: '-1', Ipv6Ranges: [{ CidrIpv6: '10.0.0.0/8' }] }, 'InvalidParameterValue', /malformed/],
    [
      { IpProtocol: '-1', IpRanges: [{ CidrIp: '10.0.0.1/32', Description: 'a|b' }] },
      'InvalidParameterValue',
      /Invalid rule description/
    ],
    [
      { IpProtocol: '-1', IpRanges: [{ CidrIp: '10.0.0.1/32', Description: 'a'.repeat(256) }] },
      'InvalidParameterValue',
      /less than 256/
    ],
    [
      { IpProtocol: '-1', PrefixListIds: [{ PrefixListId: 'pl-1' }] },
      'UnsupportedOperation',
      /does not simulate prefix lists/
    ],
    [{ IpProtocol: '-1', UserIdGroupPairs: [{ GroupId: 'sg-00000000' }] }, 'InvalidGroup.NotFound', /sg-00000000/]
  ]
  for (const [permission, code, message] of cases) {
    const refused = await refusal(ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [permission] }))
    t.match(refused, { code, message, status: 400 }, JSON.stringify(permission))
  }
})

t.test('what is allowed at the edges', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const GroupId = await createGroup()
  const Description = 'az AZ09._-:/()#,@[]+=&;{}!$*'.padEnd(255, 'x')
  await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [
      { IpProtocol: '17', FromPort: 0, ToPort: 65535, IpRanges: [{ CidrIp: '0.0.0.0/0', Description }] },
      { IpProtocol: '1', FromPort: 8, ToPort: 0, IpRanges: [{ CidrIp: '10.0.0.1/32' }] },
      { IpProtocol: '58', Ipv6Ranges: [{ CidrIpv6: '::/0' }] },
      { IpProtocol: '50', FromPort: 1, ToPort: 2, IpRanges: [{ CidrIp: '10.0.0.1/32' }] }
    ]
  })
  t.strictSame(await rulesOf(GroupId), [
    'udp 0-65535 0.0.0.0/0',
    'icmp 8-0 10.0.0.1/32',
    'icmpv6 -1--1 ::/0',
    '50 -1--1 10.0.0.1/32'
  ])
})

t.test('the flat parameters make one rule', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const GroupId = await createGroup()
  await ec2.authorizeSecurityGroupIngress({ GroupId, IpProtocol: 'tcp', FromPort: 1, ToPort: 2, CidrIp: '10.0.0.1/24' })
  t.strictSame(await rulesOf(GroupId), ['tcp 1-2 10.0.0.0/24'])
  const flat = { GroupId, IpProtocol: 'tcp', FromPort: 1, ToPort: 2 }
  t.equal(await codeOf(ec2.authorizeSecurityGroupIngress(flat)), 'MissingParameter')
  const both = { ...flat, CidrIp: '10.0.0.1/32', IpPermissions: [tcp(1, '10.0.0.1/32')] }
  t.equal(await codeOf(ec2.authorizeSecurityGroupIngress(both)), 'InvalidParameterCombination')
  t.equal(await codeOf(ec2.authorizeSecurityGroupIngress({ GroupId })), 'MissingParameter')
})

t.test('the group is named by a malformed id, an unknown id, a name, or not at all', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const IpPermissions = [tcp(1, '10.0.0.1/32')]
  const attempt = (group: object) => codeOf(ec2.authorizeSecurityGroupIngress({ ...group, IpPermissions }))
  t.equal(await attempt({ GroupId: 'sg-xyz' }), 'InvalidGroupId.Malformed')
  t.equal(await attempt({ GroupId: 'sg-0123456789ABCDEF0' }), 'InvalidGroupId.Malformed')
  t.equal(await attempt({ GroupId: 'sg-01234567' }), 'InvalidGroup.NotFound')
  t.equal(await attempt({ GroupName: 'nobody' }), 'InvalidGroup.NotFound')
  t.equal(await attempt({}), 'MissingParameter')
  t.equal(await attempt({ GroupName: 'default', GroupId: await createGroup() }), 'InvalidParameterCombination')
  await ec2.authorizeSecurityGroupIngress({ GroupName: 'default', IpPermissions })
  t.strictSame(await rulesOf('sg-0def0000000000001'), ['tcp 1-1 10.0.0.1/32'], 'names mean the default VPC')
})

t.test('tags at creation', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const GroupId = await createGroup()
  const attempt = (Tags: readonly object[], ResourceType = 'security-group-rule') =>
    refusal(
      ec2.authorizeSecurityGroupIngress({
        GroupId,
        IpPermissions: [tcp(1, '10.0.0.1/32')],
        TagSpecifications: [{ ResourceType: ResourceType as 'vpc', Tags: [...Tags] }]
      })
    )
  const many = Array.from({ length: 51 }, (_, i) => ({ Key: `k${String(i)}`, Value: '' }))
  t.match(await attempt([{ Key: 'k', Value: 'v' }], 'vpc'), { code: 'InvalidParameterValue', message: /'vpc' is not/ })
  t.match(await attempt([{ Key: 'AWS:k', Value: 'v' }]), { code: 'InvalidParameterValue', message: /reserved/ })
  t.match(await attempt([{ Key: 'k'.repeat(129), Value: '' }]), { code: 'InvalidParameterValue', message: /128/ })
  t.match(await attempt([{ Key: 'k', Value: 'v'.repeat(257) }]), { code: 'InvalidParameterValue', message: /256/ })
  t.match(await attempt([{ Key: 'k' }, { Key: 'k', Value: 'v' }]), { code: 'InvalidParameterValue', message: /'k'/ })
  t.match(await attempt(many), { code: 'TagLimitExceeded' })
  t.strictSame(await rulesOf(GroupId), [])
  await ec2.authorizeSecurityGroupIngress({
    GroupId,
    IpPermissions: [tcp(1, '10.0.0.1/32')],
    TagSpecifications: [
      {
        ResourceType: 'security-group-rule',
        Tags: [...many.slice(1, 50), { Key: '😀'.repeat(128), Value: '😀'.repeat(256) }]
      }
    ]
  })
})

t.test('DryRun looks at permission and form, and changes nothing', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const GroupId = await createGroup()
  const call = { GroupId, IpPermissions: [tcp(1, '10.0.0.1/32')], DryRun: true }
  t.match(await refusal(ec2.authorizeSecurityGroupIngress(call)), {
    code: 'DryRunOperation',
    message: 'Request would have succeeded, but DryRun flag is set.',
    status: 412
  })
  t.strictSame(await rulesOf(GroupId), [])
  const bad = { ...call, IpPermissions: [tcp(70000, '10.0.0.1/32')] }
  t.equal(await codeOf(ec2.authorizeSecurityGroupIngress(bad)), 'InvalidPermission.Malformed')
})

t.test('callers at the same time see one order: one of many equal calls wins, and the quota holds', async (t) => {
  const { ec2, createGroup, rulesOf } = await startTrial(t)
  const GroupId = await createGroup()
  const add = (cidr: string) => ec2.authorizeSecurityGroupIngress({ GroupId, IpPermissions: [tcp(1, cidr)] })
  const equal = await Promise.allSettled(Array.from({ length: 20 }, () => add('10.9.0.0/32')))
  t.equal(equal.filter(({ status }) => status === 'fulfilled').length, 1)
  const distinct = await Promise.allSettled(hosts(70).map(add))
  t.equal(distinct.filter(({ status }) => status === 'fulfilled').length, 59)
  t.equal((await rulesOf(GroupId)).length, 60)
})
