/**
 * What stands on the page, one row after the other: stored messages, then what the server keeps, what
 * waits to be sent, and what is being written. An answer takes its seq at its end, so it stands last
 * until then; those to the same words stay in the order in which they began, whichever ends first. What is
 * written after the connection was lost stands below them: a server that died stores what came of them first. The
 * person's own draft is the row of their outbox, at the draft's place.
 *
 * A row keeps its key from the outbox or the draft to the log and from the stream to the final message,
 * so that its place in the document stays the same. The result of a tool's call stands in the row of the call.
 */
import { isAside, isPrompt } from './asides'
import type { OutboxEntry } from '../outbox/outbox'
import type { Draft, Message } from '../protocol'
import type { Stream } from '../room/stream'
import { texts } from '../texts'
import { dayName, dayOf } from '../words/time'
import type { RunUnit, Unit } from './units'

interface RowBase {
  key: string
  by: string
  name: string
  at: string
  own: boolean
  role: Message['role']
  /** The name of the day, where a new one begins. */
  day: string | null
  /** Goes on with the row above: no name and no avatar. */
  grouped: boolean
  /** The first message that this person has not seen. */
  firstNew: boolean
  /** Where it stands beside another answer to the same question. */
  side?: 'left' | 'right'
  /** What happened before it was said: who came, and the like. */
  above?: readonly string[]
  /** Of that the person can mend something, by sharing an agent of theirs. */
  shares?: boolean
  /** The message that stands right above, beside all that agents did. */
  under?: string | undefined
}

export type Row = RowBase &
  (
    | { kind: 'message'; message: Message; result: Message | undefined }
    | RunRow
    | { kind: 'pending'; entry: OutboxEntry }
    | { kind: 'draft'; draft: Draft }
    | { kind: 'stream'; stream: Stream }
    | { kind: 'notices' }
  )

/** All that an agent did for one answer, between two times. */
export interface RunRow {
  kind: 'run'
  unit: RunUnit
  from: string
  to: string
  /** What it begins with is not loaded. */
  cut: boolean
  /** It may go on: nothing came after it. */
  newest: boolean
  /** Its agent is writing. */
  writes: boolean
  /** Its steps are shown. */
  open: boolean
}

/** What happened in the room, in words. */
export interface Notice {
  seq: number
  at: string
  text: string
  /** The person did it. */
  own: boolean
  /** The person can share the agent of which it tells. */
  shares?: boolean
}

export interface RowInput {
  units: readonly Unit[]
  /** The unit above the first one, if it is loaded. */
  previous: Unit | undefined
  /** There are older messages than the first unit's that are not loaded. */
  cut: boolean
  /** The last unit is the newest of the room. */
  atEnd: boolean
  /** The seqs of messages in runs whose steps are shown. */
  opened: readonly number[]
  drafts: readonly Draft[]
  pending: readonly OutboxEntry[]
  streams: readonly Stream[]
  /** Since when there is no connection. */
  lostAt?: string | null
  /** The turns that were seen beginning, in their order: the seq of what they answer. */
  begun?: ReadonlyMap<string, number>
  /** What is told among the messages, oldest first. */
  notices?: readonly Notice[]
  me: { id: string; name: string }
  /** The seq up to which everything was read when the room was opened. */
  readSeq: number | null
}

const LINES_MAX = 3
const GROUP_MS = 5 * 60_000

/** Answers that were asked for again are gone; what a person deleted leaves a mark. */
export function isShown(message: Message): boolean {
  return message.deleted_at === null || message.role === 'user'
}

