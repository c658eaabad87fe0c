/**
 * The grammar of the annotations in CEL, as variables of a policy: each is evaluated once at most, and has a cost limit
 * of its own (1,000,000; all of a policy together 10,000,000; k8s.io/apiserver/pkg/apis/cel). So every step reads no more than the limits of the
 * grammar allow, and leaves what is past them to the step that tells of it.
 */
import { LAST_PORT } from '../../shared/annotationItem.ts'
import { GROUP_ID_GRAMMAR, LEGACY_KEYS, SETTINGS, SETTING_VALUES } from '../../shared/annotationKey.ts'
import { MAX_GROUPS, MAX_ITEMS, MAX_KEYS, MAX_VALUE_BYTES } from '../../shared/annotation.ts'
import {
  FINALIZER,
  LEGACY_BARE_KEY,
  MANAGED_LABEL,
  MANAGED_VALUE,
  MIRROR_POD_KEY,
  NAMESPACE,
  PREFIX,
  READINESS_GATE_KEY,
  WORKER_ACCOUNT
} from '../../shared/names.ts'
import {
  GROUP_KEY,
  ITEM,
  ITEMS,
  LEGACY_GROUP,
  LEGACY_ITEM,
  LEGACY_ITEMS,
  LONG_PORT,
  NOTHING,
  RANGE,
  WRITTEN
} from './patterns.ts'

export interface Named {
  readonly name: string
  readonly expression: string
}

/** A string of CEL; patterns as raw ones, which are easier to read. */
export const text = (value: string): string =>
  value.includes('\\') && !value.includes("'") ? `r'${value}'` : JSON.stringify(value)
export const list = (values: readonly string[]): string => `[${values.map(text).join(', ')}]`

/** Whether the key is ours, as isOurs of shared/annotationKey.ts. */
export const isOurs = (key: string): string =>
  `(${key}.startsWith(${text(PREFIX)}) || ${key} == ${text(LEGACY_BARE_KEY)})`

export const NOT_OUR_WORKER: Named = {
  name: 'not-our-worker',
  expression: `request.userInfo.username != ${text(`system:serviceaccount:${NAMESPACE}:${WORKER_ACCOUNT}`)}`
}

/** A Binding has annotations too, but is no pod: they do not exempt it. */
export const NOT_A_MIRROR_POD: Named = {
  name: 'not-a-mirror-pod',
  expression: `request.kind.kind != "Pod" || !has(object.metadata.annotations) || !(${text(MIRROR_POD_KEY)} in object.metadata.annotations)`
}

const has = (object: string): string => `has(${object}.metadata.annotations)`
/** Whether a key of ours is in `object` and not the same in `other`. */
const differs = (object: string, other: string, also = ''): string =>
  `${has(object)} && ${object}.metadata.annotations.exists(k, ${isOurs('k')}
  && !(${has(other)} && k in ${other}.metadata.annotations${also}))`

export const NEW_OR_CHANGED = `oldObject == null
? ${has('object')} && object.metadata.annotations.exists(k, ${isOurs('k')})
: ${differs('object', 'oldObject', '\n    && oldObject.metadata.annotations[k] == object.metadata.annotations[k]')}`

/** The changed-keys ratchet: what leaves our keys alone is not looked at. */
export const NEW_CHANGED_OR_REMOVED: Named = {
  name: 'annotations-of-ours-new-changed-or-removed',
  expression: `(${NEW_OR_CHANGED})
|| (oldObject != null && ${differs('oldObject', 'object')})`
}

/** A pod that is created lives whatever its manifest says; one that is deleted or has ended takes no finalizer. */
export const LIVING = `oldObject == null || (!has(object.metadata.deletionTimestamp)
  && !(has(object.status) && has(object.status.phase) && object.status.phase in ["Succeeded", "Failed"]))`

export const HAS_FINALIZER = `has(object.metadata.finalizers) && ${text(FINALIZER)} in object.metadata.finalizers`
export const HAS_LABEL = `has(object.metadata.labels) && ${text(MANAGED_LABEL)} in object.metadata.labels
  && object.metadata.labels[${text(MANAGED_LABEL)}] == ${text(MANAGED_VALUE)}`

const value = 'variables.annotations[k]'
const idOf = (key: string): string => `${key}.substring(${PREFIX.length})`
const field = '"metadata.annotations[" + k + "]: Invalid value: "'
/** A wrong value in quotes, cut when long; nothing of it that could move a terminal's cursor or pass for a space. */
const shown = (of: string): string =>
  `[size(${of}) > 64 ? ${of}.substring(0, 64) + "..." : ${of}].map(c, c.matches("^[ -~]*$") ? strings.quote(c) : "(characters other than ASCII)")[0]`
