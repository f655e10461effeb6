/**
 * What stands on the page, one row after the other: stored messages, then what the server keeps, what
 * waits to be sent, and what is being written. An answer takes its seq at its end, so it always stands
 * last until then. The person's own draft is the row of their outbox, at the draft's place.
 *
 * A row keeps its key from the outbox or the draft to the log and from the stream to the final message,
 * so that its place in the document stays the same. The result of a tool's call stands in the row of the call.
 */
import { isAside, resultsOf } from './asides'
import type { OutboxEntry } from '../outbox/outbox'
import type { Draft, Message } from '../protocol'
import type { Stream } from '../room/stream'
import { dayName, dayOf } from '../words/time'

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
}

export type Row = RowBase &
  (
    | { kind: 'message'; message: Message; result: Message | undefined }
    | { kind: 'pending'; entry: OutboxEntry }
    | { kind: 'draft'; draft: Draft }
    | { kind: 'stream'; stream: Stream }
  )

export interface RowInput {
  messages: readonly Message[]
  /** The message above the first one, if it is loaded. */
  previous: Message | undefined
  drafts: readonly Draft[]
  pending: readonly OutboxEntry[]
  streams: readonly Stream[]
  me: { id: string; name: string }
  /** The seq up to which everything was read when the room was opened. */
  readSeq: number | null
}

const GROUP_MS = 5 * 60_000

/** Answers that were asked for again are gone; what a person deleted leaves a mark. */
export function isShown(message: Message): boolean {
  return message.deleted_at === null || message.role === 'user'
}

export function buildRows(input: RowInput): Row[] {
  const rows: Row[] = []
  const results = resultsOf(input.messages)
  const taken = new Set(results.values())
  let previous: Above | undefined = input.previous && { ...input.previous, ...around(input.previous) }
  let newMarked = input.previous !== undefined && isNew(input.previous, input)
  const push = (row: Row): void => {
    if (!previous || dayOf(previous.at) !== dayOf(row.at)) row.day = dayName(row.at)
    const age = previous ? Date.parse(row.at) - Date.parse(previous.at) : Infinity
    const { by, at, role } = row
    const next = { by, at, role, ...(row.kind === 'message' ? around(row.message) : { aside: false }) }
    row.grouped = !row.day && !row.firstNew && age < GROUP_MS && previous !== undefined && goesOn(previous, next)
    previous = next
    rows.push(row)
  }
  for (const message of input.messages) {
    if (taken.has(message)) continue
    const firstNew = !newMarked && isNew(message, input)
    newMarked ||= firstNew
    push({ ...ofMessage(message, input.me, results.get(message.id)), firstNew })
  }
  for (const row of unstored(input)) push(row)
  for (const stream of input.streams) push(ofStream(stream))
  return rows
}

interface Above {
  by: string
  at: string
  role: Message['role']
  aside: boolean
  /** The speaker in the words of the API's client, one of several that it speaks for. */
  speaker?: string
}

function around(message: Message): { aside: boolean; speaker?: string } {
  return { aside: isAside(message), speaker: message.meta.name }
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

function isNew(message: Message, input: RowInput): boolean {
  return input.readSeq !== null && message.seq > input.readSeq && message.by !== input.me.id
}

function ofMessage(message: Message, me: { id: string }, result: Message | undefined): Row {
  const own = message.by === me.id && message.role === 'user'
  return {
    kind: 'message', message, result, key: own && message.cid ? message.cid : message.id, own,
    by: message.by, name: message.name, at: message.at, role: message.role,
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