export function buildRows(input: RowInput): Row[] {
  const rows: Row[] = []
  let previous: Above | undefined = input.previous && aboveOf(input.previous)
  let newMarked = input.previous !== undefined && isNew(input.previous, input)
  const { notices = [] } = input
  let told = notices.findIndex(({ seq }) => seq > (input.previous?.last ?? (input.cut ? (input.units[0]?.seq ?? Infinity) : -1)))
  if (told < 0) told = notices.length
  let under = input.previous?.kind === 'one' && !isAside(input.previous.message) ? input.previous.message.id : undefined
  /** What happened before this seq and is not told yet. */
  const tell = (row: Row, seq: number): void => {
    const first = told
    while (told < notices.length && notices[told]!.seq < seq) told += 1
    if (told === first) return
    row.above = linesOf(notices.slice(first, told))
    row.shares = notices.slice(first, told).some(({ shares }) => shares)
  }
  const push = (row: Row, next: Above): void => {
    if (!previous || dayOf(previous.at) !== dayOf(row.at)) row.day = dayName(row.at)
    const age = previous ? Date.parse(row.at) - Date.parse(previous.at) : Infinity
    row.grouped = !row.day && !row.above && !row.firstNew && age < GROUP_MS && previous !== undefined && goesOn(previous, next)
    previous = next
    row.under = under
    if (!next.aside) under = row.kind === 'message' ? row.message.id : row.kind === 'stream' ? row.stream.msg : undefined
    rows.push(row)
  }
  const stored = input.units.map((unit, index): Placed => {
    const row = unit.kind === 'run' ? ofRun(unit, index, input) : ofMessage(unit.message, input.me, unit.result)
    return { row, next: aboveOf(unit), seq: unit.seq, turn: turnOf(unit), isNew: isNew(unit, input) }
  })
  const unsent = unstored(input)
  const isLate = ({ at }: Row): boolean => !!input.lostAt && at >= input.lostAt
  const late = [...unsent.filter((row) => !isLate(row)), ...input.streams.map(ofStream), ...unsent.filter(isLate)].map((row): Placed => ({
    row, next: { by: row.by, at: row.at, role: row.role, aside: false }, seq: Infinity, turn: row.kind === 'stream' ? row.stream.turn : '', isNew: false,
  }))
  for (const { row, next, seq, isNew } of asBegun([...stored, ...late], input.begun)) {
    row.firstNew = isNew && !newMarked
    newMarked ||= isNew
    tell(row, seq)
    push(row, next)
  }
  const last = notices.at(-1)
  if (input.atEnd && last && told < notices.length) {
    const row = ofNotices(last)
    tell(row, Infinity)
    push(row, { by: '', at: row.at, role: row.role, aside: false })
  }
  for (let at = 1; at < rows.length; at++) {
    const [one, other] = [rows[at - 1]!, rows[at]!]
    const difference = choiceOf(one) - choiceOf(other)
    if (!difference || one.by !== other.by) continue
    ;[one.side, other.side] = difference < 0 ? ['left', 'right'] : ['right', 'left']
    one.firstNew = other.firstNew = false
    at++
  }
  return rows
}

interface Placed {
  row: Row
  next: Above
  seq: number
  turn: string
  isNew: boolean
}

/** Answers to the same words that stand together, in the order in which they began: none that is read moves when it ends. */
function asBegun(placed: readonly Placed[], begun: ReadonlyMap<string, number> = new Map()): Placed[] {
  const places = [...begun.keys()]
  const made: Placed[] = []
  for (let start = 0, end: number; start < placed.length; start = end) {
    const asked = begun.get(placed[start]!.turn)
    for (end = start + 1; end < placed.length && asked !== undefined && begun.get(placed[end]!.turn) === asked;) end += 1
    const together = placed.slice(start, end).sort((one, other) => places.indexOf(one.turn) - places.indexOf(other.turn))
    // What happened stands above all that was said after it.
    together.forEach((one, index) => made.push({ ...one, seq: Math.min(...together.slice(index).map(({ seq }) => seq)) }))
  }
  return made
}

function turnOf(unit: Unit): string {
  const said = unit.kind === 'one' ? [unit.message] : unit.steps
  return said.find(({ meta }) => meta.turn)?.meta.turn ?? ''
}

/** Which it is of the answers of models that were asked at once. */
function choiceOf(row: Row): number {
  return (row.kind === 'stream' ? row.stream.choice : row.kind === 'message' && row.message.reply_to ? row.message.meta.choice : undefined) ?? NaN
}

interface Above {
  by: string
  at: string
  role: Message['role']
  aside: boolean
  /** The speaker in the words of the API's client, one of several that it speaks for. */
  speaker?: string | undefined
}

function aboveOf(unit: Unit): Above {
  const message = unit.kind === 'one' ? unit.message : speakerOf(unit)
  const { by, role, meta } = message
  const at = unit.kind === 'one' ? message.at : endOf(unit)
  return { by, at, role: isPrompt(message) ? 'system' : role, aside: unit.kind === 'run' || isAside(message), speaker: meta.name }
}

/** Whose run it is: an agent's, or nobody's, where it is all prompts. */
function speakerOf(unit: RunUnit): Message {
  return unit.steps.find((step) => step.role === 'assistant') ?? unit.steps[0]!
}