const tell = (of: string, sentence: string): string => `${field} + ${shown(of)} + ${sentence}`
const legacyGroups = (from: string): string =>
  `${from}.split(",").map(i, i.find(${text(LEGACY_GROUP)})).filter(i, i != "").map(i, i.trim().replace(":", ""))`
const written = (of: string): string => `${of}.split(",").filter(i, i.matches(${text(WRITTEN)})).size()`
const inOrder = (of: string): string =>
  `${of}.findAll(${text(RANGE)}).all(p, int(p.substring(1, p.indexOf("-"))) <= int(p.substring(p.indexOf("-") + 1))
    && int(p.substring(p.indexOf("-") + 1)) <= ${LAST_PORT})
  && ${of}.findAll(${text(LONG_PORT)}).all(p, int(p.substring(1)) <= ${LAST_PORT})`
const isLegacy = `k in ${list(LEGACY_KEYS)}`

/** What is read of the annotations, and nothing judged yet. */
const READING: readonly Named[] = [
  { name: 'annotations', expression: `${has('object')} ? object.metadata.annotations : {}` },
  { name: 'before', expression: `oldObject != null && ${has('oldObject')} ? oldObject.metadata.annotations : {}` },
  { name: 'ours', expression: `variables.annotations.filter(k, ${isOurs('k')})` },
  {
    name: 'added',
    expression: `variables.ours.filter(k, !(k in variables.before) || variables.before[k] != ${value})`
  },
  // Of more keys than a legal pod can have none is read.
  { name: 'known', expression: `size(variables.ours) > ${MAX_KEYS} ? [] : variables.ours` },
  { name: 'judged', expression: `size(variables.ours) > ${MAX_KEYS} ? [] : variables.added.sort()` },
  { name: 'groupKeys', expression: `variables.known.filter(k, k.matches(${text(GROUP_KEY)}))` },
  {
    name: 'holdItems',
    expression: `size(variables.groupKeys) > ${MAX_GROUPS} ? []
: variables.known.filter(k, k in ${list(LEGACY_KEYS)} || k in variables.groupKeys)`
  },
  {
    name: 'read',
    expression: `variables.holdItems.filter(k, size(${value}) <= ${MAX_VALUE_BYTES}
  && size(bytes(${value})) <= ${MAX_VALUE_BYTES} && !${value}.matches(${text(NOTHING)}))`
  },
  {
    name: 'legacyGroups',
    expression: `variables.read.filter(k, k in ${list(LEGACY_KEYS)}).map(k, ${legacyGroups(value)}).flatten()`
  },
  {
    name: 'groups',
    expression: `(variables.read.filter(k, k in variables.groupKeys && ${value}.matches(${text('[^ \\t,]')})).map(k, ${idOf('k')})
  + variables.legacyGroups).distinct()`
  },
  {
    name: 'crowded',
    // A group that only one key names is limited by that key's own number of items.
    expression: `size(variables.groups) > ${MAX_GROUPS} || size(variables.legacyGroups) == 0 ? []
: variables.groups.filter(g, g in variables.legacyGroups && variables.legacyGroups.filter(i, i == g).size()
  + (${text(PREFIX)} + g in variables.read ? ${written(`variables.annotations[${text(PREFIX)} + g]`)} : 0) > ${MAX_ITEMS})`
  }
]

/** More cannot be well-formed within the limit of a value: the shortest is a group, a colon and a digit, and a comma. */
const MOST_LEGACY_ITEMS = Math.floor((MAX_VALUE_BYTES + 1) / 'sg-0123abcd:0,'.length)

/** Of how many annotations the wrong items are named, and how many of each. */
const TOLD = 3

const KEYS = `the key must be '${PREFIX}' and ${GROUP_ID_GRAMMAR}, or ${SETTINGS.map((key) => `'${key}'`).join(', ')}`
const ITEM_SENTENCE =
  "an item is 'tcp:443', 'tcp:5000-5050' (first port not after the last), 'tcp:*', the same with udp, or without ports 'icmp', 'icmpv6', 'all' or a number from 0 to 255"
const STAMP = `pods with annotations of '${PREFIX}' must have finalizer '${FINALIZER}' and label '${MANAGED_LABEL}: "${MANAGED_VALUE}"', which kube-sg adds itself; does another webhook remove them or add the annotation later?`
const HOST = `spec.hostNetwork: Invalid value: "true": must not be true with annotations of '${PREFIX}': the pod's address is its node's, so the rules would open the groups to the whole node`

