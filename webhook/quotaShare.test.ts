import t from 'tap'
import { parseAnnotations } from '../shared/annotation.ts'
import { warnOfShare } from './quotaShare.ts'

const warnings = (value: string, rulesPerGroup: number, pods = 1): string[] =>
  warnOfShare(
    parseAnnotations({ 'sg.amazonaws.com/sg-0123abcd': value, 'sg.amazonaws.com/sg-00000000': 'all' }).requests,
    rulesPerGroup,
    pods
  )

t.test('more than a group can hold', async (t) => {
  t.same(warnings('tcp:1,tcp:3,tcp:5', 2), [
    'sg-0123abcd: a pod asks for 3 rules, and a group holds 2: it will never have all of them'
  ])
})

t.test('more than a group can hold for all pods of a workload', async (t) => {
  t.same(warnings('tcp:1,tcp:3', 5, 3), [
    'sg-0123abcd: 3 pods of 2 rules each need 6, and a group holds 5: pods will wait for others to end'
  ])
  t.same(warnings('tcp:1,tcp:3', 10, 5), [], 'all of it may be taken')
  t.equal(warnings('tcp:1', 60, 61).length, 2, 'one rule each, of many pods')
})

t.test('more than a quarter for one pod', async (t) => {
  t.same(warnings('tcp:1,tcp:3,tcp:5', 11), [
    'sg-0123abcd: each pod takes 3 of the 11 rules that a group holds: there is room for 3 such'
  ])
  t.same(warnings('tcp:1,tcp:3,tcp:5', 12), [])
  t.same(warnings('tcp:1', 1), [], 'one rule is the least that can be asked for')
})

t.test('families are counted apart, and merged ranges once', async (t) => {
  t.same(warnings('tcp:1,icmp,icmpv6', 2), [
    'sg-0123abcd: each pod takes 2 of the 2 rules that a group holds: there is room for 1 such'
  ])
  t.same(warnings('icmp,icmpv6', 1), [])
  t.same(warnings('tcp:1,tcp:2,tcp:3', 1), [])
})