function endOf(unit: RunUnit): string {
  const last = unit.steps.at(-1)!
  return unit.results.get(last.id)?.at ?? last.at
}

/** A person's next words; an agent's words between its thoughts and its calls. */
function goesOn(previous: Above, next: Above): boolean {
  if (previous.by !== next.by || previous.role !== next.role || previous.speaker !== next.speaker) return false
  return next.role === 'user' || (next.role === 'assistant' && (previous.aside || next.aside))
}

/** In the order in which the server will store it: what it keeps, then what it does not have yet. */
function unstored({ drafts, pending, me }: RowInput): Row[] {
  const waiting = new Map(pending.map((entry) => [entry.cid, entry]))
  const kept = drafts.map((draft) => {
    const entry = draft.by === me.id ? waiting.get(draft.cid) : undefined
    if (!entry) return ofDraft(draft, me)
    waiting.delete(entry.cid)
    return ofEntry(entry, me)
  })
  return [...kept, ...[...waiting.values()].map((entry) => ofEntry(entry, me))]
}

function isNew(unit: Unit, { readSeq, me }: RowInput): boolean {
  const { by } = unit.kind === 'one' ? unit.message : speakerOf(unit)
  return readSeq !== null && unit.last > readSeq && by !== me.id
}

/** An agent works from the question on until its answer is there. */
function ofRun(unit: RunUnit, index: number, { units, previous, cut, atEnd, streams, opened }: RowInput): Row {
  const { by, name, role, at } = speakerOf(unit)
  const [before, after] = [index > 0 ? units[index - 1] : previous, units[index + 1]]
  const asked = before?.kind === 'one' && before.message.role === 'user' ? before.message.at : null
  const answered = after?.kind === 'one' && after.message.by === by ? after.message.at : null
  return {
    kind: 'run', unit, key: unit.key, own: false, by, name, at: unit.steps[0]?.at ?? at, role: role === 'assistant' ? role : 'system',
    from: asked ?? unit.steps[0]?.at ?? at, to: answered ?? endOf(unit), cut: cut && index === 0,
    newest: atEnd && !after, writes: streams.some((stream) => stream.by === by),
    open: opened.some((seq) => seq >= unit.seq && seq <= unit.last), day: null, grouped: false, firstNew: false,
  }
}

function ofMessage(message: Message, me: { id: string }, result: Message | undefined): Row {
  // What a person's program says that the assistant said is that person's.
  const said = message.role === 'assistant' && message.by.startsWith('u_') ? 'user' : message.role
  const own = message.by === me.id && said === 'user' && !isPrompt(message)
  return {
    kind: 'message', message, result, key: own && message.cid ? message.cid : message.id, own,
    by: message.by, name: message.name || texts.messages.gone, at: message.at, role: isPrompt(message) && said === 'user' ? 'system' : said,
    day: null, grouped: false, firstNew: false,
  }
}

function ofDraft(draft: Draft, me: { id: string }): Row {
  const own = draft.by === me.id
  return {
    kind: 'draft', draft, key: own ? draft.cid : draft.msg, own, by: draft.by, name: draft.name, at: draft.at, role: 'user',
    day: null, grouped: false, firstNew: false,
  }
}

function ofEntry(entry: OutboxEntry, me: { id: string; name: string }): Row {
  return {
    kind: 'pending', entry, key: entry.cid, own: true, by: me.id, name: me.name, at: entry.at, role: 'user',
    day: null, grouped: false, firstNew: false,
  }
}

function ofStream(stream: Stream): Row {
  return {
    kind: 'stream', stream, key: stream.msg, own: false, by: stream.by, name: stream.name, at: stream.at,
    role: 'assistant', day: null, grouped: false, firstNew: false,
  }
}

/** What happened one after the other: what is too much is counted. */
function linesOf(notices: readonly Notice[]): string[] {
  const lines = notices.map(({ text }) => text)
  if (lines.length <= LINES_MAX) return lines
  return [texts.messages.changes(lines.length - LINES_MAX + 1), ...lines.slice(1 - LINES_MAX)]
}

/** After the last message: the same place as above the next one. */
function ofNotices({ seq, at }: Notice): Row {
  return { kind: 'notices', key: `notice-${seq}`, own: false, by: '', name: '', at, role: 'system', day: null, grouped: false, firstNew: false }
}