/** Each is a list of sentences, empty when nothing is wrong. */
const MISTAKES: readonly Named[] = [
  {
    name: 'tooMany',
    expression: `size(variables.ours) > ${MAX_KEYS}
? ["metadata.annotations: a pod must have at most ${MAX_KEYS} annotations of '${PREFIX}'"]
: size(variables.groupKeys) > ${MAX_GROUPS} || size(variables.groups) > ${MAX_GROUPS}
? ["metadata.annotations: a pod must name at most ${MAX_GROUPS} security groups"] : []`
  },
  {
    name: 'unknownKeys',
    expression: `variables.judged.filter(k, !(k in ${list([...LEGACY_KEYS, ...SETTINGS])} || k in variables.groupKeys))
.map(k, ${tell('k', `": ${KEYS}"`)})`
  },
  {
    name: 'wrongSettings',
    expression: `variables.judged.filter(k, k in ${list(SETTINGS)} && !(${value} in ${list(SETTING_VALUES)}))
.map(k, ${tell(value, `": value must be ${SETTING_VALUES.map((each) => `'${each}'`).join(' or ')}"`)})`
  },
  {
    name: 'unreadable',
    expression: `variables.judged.filter(k, k in variables.holdItems && !(k in variables.read))
.map(k, ${tell(value, `": value must not be empty, and at most ${MAX_VALUE_BYTES} bytes long"`)})`
  },
  {
    name: 'crowdedKeys',
    expression: `variables.judged.filter(k, k in variables.read && (k in variables.groupKeys
  ? ${value}.split(",").size() > ${MAX_ITEMS} || ${idOf('k')} in variables.crowded
  : ${value}.split(",").size() > ${MOST_LEGACY_ITEMS} || size(variables.crowded) > 0 && ${legacyGroups(value)}.exists(g, g in variables.crowded)))
.map(k, ${tell(value, `": a group must have at most ${MAX_ITEMS} items on one pod"`)})`
  },
  {
    name: 'suspect',
    expression: `variables.judged.filter(k, k in variables.read
&& ${value}.split(",").size() <= (k in variables.groupKeys ? ${MAX_ITEMS} : ${MOST_LEGACY_ITEMS})
&& !((${isLegacy} ? (${value} + ",").matches(${text(LEGACY_ITEMS)}) : (${value} + ",").matches(${text(ITEMS)}))
  && ${inOrder(value)}))`
  },
  // Only to tell which they are, and of some annotations only: item by item it takes long.
  {
    name: 'wrongItems',
    expression: `variables.suspect.map(k, ${field} + (k in (size(variables.suspect) > ${TOLD} ? variables.suspect.slice(0, ${TOLD}) : variables.suspect)
? [${value}.split(",").filter(i, !((${isLegacy} ? i.matches(${text(LEGACY_ITEM)}) : i.matches(${text(ITEM)})) && ${inOrder('i')}))].map(w,
    (size(w) > ${TOLD} ? w.slice(0, ${TOLD}) : w).map(i, ${shown('i')}).join(", ") + (size(w) > ${TOLD} ? " and " + string(size(w) - ${TOLD}) + " more" : ""))[0]
: ${shown(value)})
+ (${isLegacy} ? ": an item begins with its group, such as 'sg-0123abcd:tcp:443'; after that ${ITEM_SENTENCE}" : ": ${ITEM_SENTENCE}"))`
  },
  {
    name: 'idleGate',
    expression: `${text(READINESS_GATE_KEY)} in variables.judged && variables.annotations[${text(READINESS_GATE_KEY)}] == "true"
&& variables.ours.all(k, k == ${text(READINESS_GATE_KEY)})
? ["metadata.annotations[${READINESS_GATE_KEY}]: needs the annotation of a security group beside it: without rules to wait for, the pod would never become ready"] : []`
  },
  {
    name: 'hostNetwork',
    expression: `has(object.spec.hostNetwork) && object.spec.hostNetwork ? [${text(HOST)}] : []`
  },
  {
    name: 'unstamped',
    expression: `(${LIVING})
&& !(${HAS_FINALIZER} && ${HAS_LABEL})
? [${text(STAMP)}] : []`
  }
]

/**
 * `variables.mistakes` is the list of everything that is wrong with a pod; `variables.asked` the groups that it asks for
 * by keys that are new or changed, when nothing is wrong.
 */
export const VARIABLES: readonly Named[] = [
  ...READING,
  ...MISTAKES,
  {
    name: 'mistakes',
    expression: `size(variables.added) == 0 ? [] : ${MISTAKES.filter(({ name }) => name !== 'suspect')
      .map(({ name }) => `variables.${name}`)
      .join(' + ')}`
  },
  {
    name: 'asked',
    expression: `size(variables.mistakes) > 0 ? [] : variables.judged.filter(k, k in variables.read)
.map(k, k in variables.groupKeys ? [${idOf('k')}] : ${legacyGroups(value)}).flatten().distinct()`
  }
]
